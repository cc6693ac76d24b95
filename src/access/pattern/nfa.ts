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
  /** Holds or not between two characters. */
  | { readonly kind: 'assert'; readonly holds: (text: string, index: number) => boolean }
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
  return { kind: 'ok', automaton: new Automaton(builder.states, start) };
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

  add(state: State): number {
    return this.states.push(state) - 1;
  }

  /** The first state of `node`, which goes on to `next`; undefined: too many states. */
  build(node: Node, next: number): number | undefined {
    this.#parts += 1;
    if (this.states.length > PATTERN_STATES_MAX || this.#parts > 4 * PATTERN_STATES_MAX) return undefined;
    switch (node.kind) {
      case 'set':
        return this.add({ kind: 'set', has: tabulate(node.has), next });
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

export class Automaton {
  readonly #states: readonly State[];
  readonly #start: number;
  #now: StateSet;
  #then: StateSet;
  readonly #stack: number[] = [];

  constructor(states: readonly State[], start: number) {
    this.#states = states;
    this.#start = start;
    this.#now = new StateSet(states.length);
    this.#then = new StateSet(states.length);
  }

  get size(): number {
    return this.#states.length;
  }

  /** Whether the pattern matches anywhere in `text`; false too where the meter is spent. */
  find(text: string, meter: Meter): boolean {
    this.#now.clear();
    for (let index = 0; index <= text.length; index += 1) {
      if (this.#enter(this.#now, this.#start, text, index)) return true;
      if (!meter.spend(this.#now.size + 1)) return false;
      this.#then.clear();
      const code = text.charCodeAt(index);
      for (let i = 0; i < this.#now.size && index < text.length; i += 1) {
        const state = this.#states[this.#now.members[i] ?? 0];
        if (state?.kind === 'set' && state.has(code) && this.#enter(this.#then, state.next, text, index + 1))
          return true;
      }
      [this.#now, this.#then] = [this.#then, this.#now];
    }
    return false;
  }

  /** Adds what is reached without reading a character. True: that includes the match. */
  #enter(set: StateSet, from: number, text: string, index: number): boolean {
    const stack = this.#stack;
    stack.length = 0;
    stack.push(from);
    for (;;) {
      const at = stack.pop();
      if (at === undefined) return false;
      if (!set.mark(at)) continue;
      const state = this.#states[at];
      if (state === undefined) continue;
      if (state.kind === 'match') return true;
      if (state.kind === 'set') set.push(at);
      else if (state.kind === 'split') stack.push(state.right, state.left);
      else if (state.holds(text, index)) stack.push(state.next);
    }
  }
}
