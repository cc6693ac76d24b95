/**
 * Regular expressions, as far as an automaton can match them: Perl's, which gitolite's conf files hold, and PCRE, which
 * Lace has. Back references, look-around, atomic groups, possessive repetition of more than one character and
 * recursion are refused when the rules compile. References: perlre and perlrebackslash of Perl 5.36, pcre2pattern.
 */
import { foldCase, single, type CharSet } from './char-set.ts';
import { PATTERN_CHARS_MAX, type Node, type PatternNode } from './nfa.ts';
import { PatternCursor, PatternProblem } from './pattern-cursor.ts';
import { readClass } from './regex-class.ts';
import { escaped, type Reading } from './regex-escape.ts';
import { NO_FLAGS, readFlags, type Flags } from './regex-flags.ts';
import {
  ANY_LINE_BREAK,
  ASSERTIONS,
  EMPTY,
  LAST_LINE_END,
  LINE_END,
  LINE_START,
  NEVER,
  NOT_NEWLINE,
  possessive,
  TEXT_START,
  type Counts,
} from './regex-parts.ts';
import { characterView, toBytes } from './views.ts';

const REPEAT_MAX = 1_000;
const GROUP_DEPTH_MAX = 50;

export function parseRegex(text: string, reading: Reading): PatternNode {
  if (text.length > PATTERN_CHARS_MAX)
    return { kind: 'wrong', message: `a pattern has at most ${PATTERN_CHARS_MAX} characters` };
  try {
    const view = reading.isBytes ? toBytes : characterView(text);
    return { kind: 'ok', node: new RegexParser(view(text), reading).parse(), view };
  } catch (error) {
    if (error instanceof PatternProblem) return { kind: 'wrong', message: error.message };
    throw error;
  }
}

class RegexParser {
  readonly #cursor: PatternCursor;
  readonly #reading: Reading;
  readonly #isPerl: boolean;
  #depth = 0;
  #flags: Flags = NO_FLAGS;
  /** Where `\Q` ends. */
  #quoteEnd = 0;

  constructor(text: string, reading: Reading) {
    this.#cursor = new PatternCursor(text);
    this.#reading = reading;
    this.#isPerl = reading.dialect === 'perl';
  }

  parse(): Node {
    const node = this.#choice();
    if (!this.#cursor.isDone) throw new PatternProblem('unmatched )');
    return node;
  }

  #choice(): Node {
    const nodes = [this.#sequence()];
    while (this.#cursor.take('|')) nodes.push(this.#sequence());
    return nodes.length === 1 && nodes[0] !== undefined ? nodes[0] : { kind: 'choice', nodes };
  }

  #sequence(): Node {
    const cursor = this.#cursor;
    const nodes: Node[] = [];
    for (;;) {
      this.#skip();
      if (cursor.next < this.#quoteEnd) nodes.push(this.#repeated(this.#literal(cursor.read())));
      else if (cursor.isDone || cursor.peek('|') || cursor.peek(')')) return { kind: 'sequence', nodes };
      else {
        const node = this.#atom();
        if (node !== undefined) nodes.push(this.#repeated(node));
      }
    }
  }

  /** Comments and, where they say nothing, blanks. A repetition behind them is of what stands in front of them. */
  #skip(): void {
    const cursor = this.#cursor;
    for (;;) {
      const from = cursor.next;
      if (from < this.#quoteEnd) return;
      if (!this.#isPerl) {
        if (cursor.take('\\Q')) {
          const end = cursor.text.indexOf('\\E', cursor.next);
          this.#quoteEnd = end === -1 ? cursor.text.length : end;
        } else cursor.take('\\E');
      }
      if (cursor.take('(?#') && cursor.match(/[^)]*\)/y) === undefined) throw new PatternProblem('missing )');
      if (this.#flags.x) cursor.match(this.#isPerl ? /(?:[\t-\r \x85]|#[^\n]*)*/y : /(?:[\t-\r ]|#[^\n]*)*/y);
      if (cursor.next === from) return;
    }
  }

  /** undefined: `(?i)`, which matches nothing of its own and cannot be repeated. */
  #atom(): Node | undefined {
    const cursor = this.#cursor;
    const { m, s, i, xx } = this.#flags;
    const c = cursor.read();
    switch (c) {
      case '(':
        return this.#group();
      case '[':
        return { kind: 'set', has: readClass(cursor, { ...this.#reading, isFolded: i, skipsBlanks: xx }) };
      case '.':
        return s ? { kind: 'set', has: () => true } : { kind: 'set', has: NOT_NEWLINE };
      case '^':
        return m ? LINE_START : TEXT_START;
      case '$':
        return m ? LINE_END : LAST_LINE_END;
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw new PatternProblem(`nothing for ${c} to repeat`);
      case '{':
        return this.#brace();
      default:
        return this.#literal(c);
    }
  }

  /** One that repeats nothing. */
  #brace(): Node {
    const { text, next } = this.#cursor;
    // Perl refuses it here even where the letter's own backslash is escaped.
    if (this.#isPerl && /^\\[A-Za-z]$/.test(text.slice(Math.max(0, next - 3), next - 1)))
      throw new PatternProblem('a brace behind an escape must be escaped');
    if (!this.#isPerl && /^\d+(?:,\d*)?\}/.test(text.slice(next, next + 16)))
      throw new PatternProblem('nothing for {} to repeat');
    return this.#literal('{');
  }

  #group(): Node | undefined {
    const cursor = this.#cursor;
    if (cursor.peek('*')) throw new PatternProblem('verbs such as (*ACCEPT) are not supported');
    const outer = this.#flags;
    if (cursor.take('?')) {
      const head = readFlags(cursor, { dialect: this.#reading.dialect, flags: outer });
      if (head !== undefined) this.#flags = head.flags;
      if (head?.isWhole === true) return undefined;
      if (head === undefined) this.#groupHead();
    }
    this.#depth += 1;
    if (this.#depth > GROUP_DEPTH_MAX) throw new PatternProblem(`groups nest deeper than ${GROUP_DEPTH_MAX}`);
    const node = this.#choice();
    if (!cursor.take(')')) throw new PatternProblem('missing )');
    this.#depth -= 1;
    this.#flags = outer;
    return node;
  }

  /** Behind `(?`: what names a group, or numbers its choices alike. */
  #groupHead(): void {
    if (this.#cursor.match(/P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*'|\|/y) !== undefined) return;
    if (this.#cursor.look(/[=!>&R0-9+]|<[=!]|-\d|P[=>]|\(/y) !== undefined) {
      throw new PatternProblem(
        'look-around, atomic groups and recursion are not supported: matching is in linear time',
      );
    }
    throw new PatternProblem(`unknown group (?${this.#cursor.text.charAt(this.#cursor.next)}`);
  }

  #repeated(node: Node): Node {
    const cursor = this.#cursor;
    let repeated = node;
    for (let isFirst = true; ; isFirst = false) {
      this.#skip();
      if (cursor.next < this.#quoteEnd) return repeated;
      const counts = this.#counts();
      if (counts === undefined) return repeated;
      if (this.#isPerl && !isFirst) throw new PatternProblem('nested quantifiers');
      if (node === KEEP) throw new PatternProblem('\\K cannot be repeated');
      if (counts.max < counts.min) return NEVER;
      this.#skip();
      if (cursor.take('+')) {
        const held = possessive(repeated, counts);
        if (held === undefined)
          throw new PatternProblem('only one character can be repeated possessively: matching is in linear time');
        repeated = held;
      } else {
        // Fewest first changes which match is found, not whether there is one.
        cursor.take('?');
        repeated = { kind: 'repeat', node: repeated, ...counts };
      }
    }
  }

  #counts(): Counts | undefined {
    const cursor = this.#cursor;
    if (cursor.take('*')) return { min: 0, max: Infinity };
    if (cursor.take('+')) return { min: 1, max: Infinity };
    if (cursor.take('?')) return { min: 0, max: 1 };
    const found = cursor.match(
      this.#isPerl
        ? /\{[ \t]*(?:(\d+)[ \t]*(?:(,)[ \t]*(\d*)[ \t]*)?|(,)[ \t]*(\d+)[ \t]*)\}/y
        : /\{(\d+)(?:(,)(\d*))?\}/y,
    );
    if (found === undefined) return undefined;
    const [, least = '0', comma, most = '', , upTo] = found;
    const bound = upTo ?? most;
    if (this.#isPerl && [least, bound].some((digits) => /^0\d/.test(digits)))
      throw new PatternProblem('a number in {} starts with 0');
    const min = Number(least);
    const max = bound !== '' ? Number(bound) : comma === undefined ? min : Infinity;
    if (min > REPEAT_MAX || (max !== Infinity && max > REPEAT_MAX))
      throw new PatternProblem(`a repetition counts to at most ${REPEAT_MAX}`);
    if (max < min && !this.#isPerl) throw new PatternProblem('numbers out of order in {}');
    return { min, max };
  }

  #escape(): Node {
    const cursor = this.#cursor;
    const c = cursor.read();
    const assertion = ASSERTIONS.get(c);
    if (assertion !== undefined) {
      if (/[bB]/.test(c) && this.#isPerl && cursor.peek('{')) throw new PatternProblem(`\\${c}{} is not supported`);
      return assertion;
    }
    if (c === 'N') {
      this.#skip();
      if (cursor.peek('{') && this.#isNamed()) throw new PatternProblem('\\N{} is not supported');
      return { kind: 'set', has: NOT_NEWLINE };
    }
    if (c === 'R') return ANY_LINE_BREAK;
    if (c === 'K') return KEEP;
    const has = escaped(cursor, c, { ...this.#reading, inBrackets: false });
    return this.#set(typeof has === 'number' ? single(has) : has);
  }

  /** What stands behind `\N` is a name, not a repetition. */
  #isNamed(): boolean {
    const { next } = this.#cursor;
    const isRepetition = this.#counts() !== undefined;
    this.#cursor.next = next;
    return !isRepetition;
  }

  #literal(c: string): Node {
    return this.#set(single(c.charCodeAt(0)));
  }

  #set(has: CharSet): Node {
    return { kind: 'set', has: this.#flags.i ? foldCase(has, this.#reading) : has };
  }
}

/** `\K` says where the match starts, not whether there is one. */
const KEEP: Node = { ...EMPTY };
