/**
 * Where LFS objects lie: `<data>/lfs/<repository id>/aa/bb/<oid>`, whole and synced before their record is written. What
 * comes in has a file of its own under `.incoming` until then; what a crash left there goes at the next start.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory } from '../base/durable.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';
import { parseLfsOid, type LfsOid, type LfsPointer } from './pointer.ts';

/** Repository ids are hexadecimal; nothing else becomes part of a path. */
const ID = /^[0-9a-f]{1,64}$/;
const INCOMING = '.incoming';

/** An object on its way in. Disposed without `keep`, nothing of it is left. */
export interface Incoming extends AsyncDisposable {
  readonly path: string;
  /** Puts it in its place, on disk when this resolves. */
  keep(): Promise<void>;
}

/** Told how far an object has come: its file, then the bytes that can be read of it. */
export interface Watch {
  opened(path: string): void;
  wrote(bytes: number): void;
}

export class LfsStorage {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Makes the place and clears what a crash left. Before anything comes in. */
  async open(): Promise<void> {
    const incoming = join(this.#root, INCOMING);
    await rm(incoming, { recursive: true, force: true });
    await mkdir(incoming, { recursive: true, mode: 0o700 });
  }

  /** Ids of repositories that have objects here. */
  async repositories(): Promise<readonly string[]> {
    return (await readdir(this.#root)).filter((name) => ID.test(name));
  }

  path(repositoryId: string, oid: LfsOid): string {
    if (!ID.test(repositoryId) || parseLfsOid(oid) === undefined) {
      throw new Fault('internal', 'lfs object has no path', { context: { repositoryId } });
    }
    return join(this.#root, repositoryId, oid.slice(0, 2), oid.slice(2, 4), oid);
  }

  /** Bytes of the file; undefined: there is none. */
  async size(repositoryId: string, oid: LfsOid): Promise<number | undefined> {
    try {
      return (await stat(this.path(repositoryId, oid))).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Undefined: there is none. Whoever opens it closes it. */
  async read(repositoryId: string, oid: LfsOid): Promise<FileHandle | undefined> {
    try {
      return await open(this.path(repositoryId, oid), 'r');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /**
   * Writes `content` down while its hash is taken; never more than a chunk of it is in memory. Refused where it is not the
   * object that it should be: longer, shorter, or of another hash. @throws what `content` throws.
   */
  async receive(
    repositoryId: string,
    { oid, size }: LfsPointer,
    content: AsyncIterable<Uint8Array>,
    watch?: Watch,
  ): Promise<Parsed<Incoming>> {
    const path = join(this.#root, INCOMING, randomUUID());
    const final = this.path(repositoryId, oid);
    const drop = (): Promise<void> => rm(path, { force: true });
    try {
      const file = await open(path, 'wx', 0o600);
      let wrong: string | undefined;
      try {
        watch?.opened(path);
        wrong = await copyInto(file, { oid, size }, { content, watch });
        if (wrong === undefined) await file.sync();
      } finally {
        await file.close();
      }
      if (wrong === undefined) return ok(this.#incoming(path, final));
      await drop();
      return refuse(wrong);
    } catch (error) {
      await drop();
      throw error;
    }
  }

  /** The objects of one repository, for ever. */
  async purge(repositoryId: string): Promise<void> {
    if (ID.test(repositoryId)) await rm(join(this.#root, repositoryId), { recursive: true, force: true });
  }

  async remove(repositoryId: string, oid: LfsOid): Promise<void> {
    await rm(this.path(repositoryId, oid), { force: true });
  }

  #incoming(path: string, final: string): Incoming {
    return {
      path,
      keep: async () => {
        await this.#makeDirectory(dirname(final));
        await rename(path, final);
        await syncDirectory(dirname(final));
      },
      async [Symbol.asyncDispose]() {
        await rm(path, { force: true });
      },
    };
  }

  /** Each new directory's name is on disk, too. */
  async #makeDirectory(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
  }
}

/** Why what came is not the object; undefined: it is. */
async function copyInto(
  file: FileHandle,
  { oid, size }: LfsPointer,
  { content, watch }: { readonly content: AsyncIterable<Uint8Array>; readonly watch: Watch | undefined },
): Promise<string | undefined> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > size) return `more than the ${size} bytes that were announced came`;
    hash.update(chunk);
    for (let at = 0; at < chunk.length;) {
      const { bytesWritten } = await file.write(chunk, at, chunk.length - at);
      at += bytesWritten;
    }
    watch?.wrote(bytes);
  }
  if (bytes < size) return `only ${bytes} of ${size} bytes came`;
  return hash.digest('hex') === oid ? undefined : 'what came has another SHA-256 than its oid says';
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
