/**
 * Takes small packs in without a git process, all of the process within one bound of memory. What is taken is what git would
 * have taken in silence; of everything else each byte goes back to where it came from, for git to judge.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { allSynced } from '../base/durable.ts';
import { Fault } from '../base/fault.ts';
import { BeyondReach, type Odb } from '../git/odb/odb.ts';
import { Recent } from '../git/odb/recent.ts';
import type { TakeBounds } from '../git/odb/take-entries.ts';
import { TakeInput } from '../git/odb/take-input.ts';
import { takePack, type TakeOptions, type Taken } from '../git/odb/take-pack.ts';
import type { Repository } from '../repository/repository.ts';
import type { ReceiveLimits } from './limits.ts';
import type { PackInput } from './pack-input.ts';
import { writeSynced, type Quarantine } from './quarantine.ts';
import type { SmallPack } from './small-pack.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export interface SmallPackLimits extends TakeBounds {
  /** Held by all small packs together, from their first byte to the end of their pushes. */
  readonly heldBytes: number;
  /** Names of blobs that were looked at and found plain. */
  readonly lookedBytes: number;
}

/** Beyond some megabytes git's own hashing is faster than ours, and a process costs little beside it. */
export const SMALL_PACK_LIMITS: SmallPackLimits = {
  packBytes: 1 * MIB,
  objects: 2_000,
  objectBytes: 2 * MIB,
  unpackedBytes: 4 * MIB,
  heldBytes: 64 * MIB,
  lookedBytes: 256 * KIB,
};

/** Settings with which git would write other files, or look at more. */
const UNUSUAL_CONFIG =
  /sharedrepository|writereverseindex|indexversion|worktreeconfig|partialclone|^[\t ]*\[[\t ]*include/im;

export interface SmallPackOptions {
  readonly repository: Repository;
  readonly quarantine: Quarantine;
  readonly input: PackInput;
  /** The repository's objects. */
  readonly odb: Odb;
  readonly limits: ReceiveLimits;
  readonly mayComplete: boolean;
  readonly signal: AbortSignal;
}

export interface TakenSmall {
  readonly kind: 'indexed';
  readonly pack: string;
  readonly sent: number;
  readonly small: SmallPack;
}

export class SmallPackDesk {
  readonly #limits: SmallPackLimits;
  readonly #looked: Recent<string, true>;
  readonly #givenBack = new Map<string, number>();
  #heldBytes = 0;
  #taken = 0;

  constructor(limits: SmallPackLimits = SMALL_PACK_LIMITS) {
    this.#limits = limits;
    this.#looked = new Recent(limits.lookedBytes);
  }

  /** Packs taken in, packs given back to git by why, and bytes held now. */
  get figures(): {
    readonly taken: number;
    readonly givenBack: ReadonlyMap<string, number>;
    readonly heldBytes: number;
  } {
    return { taken: this.#taken, givenBack: this.#givenBack, heldBytes: this.#heldBytes };
  }

  /**
   * The pack in the quarantine; undefined where git is to take it, with the input as it was before.
   * @throws Fault `aborted`, `timeout` where the sender is gone or silent.
   */
  async take(options: SmallPackOptions): Promise<TakenSmall | undefined> {
    const { quarantine, input, signal } = options;
    if (UNUSUAL_CONFIG.test(readConfig(options.repository.path))) return undefined;
    const bounds = this.#boundsOf(options.limits);
    const share = this.#share();
    const bytes = new TakeInput({ next: () => input.next(signal) }, share, bounds.packBytes);
    try {
      const taken = await this.#takeBytes({ input: bytes, bounds, room: share }, options);
      await write(taken, quarantine);
      this.#taken += 1;
      // Held as long as the push is judged: its steps read the objects.
      quarantine.onDispose(share.release);
      const { name, sent, objects, bases } = taken;
      return { kind: 'indexed', pack: `pack-${name}`, sent, small: { objects, bases } };
    } catch (error) {
      share.release();
      if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
      if (!(error instanceof BeyondReach)) throw error;
      // The messages are constant: there are few of them.
      this.#givenBack.set(error.message, (this.#givenBack.get(error.message) ?? 0) + 1);
      input.unread(bytes.all);
      return undefined;
    }
  }

  #takeBytes(
    parts: Pick<TakeOptions, 'input' | 'bounds' | 'room'>,
    { repository, odb, mayComplete }: SmallPackOptions,
  ): Promise<Taken> {
    return takePack({ ...parts, odb, mayComplete, format: repository.objectFormat, looked: this.#looked });
  }

  #boundsOf(limits: ReceiveLimits): TakeBounds {
    const { packBytes, objects, objectBytes, unpackedBytes } = this.#limits;
    return {
      packBytes: Math.min(packBytes, limits.packBytesMax),
      objects: Math.min(objects, limits.packObjectsMax),
      objectBytes: Math.min(objectBytes, limits.heldBytesMax),
      unpackedBytes,
    };
  }

  /** What one push has of the memory. */
  #share(): Share {
    let held = 0;
    const reserve = (bytes: number): boolean => {
      if (this.#heldBytes + bytes > this.#limits.heldBytes) return false;
      this.#heldBytes += bytes;
      held += bytes;
      return true;
    };
    const release = (): void => {
      this.#heldBytes -= held;
      held = 0;
    };
    return { reserve, release };
  }
}

interface Share {
  readonly reserve: (bytes: number) => boolean;
  /** Gives all of it back; again without effect. */
  readonly release: () => void;
}

/** As git leaves them: read-only. Synced at once, side by side: it takes fewer turns than to sync them before the commit. */
async function write({ name, pack, index }: Taken, quarantine: Quarantine): Promise<void> {
  const path = join('pack', `pack-${name}`);
  await allSynced([writeSynced(quarantine, `${path}.pack`, pack), writeSynced(quarantine, `${path}.idx`, index)]);
}

function readConfig(path: string): string {
  try {
    return readFileSync(join(path, 'config'), 'utf8');
  } catch {
    return '[include]'; // git will say what it thinks of that
  }
}
