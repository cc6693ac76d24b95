/**
 * Objects already proven to be reachable, by repository, refs and view: a partial clone asks for its blobs in many
 * small fetches, and only the first ones should cost a walk. Least recently used go first.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { ObjectFormat } from '../git/oid.ts';
import { OidSet } from './oid-set.ts';

export interface Walked {
  readonly seen: OidSet;
  /** `seen` is all there is: what it lacks is unreachable. */
  complete: boolean;
  /** The walk that is running, so that a second one waits for its result. */
  running: Promise<void> | undefined;
  walks: number;
}

export class WalkCache {
  readonly #byKey = new Map<string, Walked>();

  /** What is known under `key`; new and empty where nothing is. */
  of(key: string, format: ObjectFormat): Walked {
    const known = this.#byKey.get(key);
    const walked = known ?? { seen: new OidSet(format), complete: false, running: undefined, walks: 0 };
    this.#byKey.delete(key);
    this.#byKey.set(key, walked);
    if (known === undefined) this.shrink();
    return walked;
  }

  /** Call after a walk grew too: forgets the oldest until the bound holds again. */
  shrink(): void {
    let bytes = 0;
    for (const walked of this.#byKey.values()) bytes += walked.seen.bytes;
    for (const [key, walked] of this.#byKey) {
      if (bytes <= BOUNDS.walkCacheBytesMax) return;
      bytes -= walked.seen.bytes;
      this.#byKey.delete(key);
    }
  }
}
