/**
 * Renaming or deleting a user moves what the user owned, which may be too much for one transaction. The first
 * transaction leaves a mark, `meta/hand-over/<name>`; the batches follow; the mark goes last. While it stands
 * nobody can take the old name, and whoever finds it (the next start, the next such change) finishes the work.
 */
import { readFields } from '../base/fields.ts';
import { handOver, ownedBy, type HandOver } from '../repository/ownership.ts';
import type { Check, Store, Write } from '../store/store.ts';
import type { UserName } from './principal.ts';
import { userKey } from './user-record.ts';

/** Whoever moves repositories from one owner to another: the catalogue, or the store alone. */
export interface Ownership {
  handOver(change: HandOver): Promise<void>;
}

const PREFIX = 'hand-over/';

export class HandOvers {
  readonly #store: Store;
  readonly #ownership: Ownership;

  constructor(store: Store, ownership: Ownership = { handOver: (change) => handOver(store, change) }) {
    this.#store = store;
    this.#ownership = ownership;
  }

  /** The mark, to be written with the change that makes the hand-over necessary. */
  mark(change: { readonly from: UserName; readonly to: UserName }): Write {
    return { kind: 'meta', key: `${PREFIX}${userKey(change.from)}`, put: { from: change.from, to: change.to } };
  }

  /** "Nothing is on its way from this name", as a condition of taking it. */
  noneFrom(name: string): Check {
    return { kind: 'meta', key: `${PREFIX}${userKey(name)}`, version: 0 };
  }

  /** Does what the marks say. Without marks: one look-up. */
  async finish(): Promise<void> {
    for (const mark of await this.#store.list('meta', { prefix: PREFIX })) {
      const fields = readFields(mark.value, `meta ${mark.key}`);
      await this.#ownership.handOver({ from: fields.text('from'), to: fields.text('to') });
      // Finished by somebody else at the same time, perhaps: then there is nothing left to remove.
      await this.#store.transact({
        checks: [{ kind: 'meta', key: mark.key, version: mark.version }],
        writes: [{ kind: 'meta', key: mark.key, delete: true }],
      });
    }
  }

  async count(name: string): Promise<number> {
    let count = 0;
    for await (const _ of ownedBy(this.#store, name)) count += 1;
    return count;
  }
}
