/**
 * Where a push's objects wait until all is decided: a directory of the repository's own (so that moving them in is a
 * rename), invisible to every reader. Disposing removes it, whatever happened; what a crash left goes later (`leftovers.ts`).
 */
import { constants } from 'node:fs';
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newId, type Clock } from '../base/clock.ts';

/** Everything of the gate's own in a bare repository lies below this; git ignores it. */
export const GATE_DIRECTORY = 'gatehouse';
const INCOMING = join(GATE_DIRECTORY, 'incoming');

export interface Quarantine extends AsyncDisposable {
  /** GIT_OBJECT_DIRECTORY for what runs on the push; nobody else may look into it. */
  readonly objectDirectory: string;
  /** Runs `task` when the quarantine is no more. */
  onDispose(task: () => void): void;
}

/** Ids of those that this process uses: what has another id was left by one that ended. */
const living = new Set<string>();
/** Files in them that were synced as they were written. */
const synced = new Set<string>();

/** The bytes of a file that is made are on disk when they are written (open(2), O_SYNC: as if fsync followed each write). */
export const WRITE_SYNCED = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_SYNC;

/**
 * Makes a file whose bytes and size are on disk once this resolves: made, written and synced in one turn of another
 * thread.
 */
export async function writeSynced(quarantine: Quarantine, name: string, bytes: Uint8Array): Promise<void> {
  const path = join(quarantine.objectDirectory, name);
  await writeFile(path, bytes, { mode: 0o444, flag: WRITE_SYNCED });
  synced.add(path);
  quarantine.onDispose(() => synced.delete(path));
}

/** It was written by `writeSynced`, which nobody does again to a file that is there. */
export function isSynced(path: string): boolean {
  return synced.has(path);
}

export async function openQuarantine(repositoryPath: string, clock: Clock): Promise<Quarantine> {
  const id = newId(clock);
  const path = join(repositoryPath, INCOMING, id);
  living.add(id);
  await makeDirectories(path);
  const tasks: (() => void)[] = [];
  let isGone = false;
  return {
    objectDirectory: path,
    onDispose(task) {
      tasks.push(task);
    },
    async [Symbol.asyncDispose]() {
      for (const task of tasks.splice(0)) task();
      // What was moved in left empty directories: two calls instead of looking through them.
      isGone ||= await removeEmpty([join(path, 'pack'), path]);
      // One that cannot be removed must not undo what was decided: start-up tries again.
      if (!isGone) await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
      living.delete(id);
    },
  };
}

/** From above, which takes a turn of another thread less than from below: all but the first of a repository. */
async function makeDirectories(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch {
    await mkdir(path, { recursive: true, mode: 0o700 });
  }
  await mkdir(join(path, 'pack'), { mode: 0o700 });
}

/** False where there was something in one of them. */
async function removeEmpty(directories: readonly string[]): Promise<boolean> {
  try {
    for (const directory of directories) await rmdir(directory);
    return true;
  } catch {
    return false;
  }
}

/** Removes what a crash left, whatever is being pushed meanwhile. Returns how many there were. */
export async function removeQuarantines(repositoryPath: string): Promise<number> {
  const incoming = join(repositoryPath, INCOMING);
  const found: readonly string[] = await readdir(incoming).catch(() => []);
  const left = found.filter((name) => !living.has(name));
  for (const name of left) await rm(join(incoming, name), { recursive: true, force: true, maxRetries: 3 });
  return left.length;
}
