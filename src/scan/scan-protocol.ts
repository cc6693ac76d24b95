/** What the scanner and its threads say to one another. Secrets are in no answer. */
import type { ItemResult } from './item-scan.ts';
import type { ItemFacts } from './judge.ts';
import type { RuleSet } from './rule-set.ts';
import type { ScanLimits } from './scan-limits.ts';

export interface ThreadData {
  readonly rules: RuleSet;
  readonly limits: ScanLimits;
  /** `CompiledRules.progress`, shared. */
  readonly progress: Int32Array;
}

/** One at a time: the next request follows the answer. */
export type ThreadRequest =
  /** Items that lie in `bytes` one behind the other. */
  | {
      readonly kind: 'batch';
      readonly bytes: Uint8Array;
      readonly items: readonly { readonly facts: ItemFacts; readonly length: number }[];
    }
  | { readonly kind: 'open'; readonly facts: ItemFacts }
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array }
  /** What follows the last chunk; answered with one result. */
  | { readonly kind: 'end' }
  /** Forget the open item. */
  | { readonly kind: 'drop' };

export type ThreadAnswer =
  | { readonly kind: 'ready' }
  /** More, please; `done`: nothing more need be sent before `end`. */
  | { readonly kind: 'taken'; readonly done: boolean }
  | { readonly kind: 'results'; readonly results: readonly ItemResult[] };
