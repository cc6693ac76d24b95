/**
 * What must survive a power cut. A file is on disk when its bytes are synced and the directory that names it is synced
 * too; `rename` replaces whole. git's defaults do neither for refs (docs/isolation.md, "Durability").
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsync, fsyncSync, openSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

// A push syncs many files: what does not wait for the disk (to open what is there, to close it) is done at once, because a
// turn of another thread costs more. What changes a directory or a file may wait for the file system's own journal.
const fsyncAsync = promisify(fsync);

/** Syncs a file's bytes and size. */
export async function syncFile(path: string): Promise<void> {
  const descriptor = openSync(path, 'r');
  try {
    await fsyncAsync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Makes a file that was not there, in one turn of another thread. What could not be written whole is removed. @throws EEXIST */
export async function createFile(path: string, data: string | Uint8Array): Promise<void> {
  try {
    await writeFile(path, data, { flag: 'wx' });
  } catch (error) {
    // What could not be opened is not ours: a file that was there before is somebody's.
    if (error instanceof Error && 'syscall' in error && error.syscall !== 'open') await rm(path, { force: true });
    throw error;
  }
}

/** The same for a file or a directory, and blocks: where a start or a failing disk leaves no time for anything else. */
export function syncNow(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Syncs a directory: the names in it, made, replaced or removed, stay so. */
export async function syncDirectory(path: string): Promise<void> {
  await syncFile(path);
}

/** Replaces `path` by `data` so that a power cut leaves the old bytes or the new ones, never a part. */
export async function writeFileDurably(
  path: string,
  data: string | Uint8Array,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o666);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Makes a file that was not there: it is whole and named once this resolves; a power cut before that may leave a part of it.
 * Bytes and name are synced at the same time, which takes half as long as one after the other.
 */
export async function createFileDurably(path: string, data: string | Uint8Array): Promise<void> {
  await createFile(path, data);
  try {
    await allSynced([syncFile(path), syncDirectory(dirname(path))]);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** Waits for all of them even where one fails: nothing of theirs goes on behind the back of who hears of it. */
export async function allSynced(syncs: readonly Promise<unknown>[]): Promise<void> {
  const ends = await Promise.allSettled(syncs);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Renames and syncs both directories, the new name's first: a cut leaves the entry under one name or both, never none. */
export async function moveIntoDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from));
}
