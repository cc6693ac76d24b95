/**
 * Patterns as automata. Matching looks at every character once and keeps a set of states, so its time is
 * at most the length of the text times the size of the pattern: no input makes it slow. That is why the
 * pattern languages here know no back reference and no look-around.
 */
import type { Meter } from '../meter.ts';
import { tabulate, type CharSet } from './char-set.ts';

/** What a pattern parser makes. */
export type Node =
  | { readonly kind: 'set'; readonly has: CharSet }
  /** Holds or not between two characters; `isStart`: only before the first one. */
  | { readonly kind: 'assert'; readonly holds: (text: string, index: number) => boolean; readonly isStart?: boolean }
  | { readonly kind: 'sequence' | 'choice'; readonly nodes: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly min: number; readonly max: number };

export const PATTERN_CHARS_MAX = 1_000;
export const PATTERN_STATES_MAX = 4_000;

export type Pattern =
  | { readonly kind: 'ok'; readonly automaton: Automaton }
  | { readonly kind: 'wrong'; readonly message: string };

export type PatternNode =
  | { readonly kind: 'ok'; readonly node: Node }
  | { readonly kind: 'wrong'; readonly message: string };

/** The automaton of a parsed pattern, if it is not too large. */
export function buildPattern(parsed: PatternNode): Pattern {
  if (parsed.kind === 'wrong') return parsed;
  const builder = new Builder();
  const end = builder.add({ kind: 'match' });
  const start = builder.build(parsed.node, end);
  if (start === undefined) return { kind: 'wrong', message: 'the pattern is too large' };
  return { kind: 'ok', automaton: new Automaton(builder.states, start, isAnchored(parsed.node)) };
}

function isAnchored(node: Node): boolean {
  if (node.kind === 'sequence') return node.nodes[0] !== undefined && isAnchored(node.nodes[0]);
  return node.kind === 'assert' && node.isStart === true;
}

type State =
  | { readonly kind: 'match' }
  | { readonly kind: 'set'; readonly has: CharSet; readonly next: number }
  | { readonly kind: 'assert'; readonly holds: (text: string, index: number) => boolean; readonly next: number }
  | { readonly kind: 'split'; readonly left: number; right: number };

class Builder {
  readonly states: State[] = [];
  /** Counts empty parts too: `(){1000}` within `{1000}` makes no state and would never end. */
  #parts = 0;
  /** A repeated character has many states and one table. */
  readonly #tables = new Map<CharSet, CharSet>();

  add(state: State): number {
    return this.states.push(state) - 1;
  }

  /** The first state of `node`, which goes on to `next`; undefined: too many states. */
  build(node: Node, next: number): number | undefined {
    this.#parts += 1;
    if (this.states.length > PATTERN_STATES_MAX || this.#parts > 4 * PATTERN_STATES_MAX) return undefined;
    switch (node.kind) {
      case 'set':
        return this.add({ kind: 'set', has: this.#table(node.has), next });
      case 'assert':
        return this.add({ kind: 'assert', holds: node.holds, next });
      case 'sequence':
        return node.nodes.toReversed().reduce<number | undefined>((after, one) => this.#then(one, after), next);
      case 'choice':
        return this.#choice(node.nodes, next);
      case 'repeat':
        return this.#repeat(node, next);
      default:
        return node satisfies never;
    }
  }

  #table(has: CharSet): CharSet {
    const known = this.#tables.get(has) ?? tabulate(has);
    this.#tables.set(has, known);
    return known;
  }

  #then(node: Node, next: number | undefined): number | undefined {
    return next === undefined ? undefined : this.build(node, next);
  }

  #choice(nodes: readonly Node[], next: number): number | undefined {
    let right: number | undefined;
    for (const node of nodes.toReversed()) {
      const left = this.build(node, next);
      if (left === undefined) return undefined;
      right = right === undefined ? left : this.add({ kind: 'split', left, right });
    }
    return right ?? next;
  }

  #repeat(node: Node & { readonly kind: 'repeat' }, next: number): number | undefined {
    let start: number | undefined = next;
    if (node.max === Infinity) {
      const loop = this.add({ kind: 'split', left: next, right: next });
      const body = this.build(node.node, loop);
      if (body === undefined) return undefined;
      this.states[loop] = { kind: 'split', left: body, right: next };
      start = loop;
    } else {
      for (let count = node.min; count < node.max; count += 1) {
        const body: number | undefined = this.#then(node.node, start);
        if (body === undefined) return undefined;
        start = this.add({ kind: 'split', left: body, right: next });
      }
    }
    for (let count = 0; count < node.min; count += 1) start = this.#then(node.node, start);
    return start;
  }
}

/** States by generation, so that clearing the set costs nothing. */
class StateSet {
  readonly members: Int32Array;
  readonly #seen: Int32Array;
  #generation = 0;
  size = 0;

  constructor(count: number) {
    this.members = new Int32Array(count);
    this.#seen = new Int32Array(count);
  }

  clear(): void {
    this.#generation += 1;
    this.size = 0;
  }

  /** False where it was there already. */
  mark(state: number): boolean {
    if (this.#seen[state] === this.#generation) return false;
    this.#seen[state] = this.#generation;
    return true;
  }

  push(state: number): void {
    this.members[this.size] = state;
    this.size += 1;
  }
}

const MATCH = 0;
const SET = 1;
const ASSERT = 2;
const SPLIT = 3;

export class Automaton {
  readonly #start: number;
  /** It can only match from the first character on. */
  readonly #isAnchored: boolean;
  // The states, a column for each part: flat numbers are walked several times faster than objects.
  readonly #ops: Uint8Array;
  readonly #next: Int32Array;
  readonly #other: Int32Array;
  readonly #sets: readonly (CharSet | undefined)[];
  readonly #assertions: readonly (((text: string, index: number) => boolean) | undefined)[];
  readonly #stack: Int32Array;
  #now: StateSet;
  #then: StateSet;
  /** States looked at since the meter was last told. */
  #steps = 0;

  constructor(states: readonly State[], start: number, isAnchored: boolean) {
    this.#start = start;
    this.#isAnchored = isAnchored;
    this.#ops = Uint8Array.from(states, opOf);
    this.#next = Int32Array.from(states, (state) =>
      state.kind === 'split' ? state.left : state.kind === 'match' ? 0 : state.next,
    );
    this.#other = Int32Array.from(states, (state) => (state.kind === 'split' ? state.right : 0));
    this.#sets = states.map((state) => (state.kind === 'set' ? state.has : undefined));
    this.#assertions = states.map((state) => (state.kind === 'assert' ? state.holds : undefined));
    // Each state is pushed at most once by each of two others that were not seen before it.
    this.#stack = new Int32Array(2 * states.length + 2);
    this.#now = new StateSet(states.length);
    this.#then = new StateSet(states.length);
  }

  get size(): number {
    return this.#ops.length;
  }

  /** Whether the pattern matches anywhere in `text`; false too where the meter is spent. */
  find(text: string, meter: Meter): boolean {
    this.#now.clear();
    for (let index = 0; index <= text.length; index += 1) {
      if ((index === 0 || !this.#isAnchored) && this.#enter(this.#now, this.#start, text, index)) return true;
      if (!meter.spend(this.#steps + 1)) return false;
      this.#steps = 0;
      if (index === text.length || (this.#isAnchored && this.#now.size === 0)) return false;
      if (this.#read(text, index)) return true;
      [this.#now, this.#then] = [this.#then, this.#now];
    }
    return false;
  }

  /** From the states before the character at `index` to those behind it. */
  #read(text: string, index: number): boolean {
    const code = text.charCodeAt(index);
    this.#then.clear();
    for (let i = 0; i < this.#now.size; i += 1) {
      const at = this.#now.members[i] ?? 0;
      if (this.#sets[at]?.(code) === true && this.#enter(this.#then, this.#next[at] ?? 0, text, index + 1)) return true;
    }
    return false;
  }

  /** Adds what is reached without reading a character. True: that includes the match. */
  #enter(set: StateSet, from: number, text: string, index: number): boolean {
    const stack = this.#stack;
    let depth = 1;
    stack[0] = from;
    while (depth > 0) {
      depth -= 1;
      const at = stack[depth] ?? 0;
      this.#steps += 1;
      if (!set.mark(at)) continue;
      switch (this.#ops[at] ?? MATCH) {
        case MATCH:
          return true;
        case SET:
          set.push(at);
          break;
        case SPLIT:
          stack[depth] = this.#other[at] ?? 0;
          stack[depth + 1] = this.#next[at] ?? 0;
          depth += 2;
          break;
        default:
          if (this.#assertions[at]?.(text, index) === true) stack[depth++] = this.#next[at] ?? 0;
      }
    }
    return false;
  }
}

function opOf(state: State): number {
  switch (state.kind) {
    case 'match':
      return MATCH;
    case 'set':
      return SET;
    case 'assert':
      return ASSERT;
    case 'split':
      return SPLIT;
    default:
      return state satisfies never;
  }
}
