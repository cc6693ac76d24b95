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
  g: CLASSES.graph,
  l: CLASSES.lower,
  p: CLASSES.punct,
  s: CLASSES.space,
  u: CLASSES.upper,
  w: CLASSES.alnum,
  x: CLASSES.xdigit,
  z: single(0),
};

const START: Node = { kind: 'assert', holds: (_text, index) => index === 0, isStart: true };
const END: Node = { kind: 'assert', holds: (text, index) => index === text.length, isEnd: true };

export function parseLuaPattern(text: string): PatternNode {
  if (text.length > PATTERN_CHARS_MAX)
    return { kind: 'wrong', message: `a pattern has at most ${PATTERN_CHARS_MAX} characters` };
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
    const known = Object.hasOwn(LETTERS, lower) ? LETTERS[lower] : undefined;
    if (known === undefined) return single(c.charCodeAt(0));
    return c === lower ? known : inverse(known);
  }

  /** Behind the opening bracket. A `]` in first place is ordinary. */
  #set(): CharSet | undefined {
    const isInverse = this.#text.charAt(this.#next) === '^';
    if (isInverse) this.#next += 1;
    const sets: CharSet[] = [];
    for (let isFirst = true; ; isFirst = false) {
      if (this.#next >= this.#text.length) {
        this.#problem = "malformed pattern (missing ']')";
        return undefined;
      }
      const c = this.#text.charAt(this.#next);
      this.#next += 1;
      if (c === ']' && !isFirst) break;
      const member = c === '%' ? this.#escape() : this.#member(c);
      if (member === undefined) return undefined;
      sets.push(member);
    }
    const has = union(sets);
    return isInverse ? inverse(has) : has;
  }

  #member(c: string): CharSet {
    const last = this.#text.charAt(this.#next + 1);
    if (this.#text.charAt(this.#next) !== '-' || last === '' || last === ']') return single(c.charCodeAt(0));
    this.#next += 2;
    return range(c.charCodeAt(0), last.charCodeAt(0));
  }
}
