/**
 * The records of held pushes in the store, and what bounds are counted on of each, in memory. A record that does not parse is
 * set aside: nothing is decided about it, and its objects stay until an administrator removes it.
 */
import { Fault } from '../base/fault.ts';
import type { Store, Stored, Write } from '../store/store.ts';
import type { ReceiveLog } from './commit.ts';
import { summaryOf, type Summary } from './hold-bounds.ts';
import { readHeld, writeHeld, type HeldPush } from './hold-record.ts';

/** A record that does not parse. */
export interface DamagedHold {
  readonly id: string;
  /** Of the store. */
  readonly version: number;
}

export interface HoldRecordsParts {
  readonly store: Store;
  readonly log: Pick<ReceiveLog, 'error'>;
  /** How many wait now. */
  readonly onWaiting?: ((count: number) => void) | undefined;
}

/** Records read at once. */
const PAGE = 50;

export class HoldRecords {
  readonly #parts: HoldRecordsParts;
  readonly #damaged = new Set<string>();
  #index: Promise<Map<string, Summary>> | undefined;

  constructor(parts: HoldRecordsParts) {
    this.#parts = parts;
  }

  /** @throws Fault `corrupt` with a public message where the record is damaged. */
  async find(id: string): Promise<HeldPush | undefined> {
    const stored = await this.#parts.store.get('held', id);
    return stored === undefined ? undefined : readWhole(stored);
  }

  /** Undefined also for a damaged one. */
  async findWhole(id: string): Promise<HeldPush | undefined> {
    const stored = await this.#parts.store.get('held', id);
    return stored && this.#whole(stored);
  }

  /** `damaged`: there is a record that does not parse. As the store says: one whose writing seemed to fail may be there. */
  async look(id: string): Promise<HeldPush | 'damaged' | undefined> {
    const stored = await this.#parts.store.get('held', id);
    return stored && (this.#whole(stored) ?? 'damaged');
  }

  /** Ids whose records are damaged, as far as they were read. */
  get damaged(): ReadonlySet<string> {
    return this.#damaged;
  }

  /** What can be told of a damaged record; undefined: there is none, or it is whole. */
  async findDamaged(id: string): Promise<DamagedHold | undefined> {
    const stored = await this.#parts.store.get('held', id);
    if (stored === undefined || this.#whole(stored) !== undefined) return undefined;
    return { id, version: stored.version };
  }

  /** False: it changed meanwhile. */
  async removeDamaged({ id, version }: DamagedHold): Promise<boolean> {
    const done = await this.#parts.store.transact({
      checks: [{ kind: 'held', key: id, version }],
      writes: [{ kind: 'held', key: id, delete: true }],
    });
    if (done.kind !== 'committed') return false;
    this.#damaged.delete(id);
    (await this.summaries()).delete(id);
    await this.count();
    return true;
  }

  /** All but damaged ones, in the order of ids: one at a time, for one may be large. */
  async *list(): AsyncGenerator<HeldPush> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#parts.store.list('held', { limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const stored of page) {
        const held = this.#whole(stored);
        if (held !== undefined) yield held;
      }
      after = page.at(-1)?.key;
      if (after === undefined) return;
    }
  }

  /** A compare-and-set. Undefined: somebody else changed it first. */
  async put({ id: key, version }: Pick<HeldPush, 'id' | 'version'>, next: HeldPush): Promise<HeldPush | undefined> {
    const done = await this.#parts.store.transact({
      checks: [{ kind: 'held', key, version }],
      writes: [{ kind: 'held', key, put: writeHeld(next) }],
    });
    return done.kind === 'committed' ? { ...next, version: done.version } : undefined;
  }

  /** Forgets what was decided long ago. */
  async remove(ids: readonly string[]): Promise<void> {
    await this.#parts.store.transact({ writes: ids.map((key): Write => ({ kind: 'held', key, delete: true })) });
    const index = await this.summaries();
    for (const id of ids) index.delete(id);
  }

  /** Counts with the record as it is now. */
  async note(held: HeldPush): Promise<void> {
    (await this.summaries()).set(held.id, summaryOf(held));
    await this.count();
  }

  /** Of every record; read at the first call, and again behind `reread`. */
  summaries(): Promise<Map<string, Summary>> {
    this.#index ??= this.#readIndex().catch((error: unknown) => {
      // What could not be read now may be read by the next.
      this.#index = undefined;
      throw error;
    });
    return this.#index;
  }

  reread(): Promise<Map<string, Summary>> {
    this.#index = undefined;
    return this.summaries();
  }

  async count(): Promise<void> {
    const waiting = [...(await this.summaries()).values()].filter(({ state }) => state === 'waiting');
    this.#parts.onWaiting?.(waiting.length);
  }

  async #readIndex(): Promise<Map<string, Summary>> {
    const index = new Map<string, Summary>();
    for await (const held of this.list()) index.set(held.id, summaryOf(held));
    return index;
  }

  /** Undefined: it is damaged, and the log says so once. */
  #whole(stored: Stored): HeldPush | undefined {
    try {
      return readWhole(stored);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'corrupt') throw error;
      if (!this.#damaged.has(stored.key)) {
        this.#parts.log.error({ held: stored.key, error }, 'set a damaged record of a held push aside');
      }
      this.#damaged.add(stored.key);
      return undefined;
    }
  }
}

function readWhole(stored: Stored): HeldPush {
  try {
    return readHeld(stored);
  } catch (cause) {
    throw new Fault('corrupt', 'record of a held push is damaged', {
      cause,
      context: { held: stored.key },
      publicMessage: `the record of the held push ${stored.key} is damaged: its objects are kept until the store is brought back from a backup, or an administrator removes it with hold refuse`,
    });
  }
}
