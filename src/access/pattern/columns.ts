/** The states of an automaton, a column for each part: flat numbers are walked several times faster than objects. */
import type { CharSet } from './char-set.ts';

export type Holds = (text: string, index: number) => boolean;

export type State =
  | { readonly kind: 'match' }
  | { readonly kind: 'set'; readonly has: CharSet; readonly next: number }
  | {
      readonly kind: 'assert';
      readonly holds: Holds;
      /** It holds only there, in a text without newlines; undefined: it looks at neighbours. */
      readonly edge: 'start' | 'end' | undefined;
      readonly next: number;
    }
  | { readonly kind: 'split'; readonly left: number; right: number };

export const MATCH = 0;
export const SET = 1;
export const ASSERT = 2;
export const SPLIT = 3;
/** Assertions that hold at one end of the text only. */
export const AT_START = 4;
export const AT_END = 5;

export interface Columns {
  readonly start: number;
  /** It can only match from the first character on. */
  readonly isAnchored: boolean;
  readonly ops: Uint8Array;
  readonly next: Int32Array;
  readonly other: Int32Array;
  readonly sets: readonly (CharSet | undefined)[];
  readonly assertions: readonly (Holds | undefined)[];
}

export function columnsOf(states: readonly State[], start: number, isAnchored: boolean): Columns {
  return {
    start,
    isAnchored,
    ops: Uint8Array.from(states, opOf),
    next: Int32Array.from(states, (state) =>
      state.kind === 'split' ? state.left : state.kind === 'match' ? 0 : state.next,
    ),
    other: Int32Array.from(states, (state) => (state.kind === 'split' ? state.right : 0)),
    sets: states.map((state) => (state.kind === 'set' ? state.has : undefined)),
    assertions: states.map((state) => (state.kind === 'assert' ? state.holds : undefined)),
  };
}

function opOf(state: State): number {
  switch (state.kind) {
    case 'match':
      return MATCH;
    case 'set':
      return SET;
    case 'assert':
      return state.edge === undefined ? ASSERT : state.edge === 'start' ? AT_START : AT_END;
    case 'split':
      return SPLIT;
    default:
      return state satisfies never;
  }
}
