/** One question about one object, looked for in the order of git, and again where a repack moves it meanwhile. */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { ObjectFormat, Oid } from '../oid.ts';
import { directoryStamp, type ObjectDirectory, type Packed } from './directory.ts';
import { Vanished } from './files.ts';
import { type Ground, LARGE_BYTES } from './ground.ts';
import { looseFile, looseHeader, readLoose } from './loose.ts';
import { BeyondReach, type RawHeader, type RawObject } from './odb.ts';

/** A repack that moves an object while it is read makes us look again; so many in a row are none. */
const LOOKS_MAX = 8;

/** git knows the empty tree everywhere, in the repository or not (object-file.c, find_cached_object). */
const EMPTY_TREES: readonly string[] = [
  '4b825dc642cb6eb9a060e54bf8d69288fbee4904',
  '6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321',
];

export interface SearchOptions {
  readonly ground: Ground;
  /** The object directories as they are now, the nearest first. */
  readonly chain: () => readonly ObjectDirectory[];
  readonly oid: Oid;
  readonly format: ObjectFormat;
}

/** What is to be done with the object where it lies. */
interface Ask<T> {
  readonly packed: (found: Packed) => Promise<T>;
  readonly loose: (path: string) => Promise<T>;
  /** The answer for the empty tree, which need not be anywhere. */
  readonly empty: T;
}

export class Search {
  readonly #options: SearchOptions;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  header(): Promise<RawHeader | undefined> {
    return this.#find<RawHeader>({
      packed: ({ pack, offset }) => pack.header(offset),
      loose: looseHeader,
      empty: { type: 'tree', size: 0 },
    });
  }

  /** The object is what its oid says, or it is beyond reach. */
  async read(): Promise<RawObject | undefined> {
    const { ground, oid, format } = this.#options;
    const object = await this.#find<RawObject>({
      packed: ({ pack, offset }) => pack.read(offset),
      loose: (path) => readLoose(ground, path),
      empty: { type: 'tree', bytes: Buffer.alloc(0) },
    });
    if (object === undefined || ground.verified.get(object) === oid) return object;
    if ((await oidOf(object, format)) !== oid) throw new BeyondReach('object is not what its name says');
    ground.verified.set(object, oid);
    return object;
  }

  async #find<T>(ask: Ask<T>): Promise<T | undefined> {
    const { oid, format } = this.#options;
    const key = Buffer.from(oid, 'hex');
    if (key.length !== (format === 'sha1' ? 20 : 32)) return undefined;
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      const chain = this.#options.chain();
      try {
        const found = await this.#look(chain, key, ask);
        if (found !== undefined) return found;
      } catch (error) {
        if (!(error instanceof Vanished)) throw error;
        for (const directory of chain) directory.lookAgain();
        continue;
      }
      const doubt = doubtOf(chain);
      if (chain.map((directory) => directory.refresh()).includes(true)) continue;
      if (EMPTY_TREES.includes(oid)) return ask.empty;
      if (doubt !== undefined) throw new BeyondReach(doubt);
      return undefined;
    }
    throw new BeyondReach('packs do not stay where they are');
  }

  async #look<T>(chain: readonly ObjectDirectory[], key: Buffer, ask: Ask<T>): Promise<T | undefined> {
    for (const directory of chain) {
      directory.glance();
      const found = await directory.find(key);
      if (found !== undefined) return ask.packed(found);
    }
    for (const { path } of chain) {
      const file = looseFile(path, this.#options.oid);
      if (file === undefined) continue;
      directoryStamp(dirname(file));
      directoryStamp(path);
      return ask.loose(file);
    }
    return undefined;
  }
}

function doubtOf(chain: readonly ObjectDirectory[]): string | undefined {
  if (chain[0]?.isThere() !== true) return 'there is no object directory';
  return chain.find(({ doubt }) => doubt !== undefined)?.doubt;
}

/** gitformat-pack: the hash of `type size NUL bytes`. Large ones leave others their turn. */
async function oidOf({ type, bytes }: RawObject, format: ObjectFormat): Promise<string> {
  const hash = createHash(format).update(`${type} ${bytes.length}\0`);
  if (bytes.length <= LARGE_BYTES) return hash.update(bytes).digest('hex');
  for (let at = 0; at < bytes.length; at += LARGE_BYTES) {
    hash.update(bytes.subarray(at, at + LARGE_BYTES));
    await setImmediate();
  }
  return hash.digest('hex');
}
