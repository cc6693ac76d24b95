/**
 * Remembers which committed transactions are applied and journaled, and takes their `pending` objects out of the store in
 * batches: nobody waits for that, and one that stays is replayed at start without effect.
 */
import type { Clock } from '../base/clock.ts';
import type { Store, Write } from '../store/store.ts';

export interface AppliedTransaction {
  /** The repository's id. */
  readonly id: string;
  readonly txid: string;
  /** The version of its `pending` object: a newer transaction's is left alone. */
  readonly version: number;
}

const BATCH_MS = 1_000;
const BATCH_MAX = 256;

interface Parts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
}

export class Applied {
  readonly #parts: Parts;
  /** By repository: the newest one, until its `pending` object is gone. */
  readonly #waiting = new Map<string, AppliedTransaction>();
  #cancel: (() => void) | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  add(transaction: AppliedTransaction): void {
    this.#waiting.set(transaction.id, transaction);
    this.#cancel ??= this.#parts.clock.after(BATCH_MS, () => {
      void this.flush();
    });
  }

  has(id: string, txid: string): boolean {
    return this.#waiting.get(id)?.txid === txid;
  }

  /** Never rejects. */
  flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#flushing = this.#flushing
      .then(() => this.#clear())
      .catch((error: unknown) => {
        this.#parts.log.warn({ error }, 'fail to clear pending transactions');
      });
    return this.#flushing;
  }

  async #clear(): Promise<void> {
    for (let batch = this.#nextBatch(); batch.length > 0; batch = this.#nextBatch()) {
      const checks = batch.map(({ id, version }) => ({ kind: 'pending', key: id, version }) as const);
      const writes = batch.map(({ id }): Write => ({ kind: 'pending', key: id, delete: true }));
      const result = await this.#parts.store.transact({ checks, writes });
      const done = result.kind === 'committed' ? batch : batch.filter(({ id }) => id === result.check.key);
      for (const transaction of done) this.#forget(transaction);
    }
  }

  #nextBatch(): readonly AppliedTransaction[] {
    return [...this.#waiting.values().take(BATCH_MAX)];
  }

  #forget(transaction: AppliedTransaction): void {
    if (this.#waiting.get(transaction.id) === transaction) this.#waiting.delete(transaction.id);
  }
}
