/** A parsed RE2 pattern. Flags are gone: case folding lies in the sets, `(?s)` and `(?m)` in sets and assertions. */
import type { CharSet } from './char-set.ts';

export type Assertion = 'line-start' | 'line-end' | 'text-start' | 'text-end' | 'word-boundary' | 'no-word-boundary';

export type Pattern =
  | { readonly kind: 'set'; readonly set: CharSet }
  | { readonly kind: 'assertion'; readonly assertion: Assertion }
  /** Without parts it matches the empty string. */
  | { readonly kind: 'sequence'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'choice'; readonly parts: readonly Pattern[] }
  | Repeat
  | { readonly kind: 'group'; readonly body: Pattern; readonly index: number };

export interface Repeat {
  readonly kind: 'repeat';
  readonly body: Pattern;
  readonly min: number;
  /** Infinity: no bound. */
  readonly max: number;
  readonly greedy: boolean;
}

export const EMPTY: Pattern = { kind: 'sequence', parts: [] };

/** Whether it can match the empty string. */
export function isNullable(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case 'set':
      return false;
    case 'assertion':
      return true;
    case 'sequence':
      return pattern.parts.every(isNullable);
    case 'choice':
      return pattern.parts.some(isNullable);
    case 'repeat':
      return pattern.min === 0 || isNullable(pattern.body);
    case 'group':
      return isNullable(pattern.body);
    default:
      return pattern satisfies never;
  }
}

/** How many groups it has. */
export function groupsOf(pattern: Pattern): number {
  switch (pattern.kind) {
    case 'set':
    case 'assertion':
      return 0;
    case 'sequence':
    case 'choice':
      return pattern.parts.map(groupsOf).reduce((one, other) => one + other, 0);
    case 'repeat':
      return groupsOf(pattern.body);
    case 'group':
      return 1 + groupsOf(pattern.body);
    default:
      return pattern satisfies never;
  }
}

export function hasGroup(pattern: Pattern): boolean {
  return groupsOf(pattern) > 0;
}
