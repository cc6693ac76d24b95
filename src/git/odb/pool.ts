/**
 * All objects of all repositories, read by the gate itself: one pool for the process, so that descriptors and memory
 * have one bound. See docs/decisions/101 for what is read here and what is left to git.
 */
import { BOUNDS } from '../../base/bounds.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { Lane } from '../lanes.ts';
import type { ObjectFormat, Oid } from '../oid.ts';
import { ObjectDirectory } from './directory.ts';
import { Files } from './files.ts';
import type { Ground } from './ground.ts';
import { BeyondReach, type Odb } from './odb.ts';
import { Recent } from './recent.ts';
import { Search } from './search.ts';

export interface OdbPoolOptions {
  readonly clock?: Clock;
  /** Objects that `objects/info/alternates` borrows are read too; otherwise git answers where there is such a file. Default false. */
  readonly mayBorrow?: boolean;
  /** Default `BOUNDS.odbFilesMax`. */
  readonly filesMax?: number;
  /** Default `BOUNDS.odbBlockBytesMax`. */
  readonly blockBytesMax?: number;
  /** Default `BOUNDS.odbObjectBytesMax`. */
  readonly objectBytesMax?: number;
  /** Default `BOUNDS.odbReadBytesMax`. */
  readonly readBytesMax?: number;
}

/** git follows alternates of alternates so far (object-file.c, link_alt_odb_entries). */
const ALTERNATES_DEPTH_MAX = 5;
const ALTERNATES_MAX = 64;
/** Objects that are larger than what is inflated at once (`LARGE_BYTES`) and read at the same time; the rest waits. */
const LARGE_AT_ONCE = 4;
const LARGE_WAITING_MAX = 10_000;

export class OdbPool {
  readonly #ground: Ground;
  readonly #mayBorrow: boolean;
  /** By format and path, least recently used first. */
  readonly #directories = new Map<string, ObjectDirectory>();

  constructor(options: OdbPoolOptions = {}) {
    const { clock = systemClock, filesMax: openMax = BOUNDS.odbFilesMax } = options;
    const { blockBytesMax = BOUNDS.odbBlockBytesMax, objectBytesMax = BOUNDS.odbObjectBytesMax } = options;
    this.#mayBorrow = options.mayBorrow ?? false;
    this.#ground = {
      files: new Files({ clock, openMax, blockBytesMax }),
      objects: new Recent(objectBytesMax),
      readBytesMax: options.readBytesMax ?? BOUNDS.odbReadBytesMax,
      now: () => clock.now(),
      verified: new WeakMap(),
      large: new Lane(LARGE_AT_ONCE, LARGE_WAITING_MAX),
    };
  }

  /** Bytes held, by estimate. */
  get bytes(): number {
    return this.#ground.objects.bytes + this.#ground.files.blocks.bytes;
  }

  /** File descriptors open now. */
  get openFiles(): number {
    return this.#ground.files.openCount;
  }

  /** The objects of a repository and of those that it borrows from. Costs nothing: ask for it when it is needed. */
  of(gitDir: string, format: ObjectFormat): Odb {
    return this.#at(() => this.#chain(`${gitDir}/objects`, format, this.#mayBorrow), format);
  }

  /** The objects of a quarantine alone; `layered` puts them before a repository's. Nothing of it is held when it is disposed of. */
  openDirectory(objectDirectory: string, format: ObjectFormat): Odb & AsyncDisposable {
    const dispose = (): Promise<void> => {
      this.#forget(keyOf(objectDirectory, format));
      return Promise.resolve();
    };
    const odb = this.#at(() => this.#chain(objectDirectory, format, false), format);
    return { ...odb, [Symbol.asyncDispose]: dispose };
  }

  /** Gives back all descriptors and memory. What is asked afterwards is answered all the same. */
  close(): void {
    for (const key of this.#directories.keys()) this.#forget(key);
    this.#ground.files.close();
    this.#ground.objects.clear();
  }

  #at(chain: () => readonly ObjectDirectory[], format: ObjectFormat): Odb {
    const search = (oid: Oid): Search => new Search({ ground: this.#ground, chain, oid, format });
    return { read: (oid) => search(oid).read(), header: (oid) => search(oid).header() };
  }

  /** The directory and its alternates, the nearest first, each once. @throws BeyondReach */
  #chain(objectDirectory: string, format: ObjectFormat, mayBorrow: boolean): readonly ObjectDirectory[] {
    const own = this.#directory(objectDirectory, format);
    if (own.alternates().length === 0) return [own];
    // Whatever lies in a repository leads a confined git nowhere else, and us neither.
    if (!mayBorrow) throw new BeyondReach('it borrows objects');
    const chain = [own];
    let level: readonly ObjectDirectory[] = chain;
    for (let depth = 0; depth <= ALTERNATES_DEPTH_MAX && level.length > 0; depth += 1) {
      const next: ObjectDirectory[] = [];
      for (const path of level.flatMap((directory) => directory.alternates())) {
        if (chain.some((directory) => directory.path === path)) continue;
        const directory = this.#directory(path, format);
        next.push(directory);
        chain.push(directory);
      }
      if (chain.length > ALTERNATES_MAX) throw new BeyondReach('there are too many alternates');
      level = next;
    }
    return chain;
  }

  #directory(path: string, format: ObjectFormat): ObjectDirectory {
    const key = keyOf(path, format);
    const directory = this.#directories.get(key) ?? new ObjectDirectory(this.#ground, path, format);
    this.#directories.delete(key);
    this.#directories.set(key, directory);
    for (const oldest of this.#directories.keys()) {
      if (this.#directories.size <= BOUNDS.odbDirectoriesMax) break;
      this.#forget(oldest);
    }
    return directory;
  }

  #forget(key: string): void {
    this.#directories.get(key)?.forget();
    this.#directories.delete(key);
  }
}

function keyOf(path: string, format: ObjectFormat): string {
  return `${format}:${path}`;
}
