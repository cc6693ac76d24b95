/**
 * Patterns as automata. Matching looks at every character once and keeps a set of states, so its time is
 * at most the length of the text times the size of the pattern: no input makes it slow. That is why the
 * pattern languages here know no back reference and no look-around.
 */
import { Automaton } from './automaton.ts';
import { tabulate, type CharSet } from './char-set.ts';
import { columnsOf, type State } from './columns.ts';
import type { View } from './views.ts';

/** What a pattern parser makes. */
export type Node =
  | { readonly kind: 'set'; readonly has: CharSet }
  | AssertNode
  | { readonly kind: 'sequence' | 'choice'; readonly nodes: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly min: number; readonly max: number };

/** Holds or not between two characters. */
export interface AssertNode {
  readonly kind: 'assert';
  readonly holds: (text: string, index: number) => boolean;
  /** Only before the first character. */
  readonly isStart?: boolean;
  /** In a text without newlines: only behind the last character. */
  readonly isEnd?: boolean;
}

export const PATTERN_CHARS_MAX = 1_000;
export const PATTERN_STATES_MAX = 4_000;

export type Pattern =
  | { readonly kind: 'ok'; readonly automaton: Automaton }
  | { readonly kind: 'wrong'; readonly message: string };

export type PatternNode =
  | {
      readonly kind: 'ok';
      readonly node: Node;
      /** How it sees a text that is not ASCII. */
      readonly view: View;
    }
  | { readonly kind: 'wrong'; readonly message: string };

/** The automaton of a parsed pattern, if it is not too large. */
export function buildPattern(parsed: PatternNode): Pattern {
  if (parsed.kind === 'wrong') return parsed;
  const builder = new Builder();
  const end = builder.add({ kind: 'match' });
  const start = builder.build(parsed.node, end);
  if (start === undefined) return { kind: 'wrong', message: 'the pattern is too large' };
  const { node, view } = parsed;
  return { kind: 'ok', automaton: new Automaton(columnsOf(builder.states, start, isAnchored(node)), view) };
}

function isAnchored(node: Node): boolean {
  if (node.kind === 'sequence') return node.nodes[0] !== undefined && isAnchored(node.nodes[0]);
  return node.kind === 'assert' && node.isStart === true;
}

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
        return this.add({ kind: 'assert', holds: node.holds, edge: edgeOf(node), next });
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

function edgeOf({ isStart = false, isEnd = false }: AssertNode): 'start' | 'end' | undefined {
  if (isStart) return 'start';
  return isEnd ? 'end' : undefined;
}
