/**
 * The regular part of PCRE (`VAR PCRE P`): everything that an automaton can match. Back references,
 * look-around, atomic groups, possessive repetition of more than one character and recursion are refused when
 * the rules compile.
 */
import { CLASSES, foldCase, inverse, range, single, union, type CharSet } from './char-set.ts';
import { PATTERN_CHARS_MAX, type Node, type PatternNode } from './nfa.ts';

const REPEAT_MAX = 1_000;
const GROUP_DEPTH_MAX = 50;

export function parsePcre(text: string): PatternNode {
  if (text.length > PATTERN_CHARS_MAX)
    return { kind: 'wrong', message: `a pattern has at most ${PATTERN_CHARS_MAX} characters` };
  return new PcreParser(text).parse();
}

/** Text that a pattern takes literally. */
export function quotePcre(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9\u0080-\uffff]/g, (c) => `\\x{${c.charCodeAt(0).toString(16)}}`);
}

interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
}

const NEWLINE = single(10);
const notNewline = inverse(NEWLINE);

const SHORTHANDS: Readonly<Record<string, CharSet>> = {
  d: CLASSES.digit,
  w: CLASSES.word,
  s: CLASSES.space,
  h: CLASSES.blank,
  v: range(10, 13),
};

const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, r: 13, f: 12, e: 27, a: 7 };

type Holds = (text: string, index: number) => boolean;

const isWordAt = (text: string, index: number): boolean =>
  index >= 0 && index < text.length && CLASSES.word(text.charCodeAt(index));
const atStart: Holds = (_text, index) => index === 0;
const atEnd: Holds = (text, index) => index === text.length;
const atEndOrLastNewline: Holds = (text, index) =>
  index === text.length || (index === text.length - 1 && text.endsWith('\n'));
const atLineStart: Holds = (text, index) => index === 0 || text.charAt(index - 1) === '\n';
const atLineEnd: Holds = (text, index) => index === text.length || text.charAt(index) === '\n';
const atWordEdge: Holds = (text, index) => isWordAt(text, index - 1) !== isWordAt(text, index);

const ASSERTIONS: Readonly<Record<string, Holds>> = {
  A: atStart,
  z: atEnd,
  Z: atEndOrLastNewline,
  b: atWordEdge,
  B: (text, index) => !atWordEdge(text, index),
};

function assertion(holds: Holds): Node {
  return { kind: 'assert', holds, isStart: holds === atStart, isEnd: holds === atEnd || holds === atEndOrLastNewline };
}

interface Counts {
  readonly min: number;
  readonly max: number;
}

/** As many as there are: either `max` of them, or fewer and then none follows. */
function possessive(node: Node & { readonly kind: 'set' }, { min, max }: Counts): Node {
  if (min === max) return { kind: 'repeat', node, min, max };
  const noneFollows: Node = {
    kind: 'assert',
    holds: (text, index) => index >= text.length || !node.has(text.charCodeAt(index)),
  };
  if (max === Infinity) return { kind: 'sequence', nodes: [{ kind: 'repeat', node, min, max }, noneFollows] };
  const fewer: Node = { kind: 'sequence', nodes: [{ kind: 'repeat', node, min, max: max - 1 }, noneFollows] };
  return { kind: 'choice', nodes: [{ kind: 'repeat', node, min: max, max }, fewer] };
}

/** Carries the message to `parse`, and no further. */
class PatternProblem extends Error {}

class PcreParser {
  readonly #text: string;
  #next = 0;
  #depth = 0;
  #flags: Flags = { i: false, m: false, s: false };

  constructor(text: string) {
    this.#text = text;
  }

  parse(): PatternNode {
    try {
      const node = this.#choice();
      if (this.#next < this.#text.length) return { kind: 'wrong', message: 'unmatched )' };
      return { kind: 'ok', node };
    } catch (error) {
      if (error instanceof PatternProblem) return { kind: 'wrong', message: error.message };
      throw error;
    }
  }

  #choice(): Node {
    const nodes = [this.#sequence()];
    while (this.#take('|')) nodes.push(this.#sequence());
    return nodes.length === 1 && nodes[0] !== undefined ? nodes[0] : { kind: 'choice', nodes };
  }

  #sequence(): Node {
    const nodes: Node[] = [];
    while (this.#next < this.#text.length && !this.#peek('|') && !this.#peek(')')) {
      const node = this.#atom();
      if (node !== undefined) nodes.push(this.#repeated(node));
    }
    return { kind: 'sequence', nodes };
  }

  /** undefined: something that matches nothing of its own, such as `(?i)` or `\Q\E`. */
  #atom(): Node | undefined {
    const c = this.#read();
    switch (c) {
      case '(':
        return this.#group();
      case '[':
        return this.#set(this.#class());
      case '.':
        return this.#flags.s ? { kind: 'set', has: () => true } : { kind: 'set', has: notNewline };
      case '^':
        return this.#flags.m
          ? { kind: 'assert', holds: atLineStart }
          : { kind: 'assert', holds: atStart, isStart: true };
      case '$':
        return this.#flags.m ? { kind: 'assert', holds: atLineEnd } : assertion(atEndOrLastNewline);
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw new PatternProblem(`nothing for ${c} to repeat`);
      default:
        return this.#set(single(c.charCodeAt(0)));
    }
  }

  #group(): Node | undefined {
    this.#depth += 1;
    if (this.#depth > GROUP_DEPTH_MAX) throw new PatternProblem(`groups nest deeper than ${GROUP_DEPTH_MAX}`);
    const outer = this.#flags;
    if (this.#take('?')) {
      if (this.#take('#')) {
        while (!this.#peek(')')) this.#read();
        this.#close();
        return undefined;
      }
      if (this.#groupHead() === 'flags') return undefined;
    } else if (this.#peek('*')) {
      throw new PatternProblem('verbs such as (*ACCEPT) are not supported');
    }
    const node = this.#choice();
    this.#close();
    this.#flags = outer;
    return node;
  }

  /** Behind `(?`. 'flags': the group is closed already and set flags for what follows. */
  #groupHead(): 'group' | 'flags' {
    if (/^(?:[=!>|&R0-9+]|<[=!]|-\d|P[=>]|\()/.test(this.#text.slice(this.#next, this.#next + 3))) {
      throw new PatternProblem(
        'look-around, atomic groups, branch resets and recursion are not supported: matching is in linear time',
      );
    }
    const name = /^(?:P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*')/.exec(this.#text.slice(this.#next))?.[0];
    if (name !== undefined) {
      this.#next += name.length;
      return 'group';
    }
    for (let isOn = true; ;) {
      const c = this.#read();
      if (c === ':') return 'group';
      if (c === ')') {
        this.#depth -= 1;
        return 'flags';
      }
      if (c === '-') isOn = false;
      else if (c === 'i' || c === 'm' || c === 's') this.#flags = { ...this.#flags, [c]: isOn };
      else throw new PatternProblem(`unknown group (?${c}`);
    }
  }

  #close(): void {
    if (!this.#take(')')) throw new PatternProblem('missing )');
    this.#depth -= 1;
  }

  #repeated(node: Node): Node {
    let repeated = node;
    for (;;) {
      const counts = this.#counts();
      if (counts === undefined) return repeated;
      if (this.#take('+')) {
        if (repeated.kind !== 'set')
          throw new PatternProblem('only one character can be repeated possessively: matching is in linear time');
        repeated = possessive(repeated, counts);
        continue;
      }
      this.#take('?');
      repeated = { kind: 'repeat', node: repeated, ...counts };
    }
  }

  #counts(): Counts | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const found = /^\{(\d+)(,(\d*))?\}/.exec(this.#text.slice(this.#next, this.#next + 16));
    if (found === null) return undefined;
    const [all, least = '0', comma, most] = found;
    const min = Number(least);
    const max = comma === undefined ? min : most === '' || most === undefined ? Infinity : Number(most);
    if (min > REPEAT_MAX || (max !== Infinity && max > REPEAT_MAX))
      throw new PatternProblem(`a repetition counts to at most ${REPEAT_MAX}`);
    if (max < min) throw new PatternProblem('numbers out of order in {}');
    this.#next += all.length;
    return { min, max };
  }

  #escape(): Node | undefined {
    const c = this.#read();
    if (c === 'Q') return this.#quoted();
    if (c === 'E') return undefined;
    if (Object.hasOwn(ASSERTIONS, c)) {
      const holds = ASSERTIONS[c];
      if (holds !== undefined) return assertion(holds);
    }
    if (c === 'N') return { kind: 'set', has: notNewline };
    return this.#set(this.#escapedSet(c));
  }

  #quoted(): Node {
    const end = this.#text.indexOf('\\E', this.#next);
    const text = this.#text.slice(this.#next, end === -1 ? undefined : end);
    this.#next = end === -1 ? this.#text.length : end + 2;
    return { kind: 'sequence', nodes: text.split('').map((c) => this.#set(single(c.charCodeAt(0)))) };
  }

  /** What `\c` stands for, inside and outside brackets. */
  #escapedSet(c: string): CharSet {
    const lower = c.toLowerCase();
    const shorthand = Object.hasOwn(SHORTHANDS, lower) ? SHORTHANDS[lower] : undefined;
    if (shorthand !== undefined) return c === lower ? shorthand : inverse(shorthand);
    const control = Object.hasOwn(CONTROLS, c) ? CONTROLS[c] : undefined;
    if (control !== undefined) return single(control);
    if (c === 'x') return single(this.#hex());
    if (c === '0') return single(0);
    if (/[1-9gk]/.test(c)) throw new PatternProblem('back references are not supported: matching is in linear time');
    if (/[A-Za-z]/.test(c)) throw new PatternProblem(`\\${c} is not supported`);
    return single(c.charCodeAt(0));
  }

  #hex(): number {
    const found = /^(?:\{([0-9A-Fa-f]{1,4})\}|([0-9A-Fa-f]{1,2}))/.exec(this.#text.slice(this.#next, this.#next + 6));
    if (found === null) throw new PatternProblem('\\x wants hexadecimal digits');
    this.#next += found[0].length;
    return Number.parseInt(found[1] ?? found[2] ?? '0', 16);
  }

  /** Behind the opening bracket. A `]` in first place is ordinary. */
  #class(): CharSet {
    const isInverse = this.#take('^');
    const sets: CharSet[] = [];
    for (let isFirst = true; isFirst || !this.#peek(']'); isFirst = false) sets.push(this.#classMember());
    this.#read();
    const has = this.#flags.i ? foldCase(union(sets)) : union(sets);
    return isInverse ? inverse(has) : has;
  }

  #classMember(): CharSet {
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.#text.slice(this.#next, this.#next + 16));
    if (posix !== null) {
      const [all, not, name = ''] = posix;
      this.#next += all.length;
      const found = Object.entries(CLASSES).find(([known]) => known === name)?.[1];
      if (found === undefined) throw new PatternProblem(`unknown class [:${name}:]`);
      return not === '' ? found : inverse(found);
    }
    const first = this.#classChar();
    if (typeof first !== 'number') return first;
    if (!this.#peek('-') || this.#text.charAt(this.#next + 1) === ']') return single(first);
    this.#read();
    const last = this.#classChar();
    if (typeof last !== 'number') return union([single(first), single(45), last]);
    if (last < first) throw new PatternProblem('range out of order in []');
    return range(first, last);
  }

  #classChar(): number | CharSet {
    const c = this.#read();
    if (c !== '\\') return c.charCodeAt(0);
    const escaped = this.#read();
    if (escaped === 'b') return 8;
    const control = Object.hasOwn(CONTROLS, escaped) ? CONTROLS[escaped] : undefined;
    if (control !== undefined) return control;
    if (escaped === 'x') return this.#hex();
    return /[A-Za-z0-9]/.test(escaped) ? this.#escapedSet(escaped) : escaped.charCodeAt(0);
  }

  #set(has: CharSet): Node {
    return { kind: 'set', has: this.#flags.i ? foldCase(has) : has };
  }

  #peek(c: string): boolean {
    return this.#text.charAt(this.#next) === c;
  }

  #take(c: string): boolean {
    if (!this.#peek(c)) return false;
    this.#next += 1;
    return true;
  }

  #read(): string {
    if (this.#next >= this.#text.length) throw new PatternProblem('the pattern ends too soon');
    this.#next += 1;
    return this.#text.charAt(this.#next - 1);
  }
}
