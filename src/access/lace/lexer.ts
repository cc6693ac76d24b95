/**
 * Lace, word by word: a ruleset is lines, a line is blank, a comment or a rule, a rule is tokens. Lexing
 * never fails; what looks wrong becomes a warning, and what is too deep is marked for the compiler.
 */
import { LACE_LIMITS } from './limits.ts';

/** A word as the rule means it. Columns count from 1, within the brackets that hold the word. */
export interface WordToken {
  readonly first: number;
  readonly last: number;
  readonly text: string;
}

/** `prefix[ ... ]`: a list in brackets, with what was glued before it (`!` negates). */
export interface SubToken {
  readonly first: number;
  readonly last: number;
  readonly prefix: string;
  readonly sub: readonly Token[];
}

export type Token = WordToken | SubToken;

export interface LexedLine {
  readonly kind: 'whitespace' | 'comment' | 'rule';
  /** The line as written, without its newline. */
  readonly text: string;
  /** Empty but for a rule. */
  readonly tokens: readonly Token[];
  readonly warnings: readonly string[];
  /** Brackets nest deeper than the limit: the line does not compile. */
  readonly tooDeep: boolean;
}

export interface LexedSource {
  /** The name shown in errors: `rules/house.lace`. */
  readonly name: string;
  readonly lines: readonly LexedLine[];
}

const BLANK = /^[ \t]*$/;
const COMMENT = /^[ \t]*(?:#|\/\/|--)/;
const NONE: readonly never[] = [];

/** The lines of `text`. A newline at the very end starts no further line. */
export function lexRuleset(text: string, name: string): LexedSource {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return { name, lines: lines.map(lexLine) };
}

export function lexLine(text: string): LexedLine {
  if (COMMENT.test(text)) return { kind: 'comment', text, tokens: NONE, warnings: NONE, tooDeep: false };
  if (BLANK.test(text)) return { kind: 'whitespace', text, tokens: NONE, warnings: NONE, tooDeep: false };
  const reader = new LineReader(text);
  const list = reader.list(0);
  return { kind: 'rule', text, tokens: list.tokens, warnings: list.warnings, tooDeep: reader.tooDeep };
}

interface TokenList {
  readonly tokens: Token[];
  readonly warnings: string[];
}

/** One pass over a line; `list` calls itself for each bracket and goes on behind it. */
class LineReader {
  tooDeep = false;
  readonly #text: string;
  #next = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The tokens up to the end of the line or, below the top, up to the closing bracket. */
  list(depth: number): TokenList {
    const word = new WordInProgress(this.#next);
    const tokens: Token[] = [];
    let quote = '';
    let escaped = false;
    let last = -1;
    while (this.#next < this.#text.length) {
      const at = this.#next++;
      const c = this.#text.charAt(at);
      if (escaped) {
        word.add(quote === '' ? c : unescape(c));
        escaped = false;
      } else if (c === '\\') {
        escaped = true;
      } else if (quote !== '') {
        if (c === quote) quote = '';
        else word.add(c);
      } else if (c === ']' && depth > 0) {
        last = at;
        break;
      } else if (c === "'" || c === '"') {
        quote = c;
        word.quoted();
      } else if (c === '[' && this.#opens(depth)) {
        const sub = this.list(depth + 1).tokens;
        tokens.push(word.finishSub(this.#next, sub));
      } else if (c === ' ' || c === '\t') {
        word.space(at, tokens);
      } else {
        word.add(c);
      }
    }
    word.end(last === -1 ? this.#next : last, tokens);
    return { tokens, warnings: warningsOf(quote !== '', escaped) };
  }

  #opens(depth: number): boolean {
    if (depth < LACE_LIMITS.bracketDepthMax) return true;
    this.tooDeep = true;
    return false;
  }
}

/** The word being read, with where it began. */
class WordInProgress {
  /** Index of the first character of the list: column 1. */
  readonly #base: number;
  #start: number;
  #text = '';
  /** A quote was seen: even an empty word counts. */
  #isQuoted = false;

  constructor(base: number) {
    this.#base = base;
    this.#start = base;
  }

  add(c: string): void {
    this.#text += c;
  }

  quoted(): void {
    this.#isQuoted = true;
  }

  space(at: number, tokens: Token[]): void {
    this.end(at, tokens);
    this.#start = at + 1;
    this.#text = '';
    this.#isQuoted = false;
  }

  /** `end` is the index behind the word. */
  end(end: number, tokens: Token[]): void {
    if (this.#text === '' && !this.#isQuoted) return;
    tokens.push({ first: this.#start - this.#base + 1, last: end - this.#base, text: this.#text });
  }

  /** A quote before the bracket still makes an (empty) word behind it, as in Lace 1.4. */
  finishSub(end: number, sub: readonly Token[]): SubToken {
    const token = { first: this.#start - this.#base + 1, last: end - this.#base, prefix: this.#text, sub };
    this.#start = end;
    this.#text = '';
    return token;
  }
}

function unescape(c: string): string {
  if (c === 'n') return '\n';
  return c === 't' ? '\t' : c;
}

function warningsOf(isQuoteOpen: boolean, isEscapeOpen: boolean): string[] {
  const warnings: string[] = [];
  if (isQuoteOpen) warnings.push('Un-terminated quoted string');
  if (isEscapeOpen) warnings.push('Un-used escape at end');
  return warnings;
}
