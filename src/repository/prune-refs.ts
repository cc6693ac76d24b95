/**
 * Removes loose refs whose value stands in packed-refs. `git pack-refs --prune` would pack once more before it prunes, and
 * what it packs then is on no disk when the loose files go; and it complains of every ref that a push holds just then.
 */
import {
  closeSync,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { open, opendir, type FileHandle } from 'node:fs/promises';
import { syncDirectory } from '../base/durable.ts';
import { Stint } from '../base/stint.ts';
import { isStamped, type Stamp, stampOf } from '../git/file-stamp.ts';
import { type ObjectFormat, type Oid, parseOid } from '../git/oid.ts';
import { parsePackedRefs } from '../git/packed-refs.ts';
import { parseRefname, type Refname } from '../git/refname.ts';
import type { Repository } from './repository.ts';

/** Ours, by its text: a gate that was killed while it held one leaves it, and the next upkeep removes it. */
const LOCK_TEXT = 'gatehouse upkeep\n';
/** A value, a newline and then some: what is longer is no plain ref. */
const LOOSE_BYTES_MAX = 256;
/** So often packed-refs may change while it is synced, or while refs are pruned; what is left waits for the next time. */
const CHANGES_MAX = 16;
/** Those of one work tree are never packed (git's refs.c, is_per_worktree_ref). */
const ODD_DIRECTORIES: ReadonlySet<string> = new Set(['refs/worktree', 'refs/bisect', 'refs/rewritten']);

/** Only in the repository's upkeep turn. False: nothing was done, because the files are another user's or of another kind. */
export async function pruneLooseRefs({ path, objectFormat }: Repository, signal?: AbortSignal): Promise<boolean> {
  if (lstatSync(`${path}/refs`).uid !== process.geteuid?.() || stampOf(`${path}/reftable`) !== undefined) return false;
  const pruner = new Pruner(path, objectFormat);
  try {
    await pruner.run(signal);
  } finally {
    await pruner.close();
  }
  return true;
}

interface PackedOnDisk {
  /** Held open: as long as it is, no other file has its inode. */
  readonly file: FileHandle;
  readonly stamp: Stamp;
  readonly refs: ReadonlyMap<Refname, Oid>;
}

class Pruner {
  readonly #path: string;
  readonly #format: ObjectFormat;
  readonly #stint = new Stint();
  #packed: PackedOnDisk | undefined;
  #changes = 0;

  constructor(path: string, format: ObjectFormat) {
    this.#path = path;
    this.#format = format;
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    if (!(await this.#load())) return;
    const directories = ['refs'];
    for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
      for await (const entry of entriesOf(`${this.#path}/${next}`)) {
        const name = `${next}/${entry.name}`;
        if (entry.isDirectory() && !ODD_DIRECTORIES.has(name)) directories.push(name);
        if (!entry.isFile()) continue;
        if (signal?.aborted === true) return;
        if (entry.name.endsWith('.lock')) this.#removeOwnLock(name);
        else if (!(await this.#pruneOne(name))) return;
        if (this.#stint.isOver) await this.#stint.rest();
      }
    }
  }

  async close(): Promise<void> {
    await this.#packed?.file.close();
    this.#packed = undefined;
  }

  /** Reads packed-refs as it is on the disk by then. False: there is none, or it does not stay long enough. */
  async #load(): Promise<boolean> {
    const path = `${this.#path}/packed-refs`;
    while (this.#changes < CHANGES_MAX) {
      this.#changes += 1;
      await this.close();
      if (stampOf(path)?.type !== 'file') return false;
      const file = await open(path, 'r');
      try {
        const stamp = stampOf(path);
        const refs = parsePackedRefs(await file.readFile(), this.#format, () => {});
        await file.sync();
        await syncDirectory(this.#path);
        if (stamp?.ino === fstatSync(file.fd).ino && isStamped(path, stamp)) {
          this.#packed = { file, stamp, refs };
          return true;
        }
      } finally {
        if (this.#packed?.file !== file) await file.close();
      }
    }
    return false;
  }

  /** False: packed-refs changes too often. */
  async #pruneOne(name: string): Promise<boolean> {
    const refname = parseRefname(name);
    for (;;) {
      const packed = this.#packed;
      if (packed === undefined) return false;
      const oid = refname === undefined ? undefined : packed.refs.get(refname);
      if (oid === undefined || this.#valueOf(name) !== oid) return true;
      if (this.#removeLocked(name, oid, packed)) return true;
      if (!(await this.#load())) return false;
    }
  }

  /**
   * As git prunes: under the ref's lock, and only while it still has the value that is packed. Whoever deletes the ref
   * takes the same lock before it leaves packed-refs. Without a turn of anybody else in between, so that a gate that is
   * told to end holds none. False: packed-refs is not what it was.
   */
  #removeLocked(name: string, oid: Oid, packed: PackedOnDisk): boolean {
    const lock = `${this.#path}/${name}.lock`;
    const descriptor = attempt(() => openSync(lock, 'wx'));
    // A push has it; the next upkeep comes by again.
    if (descriptor === undefined) return true;
    try {
      writeSync(descriptor, LOCK_TEXT);
      if (!isStamped(`${this.#path}/packed-refs`, packed.stamp)) return false;
      if (this.#valueOf(name) === oid) unlinkSync(`${this.#path}/${name}`);
    } finally {
      closeSync(descriptor);
      unlinkSync(lock);
    }
    this.#removeEmptyAbove(name);
    return true;
  }

  #valueOf(name: string): Oid | undefined {
    const text = attempt(() => {
      const path = `${this.#path}/${name}`;
      const stat = lstatSync(path);
      return stat.isFile() && stat.size <= LOOSE_BYTES_MAX ? readFileSync(path, 'latin1') : '';
    });
    return text?.endsWith('\n') === true ? parseOid(text.slice(0, -1), this.#format) : undefined;
  }

  /** As git does; `refs/heads` and its like stay. */
  #removeEmptyAbove(name: string): void {
    const parts = name.split('/');
    for (let depth = parts.length - 1; depth > 2; depth -= 1) {
      const removed = attempt(() => (rmdirSync(`${this.#path}/${parts.slice(0, depth).join('/')}`), true));
      if (removed === undefined) return;
    }
  }

  #removeOwnLock(name: string): void {
    const path = `${this.#path}/${name}`;
    const text = attempt(() => (lstatSync(path).size === LOCK_TEXT.length ? readFileSync(path, 'latin1') : ''));
    if (text === LOCK_TEXT) attempt(() => unlinkSync(path));
  }
}

/** A few at a time: a directory may have very many. */
async function* entriesOf(path: string): AsyncGenerator<Dirent> {
  const directory = await opendir(path).catch((error: unknown) => {
    if (isOthers(error)) return undefined;
    throw error;
  });
  if (directory !== undefined) yield* directory;
}

/** Undefined where somebody else was there first: it is there already, or gone, or not empty. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (isOthers(error)) return undefined;
    throw error;
  }
}

function isOthers(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return ['EEXIST', 'ENOENT', 'ENOTDIR', 'ENOTEMPTY'].includes(String(code));
}
