/**
 * One predicate for all requests that must get the same answers about refs: what hangs on it is made once, and who was given
 * one and asks again after a wait sees by one comparison that nothing has changed. That is exact: as long as anybody holds a
 * predicate, its asker gets no other, however many askers there are meanwhile.
 */
import { BOUNDS } from '../base/bounds.ts';

/** May this ref be read? */
export type ReadPredicate = (refname: string) => boolean;

export class ReadPredicates {
  /** Kept whether somebody holds them or not, the least recently asked for first. */
  readonly #recent = new Map<string, ReadPredicate>();
  /** All that anybody holds. */
  readonly #held = new Map<string, WeakRef<ReadPredicate>>();
  readonly #dropped = new FinalizationRegistry<string>((key) => {
    // Another one may have its place by now.
    if (this.#held.get(key)?.deref() === undefined) this.#held.delete(key);
  });
  readonly #recentMax: number;

  constructor(recentMax: number = BOUNDS.readPredicatesMax) {
    this.#recentMax = recentMax;
  }

  /** Keys that are known, for tests: as many as there are recent ones and holders. */
  get size(): number {
    return this.#held.size;
  }

  /** @param key equal for those who get the same answers */
  of(key: string, make: () => ReadPredicate): ReadPredicate {
    const predicate = this.#held.get(key)?.deref() ?? this.#made(key, make());
    this.#recent.delete(key);
    this.#recent.set(key, predicate);
    const oldest = this.#recent.keys().next();
    if (this.#recent.size > this.#recentMax && oldest.done !== true) this.#recent.delete(oldest.value);
    return predicate;
  }

  #made(key: string, predicate: ReadPredicate): ReadPredicate {
    this.#held.set(key, new WeakRef(predicate));
    this.#dropped.register(predicate, key);
    return predicate;
  }
}
