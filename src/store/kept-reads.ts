/**
 * A store whose `get` is answered from memory where that gives exactly what the store would give. An object that some
 * transaction of this process is about to write is read through, and not kept, from before the transaction is handed on
 * until its end is known; nobody but this process writes (`data-directory.ts` holds the lock), so anything else stands
 * as it was read. There is nothing to expire.
 *
 * The same `Stored` object comes back until its record is written: what is made of one may hang on it in a WeakMap, and
 * is then exact as well.
 */
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import type { Kind, Led, ListOptions, Store, Stored, Transaction, TransactResult, WatchEvent } from './store.ts';

/** What every request asks for. Absences are kept too: what is not there takes no longer to find out than what is. */
const KEPT: ReadonlySet<Kind> = new Set<Kind>([
  'meta',
  'user',
  'group',
  'key',
  'token',
  'pass',
  'repository',
  'repository-name',
  'repository-rules',
]);
/** Rough cost of an entry beside its key and value; values cost more as objects than as text. */
const ENTRY_BYTES = 256;
const VALUE_FACTOR = 3;
/** One entry takes no more than this part of the whole. */
const LARGEST_SHARE = 16;
/** Faults of a transaction that was surely not applied. */
const NOTHING_WRITTEN: ReadonlySet<string> = new Set(['busy', 'bad-input', 'aborted']);

interface Kept {
  readonly stored: Stored | undefined;
  readonly bytes: number;
}

/** A read cache in front of a store. @param bytesMax what is held in memory at most, by estimate. Default `BOUNDS.keptReadsBytesMax`. */
export function keepReads(store: Store, bytesMax: number = BOUNDS.keptReadsBytesMax): Store {
  return new KeptReads(store, bytesMax);
}

class KeptReads implements Store {
  readonly #store: Store;
  readonly #bytesMax: number;
  /** Two generations, so that what is asked for often survives a flood of what is asked for once. */
  #young = new Map<string, Kept>();
  #old = new Map<string, Kept>();
  #youngBytes = 0;
  #isClosed = false;
  /** Counts transactions, so that a read notices one that began while it ran. */
  #begun = 0;
  /** Objects that are being written, with how many transactions write them. */
  readonly #open = new Map<string, number>();

  constructor(store: Store, bytesMax: number) {
    this.#store = store;
    this.#bytesMax = bytesMax;
  }

  get standing(): number | undefined {
    return this.#open.size > 0 || this.#isClosed ? undefined : this.#begun;
  }

  async get(kind: Kind, key: string): Promise<Stored | undefined> {
    if (this.#isClosed || !KEPT.has(kind)) return this.#store.get(kind, key);
    const name = nameOf(kind, key);
    const kept = this.#young.get(name) ?? this.#fromOld(name);
    if (kept !== undefined) return kept.stored;
    if (this.#open.has(name)) return this.#store.get(kind, key);
    const begun = this.#begun;
    const stored = await this.#store.get(kind, key);
    // What came back may be older than a transaction that began meanwhile: then it is not kept.
    if (begun === this.#begun) this.#keep(name, stored);
    return stored;
  }

  async transact(transaction: Transaction): Promise<TransactResult> {
    const names = transaction.writes.filter(({ kind }) => KEPT.has(kind)).map(({ kind, key }) => nameOf(kind, key));
    if (names.length === 0) return this.#store.transact(transaction);
    this.#begun += 1;
    for (const name of names) {
      this.#open.set(name, (this.#open.get(name) ?? 0) + 1);
      this.#drop(name);
    }
    let isSettled = true;
    try {
      return await this.#store.transact(transaction);
    } catch (error) {
      // Nobody knows whether it was written, now or later: never kept again.
      isSettled = error instanceof Fault && NOTHING_WRITTEN.has(error.code);
      throw error;
    } finally {
      if (isSettled) for (const name of names) this.#close(name);
    }
  }

  list(kind: Kind, options?: ListOptions): Promise<readonly Stored[]> {
    return this.#store.list(kind, options);
  }

  follow(from: Kind, to: Kind, options?: ListOptions): Promise<readonly Led[]> {
    return this.#store.follow(from, to, options);
  }

  revision(): Promise<number> {
    return this.#store.revision();
  }

  watch(options: {
    readonly kinds?: readonly Kind[];
    readonly from: number;
    readonly signal: AbortSignal;
  }): AsyncIterable<WatchEvent> {
    return this.#store.watch(options);
  }

  close(): Promise<void> {
    // A closed store refuses to read, whatever was kept.
    this.#isClosed = true;
    return this.#store.close();
  }

  #fromOld(name: string): Kept | undefined {
    const kept = this.#old.get(name);
    if (kept === undefined) return undefined;
    this.#old.delete(name);
    this.#add(name, kept);
    return kept;
  }

  #keep(name: string, stored: Stored | undefined): void {
    const text = stored === undefined ? '' : JSON.stringify(stored.value);
    const bytes = ENTRY_BYTES + 2 * name.length + VALUE_FACTOR * text.length;
    if (bytes > this.#bytesMax / LARGEST_SHARE) return;
    this.#drop(name);
    this.#add(name, { stored: stored && frozen(stored), bytes });
  }

  #add(name: string, kept: Kept): void {
    if (this.#youngBytes + kept.bytes > this.#bytesMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(name, kept);
    this.#youngBytes += kept.bytes;
  }

  #drop(name: string): void {
    const kept = this.#young.get(name);
    if (kept !== undefined) this.#youngBytes -= kept.bytes;
    this.#young.delete(name);
    this.#old.delete(name);
  }

  #close(name: string): void {
    const left = (this.#open.get(name) ?? 0) - 1;
    if (left > 0) this.#open.set(name, left);
    else this.#open.delete(name);
  }
}

/** Everybody gets this very object: nobody may change it. */
function frozen<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) frozen(part);
  return Object.freeze(value);
}

function nameOf(kind: Kind, key: string): string {
  return `${kind}\0${key}`;
}
