/**
 * RE2's syntax (github.com/google/re2/wiki/Syntax, as Go's regexp/syntax reads it with Perl flags): a pattern in,
 * a `Pattern` out. What RE2 does not have (lookaround, backreferences, `\C`) is refused with the place.
 */
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { ANY, fold, NOT_NEWLINE, type CharSet } from './char-set.ts';
import { readBracket, readClassEscape } from './parse-class.ts';
import { readEscape } from './parse-escape.ts';
import { EMPTY, type Assertion, type Pattern, type Repeat } from './pattern.ts';
import { Cursor, SyntaxProblem } from './cursor.ts';

export interface ParsedPattern {
  readonly pattern: Pattern;
  /** Capturing groups, the whole match not counted. */
  readonly groups: number;
}

/** RE2's bound on a repetition, and on what repetitions inside one another come to. */
const REPEAT_MAX = 1_000;
const DEPTH_MAX = 250;
const PATTERN_CHARS_MAX = 64 * 1024;

interface Flags {
  readonly fold: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
  readonly ungreedy: boolean;
}

const NO_FLAGS: Flags = { fold: false, multiline: false, dotAll: false, ungreedy: false };
const FLAG_NAMES: ReadonlyMap<string, keyof Flags> = new Map([
  ['i', 'fold'],
  ['m', 'multiline'],
  ['s', 'dotAll'],
  ['U', 'ungreedy'],
]);

/** Never throws; the refusal says what and where. */
export function parsePattern(source: string): Parsed<ParsedPattern> {
  if (source.length > PATTERN_CHARS_MAX) return refuse('the pattern is longer than 64 Ki characters');
  const parser = new Parser(source);
  try {
    return ok(parser.parse());
  } catch (error) {
    if (error instanceof SyntaxProblem) return refuse(error.message);
    throw error;
  }
}

class Parser {
  readonly #cursor: Cursor;
  readonly #names = new Set<string>();
  #flags = NO_FLAGS;
  #groups = 0;
  #depth = 0;

  constructor(source: string) {
    this.#cursor = new Cursor(source);
  }

  parse(): ParsedPattern {
    const pattern = this.#choice();
    if (!this.#cursor.done) this.#cursor.fail('unexpected )');
    if (repetitions(pattern) > REPEAT_MAX) this.#cursor.fail('nested repetitions come to more than 1000');
    return { pattern, groups: this.#groups };
  }

  #choice(): Pattern {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) this.#cursor.fail('groups are nested too deeply');
    const parts = [this.#sequence()];
    while (this.#cursor.take('|')) parts.push(this.#sequence());
    this.#depth -= 1;
    return parts.length === 1 ? (parts[0] ?? EMPTY) : { kind: 'choice', parts };
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    while (!this.#cursor.done && !this.#cursor.sees('|') && !this.#cursor.sees(')')) {
      if (this.#cursor.take('\\Q')) this.#quoted(parts);
      else if (!this.#inlineFlags()) parts.push(this.#atom());
      this.#repeat(parts);
    }
    return parts.length === 1 ? (parts[0] ?? EMPTY) : { kind: 'sequence', parts };
  }

  /** The last part, if an operator follows it. One operator on another (`a**`) is an error in RE2. */
  #repeat(parts: Pattern[]): void {
    const count = this.#operator();
    if (count === undefined) return;
    const body = parts.pop();
    if (body === undefined) this.#cursor.fail('nothing to repeat');
    const lazy = this.#cursor.take('?');
    const { min, max } = count;
    const repeat: Repeat = { kind: 'repeat', body, min, max, greedy: lazy === this.#flags.ungreedy };
    parts.push(repeat);
    if (this.#operator() !== undefined) this.#cursor.fail('a repetition follows a repetition');
  }

  #operator(): { readonly min: number; readonly max: number } | undefined {
    if (this.#cursor.take('*')) return { min: 0, max: Infinity };
    if (this.#cursor.take('+')) return { min: 1, max: Infinity };
    if (this.#cursor.take('?')) return { min: 0, max: 1 };
    const found = this.#cursor.match(/\{(\d+)(?:(,)(\d*))?\}/y);
    if (found === undefined) return undefined;
    const min = Number(found[1]);
    const open = found[3] === undefined || found[3] === '';
    const max = found[2] === undefined ? min : open ? Infinity : Number(found[3]);
    if (min > REPEAT_MAX || (max !== Infinity && max > REPEAT_MAX)) this.#cursor.fail('a repetition is over 1000');
    if (min > max) this.#cursor.fail('a repetition runs backwards');
    return { min, max };
  }

  #quoted(parts: Pattern[]): void {
    while (!this.#cursor.done && !this.#cursor.take('\\E')) parts.push(this.#literal(this.#cursor.next()));
  }

  #atom(): Pattern {
    const cursor = this.#cursor;
    const { fold: folded, multiline, dotAll } = this.#flags;
    if (cursor.sees('(')) return this.#group();
    if (cursor.sees('[')) return { kind: 'set', set: readBracket(cursor, folded) };
    if (cursor.take('.')) return { kind: 'set', set: dotAll ? ANY : NOT_NEWLINE };
    if (cursor.take('^')) return assertion(multiline ? 'line-start' : 'text-start');
    if (cursor.take('$')) return assertion(multiline ? 'line-end' : 'text-end');
    if (cursor.sees('\\')) return this.#backslash();
    if (['*', '+', '?'].some((operator) => cursor.sees(operator))) cursor.fail('nothing to repeat');
    return this.#literal(cursor.next());
  }

  #backslash(): Pattern {
    const cursor = this.#cursor;
    const found = cursor.match(/\\[AzbB]/y);
    if (found !== undefined) {
      if (found[0] === '\\A') return assertion('text-start');
      if (found[0] === '\\z') return assertion('text-end');
      return assertion(found[0] === '\\b' ? 'word-boundary' : 'no-word-boundary');
    }
    if (cursor.sees('\\C')) cursor.fail('\\C (one byte) is not taken: a match could end inside a character');
    const set = readClassEscape(cursor, this.#flags.fold);
    return set === undefined ? this.#literal(readEscape(cursor)) : { kind: 'set', set };
  }

  #literal(codePoint: number): Pattern {
    const set: CharSet = [codePoint, codePoint];
    return { kind: 'set', set: this.#flags.fold ? fold(set) : set };
  }

  #group(): Pattern {
    const cursor = this.#cursor;
    const outer = this.#flags;
    const flags = cursor.match(/\(\?([imsU]*(?:-[imsU]+)?):/y);
    const named = flags === undefined ? cursor.match(/\(\?P?<([A-Za-z0-9_]+)>/y) : undefined;
    if (flags === undefined && named === undefined && cursor.sees('(?')) {
      cursor.fail(/\(\?<?[=!]/y.test(cursor.ahead(4)) ? 'RE2 has no lookaround' : 'an unknown kind of group');
    }
    if (flags !== undefined) this.#flags = changed(outer, flags[1] ?? '');
    else if (named === undefined) cursor.take('(');
    const index = flags === undefined ? (this.#groups += 1) : 0;
    const name = named?.[1];
    if (name !== undefined && this.#names.has(name)) cursor.fail(`the group ${name} is there twice`);
    if (name !== undefined) this.#names.add(name);
    const body = this.#choice();
    if (!cursor.take(')')) cursor.fail('a group is not closed');
    this.#flags = outer;
    return index === 0 ? body : { kind: 'group', body, index };
  }

  /** `(?i)`: from here to the end of the group around it. */
  #inlineFlags(): boolean {
    const found = this.#cursor.match(/\(\?([imsU]*(?:-[imsU]+)?)\)/y);
    if (found === undefined) return false;
    this.#flags = changed(this.#flags, found[1] ?? '');
    if (this.#operator() !== undefined) this.#cursor.fail('nothing to repeat');
    return true;
  }
}

function assertion(kind: Assertion): Pattern {
  return { kind: 'assertion', assertion: kind };
}

function changed(flags: Flags, text: string): Flags {
  const [on = '', off = ''] = text.split('-');
  const set = (letters: string, value: boolean): [keyof Flags, boolean][] =>
    letters.split('').flatMap((letter) => {
      const name = FLAG_NAMES.get(letter);
      return name === undefined ? [] : [[name, value]];
    });
  return { ...flags, ...Object.fromEntries([...set(on, true), ...set(off, false)]) };
}

/** The largest product of bounded repetitions inside one another. */
function repetitions(pattern: Pattern): number {
  switch (pattern.kind) {
    case 'set':
    case 'assertion':
      return 1;
    case 'sequence':
    case 'choice':
      return Math.max(1, ...pattern.parts.map(repetitions));
    case 'group':
      return repetitions(pattern.body);
    case 'repeat': {
      const times = pattern.max === Infinity ? Math.max(pattern.min, 1) : Math.max(pattern.max, 1);
      return times * repetitions(pattern.body);
    }
    default:
      return pattern satisfies never;
  }
}
