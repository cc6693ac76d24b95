/**
 * Lua patterns, which Lace rulesets of Gitano sites use (`VAR pattern P`, `VAR ~P`): `%a`, `[set]`, `.`,
 * the repetitions `* + - ?`, anchors, captures (which change nothing here) and the frontier `%f[set]`.
 * `%b` and back references are refused. Reference: the Lua 5.1 manual, section 5.4.1.
 */
import { ANY, CLASSES, inverse, range, single, union, type CharSet } from './char-set.ts';
import { PATTERN_CHARS_MAX, type Node, type PatternNode } from './nfa.ts';
import { toBytes } from './views.ts';

const LETTERS: Readonly<Record<string, CharSet>> = {
  a: CLASSES.alpha,
  c: CLASSES.cntrl,
  d: CLASSES.digit,
  l: CLASSES.lower,
  p: CLASSES.punct,
  s: CLASSES.space,
  u: CLASSES.upper,
  w: CLASSES.alnum,
  x: CLASSES.xdigit,
  z: single(0),
};

const PERCENT = 37;

const START: Node = { kind: 'assert', holds: (_text, index) => index === 0, isStart: true };
const END: Node = { kind: 'assert', holds: (text, index) => index === text.length, isEnd: true };

export function parseLuaPattern(text: string): PatternNode {
  if (text.length > PATTERN_CHARS_MAX)
    return { kind: 'wrong', message: `a pattern has at most ${PATTERN_CHARS_MAX} characters` };
  if (text.includes('\0')) return { kind: 'wrong', message: 'a zero ends a pattern: write %z' };
  return new LuaParser(toBytes(text)).parse();
}

/** Text that a pattern takes literally. */
export function quoteLua(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9\u0080-\uffff]/g, (c) => (c === '\0' ? '%z' : `%${c}`));
}

class LuaParser {
  readonly #text: string;
  #next = 0;
  #captures = 0;
  #problem: string | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): PatternNode {
    const nodes: Node[] = [];
    if (this.#text.startsWith('^')) {
      nodes.push(START);
      this.#next = 1;
    }
    while (this.#next < this.#text.length && this.#problem === undefined) {
      const node = this.#item();
      if (node !== undefined) nodes.push(node);
    }
    if (this.#problem === undefined && this.#captures > 0) this.#problem = 'unfinished capture';
    if (this.#problem !== undefined) return { kind: 'wrong', message: this.#problem };
    return { kind: 'ok', node: { kind: 'sequence', nodes }, view: toBytes };
  }

  #item(): Node | undefined {
    const c = this.#text.charAt(this.#next);
    if (c === '(') {
      this.#next += 1;
      this.#captures += 1;
      return undefined;
    }
    if (c === ')') {
      this.#next += 1;
      this.#captures -= 1;
      if (this.#captures < 0) this.#problem = 'invalid pattern capture';
      return undefined;
    }
    if (c === '$' && this.#next === this.#text.length - 1) {
      this.#next += 1;
      return END;
    }
    if (c === '%') {
      const special = this.#special();
      if (special !== undefined) return special;
    }
    const has = this.#single();
    return has === undefined ? undefined : this.#repeated({ kind: 'set', has });
  }

  /** `%f[set]`, and what is refused. */
  #special(): Node | undefined {
    const c = this.#text.charAt(this.#next + 1);
    if (c === 'b') this.#problem = '%b is not supported: matching is in linear time';
    if (c >= '0' && c <= '9') this.#problem = 'back references are not supported: matching is in linear time';
    if (c !== 'f') return undefined;
    this.#next += 2;
    if (this.#text.charAt(this.#next) !== '[') this.#problem = "missing '[' after '%f' in pattern";
    const has = this.#single();
    if (has === undefined) return undefined;
    const at = (text: string, index: number): number =>
      index < 0 || index >= text.length ? 0 : text.charCodeAt(index);
    return { kind: 'assert', holds: (text, index) => !has(at(text, index - 1)) && has(at(text, index)) };
  }

  #repeated(node: Node): Node {
    switch (this.#text.charAt(this.#next)) {
      case '*':
      case '-':
        this.#next += 1;
        return { kind: 'repeat', node, min: 0, max: Infinity };
      case '+':
        this.#next += 1;
        return { kind: 'repeat', node, min: 1, max: Infinity };
      case '?':
        this.#next += 1;
        return { kind: 'repeat', node, min: 0, max: 1 };
      default:
        return node;
    }
  }

  /** One character class; undefined with a problem. */
  #single(): CharSet | undefined {
    if (this.#problem !== undefined) return undefined;
    const c = this.#text.charAt(this.#next);
    this.#next += 1;
    if (c === '.') return ANY;
    if (c === '%') return this.#escape();
    if (c === '[') return this.#set();
    return single(c.charCodeAt(0));
  }

  #escape(): CharSet | undefined {
    if (this.#next >= this.#text.length) {
      this.#problem = "malformed pattern (ends with '%')";
      return undefined;
    }
    const c = this.#text.charAt(this.#next);
    this.#next += 1;
    const lower = c.toLowerCase();
    if (lower === 'g') this.#problem = '%g is a class in some versions of Lua only: write [%w%p]';
    const known = Object.hasOwn(LETTERS, lower) ? LETTERS[lower] : undefined;
    if (known === undefined) return single(c.charCodeAt(0));
    return c === lower ? known : inverse(known);
  }

  /** Behind the opening bracket. Where a set ends is found first: a `%` at the end of a range still hides a `]`. */
  #set(): CharSet | undefined {
    const isInverse = this.#text.charAt(this.#next) === '^';
    if (isInverse) this.#next += 1;
    const end = this.#setEnd();
    if (end === undefined) {
      this.#problem = "malformed pattern (missing ']')";
      return undefined;
    }
    const sets: CharSet[] = [];
    while (this.#next < end) {
      const member = this.#member(end);
      if (member === undefined) return undefined;
      sets.push(member);
    }
    this.#next = end + 1;
    const has = union(sets);
    return isInverse ? inverse(has) : has;
  }

  /** A `]` in first place is ordinary. */
  #setEnd(): number | undefined {
    let at = this.#next;
    do {
      at += this.#text.charAt(at) === '%' ? 2 : 1;
      if (at >= this.#text.length) return undefined;
    } while (this.#text.charAt(at) !== ']');
    return at;
  }

  #member(end: number): CharSet | undefined {
    const at = this.#next;
    const first = this.#text.charCodeAt(at);
    this.#next += 1;
    if (first === PERCENT) return this.#escape();
    if (this.#text.charAt(at + 1) !== '-' || at + 2 >= end) return single(first);
    this.#next = at + 3;
    return range(first, this.#text.charCodeAt(at + 2));
  }
}
