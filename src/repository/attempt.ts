/** Read, decide, write with compare-and-set; on a conflict from the start again, a bounded number of times. */
import { Fault, ok, type Parsed, type Refusal } from '../base/fault.ts';
import type { Store, Transaction } from '../store/store.ts';

const ATTEMPTS_MAX = 64;

/** What one reading of the state led to: a refusal, nothing to write, or a transaction and what it makes. */
export type Attempt<T> =
  | Refusal
  | { readonly kind: 'unchanged'; readonly value: T }
  | { readonly kind: 'write'; readonly transaction: Transaction; readonly value: (version: number) => T };

/**
 * Commits what `decide` says. `decide` reads the state afresh each time and must not have effects.
 * @throws Fault 'busy' after 64 conflicts in a row: somebody writes the same object all the time.
 */
export async function attempt<T>(store: Store, decide: () => Promise<Attempt<T>>): Promise<Parsed<T>> {
  for (let tries = 0; tries < ATTEMPTS_MAX; tries += 1) {
    const decided = await decide();
    if (decided.kind === 'refused') return decided;
    if (decided.kind === 'unchanged') return ok(decided.value);
    const result = await store.transact(decided.transaction);
    if (result.kind === 'committed') return ok(decided.value(result.version));
  }
  throw new Fault('busy', 'too many conflicting writes', {
    publicMessage: 'somebody else is changing the same thing: try again',
  });
}
