/**
 * Puts changed refs on disk. git syncs the bytes of a loose ref (`core.fsync=all`) but no directory: without this the
 * last push is lost in a power cut.
 */
import { dirname, join } from 'node:path';
import { isZeroOid } from '../git/oid.ts';
import type { Durable } from './durable.ts';
import type { LoggedUpdate } from './log-entry.ts';

/** Resolves when the new values, and the absence of deleted refs, would survive a power cut. */
export async function syncRefs(
  durable: Durable,
  repositoryPath: string,
  updates: readonly LoggedUpdate[],
): Promise<void> {
  const directories = new Set<string>();
  let isPackedChanged = false;
  for (const { refname, newOid } of updates) {
    const isLoose = !isZeroOid(newOid) && (await syncIfThere(() => durable.syncFile(join(repositoryPath, refname))));
    if (!isLoose) isPackedChanged = true;
    // Up to `refs` itself: git makes missing directories and removes empty ones.
    for (let at = dirname(refname); at !== '.'; at = dirname(at)) directories.add(at);
  }
  // The deepest first: a name is on disk before the directory that holds it is named.
  const deepestFirst = [...directories].sort((a, b) => b.length - a.length);
  for (const directory of deepestFirst) await syncIfThere(() => durable.syncDirectory(join(repositoryPath, directory)));
  if (!isPackedChanged) return;
  // A deleted ref leaves packed-refs, which git replaces by renaming; one that was packed meanwhile is in it.
  await syncIfThere(() => durable.syncFile(join(repositoryPath, 'packed-refs')));
  await durable.syncDirectory(repositoryPath);
}

/** False where it is gone: a git beside us may have packed a ref or removed an empty directory meanwhile. */
async function syncIfThere(sync: () => Promise<void>): Promise<boolean> {
  try {
    await sync();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return false;
    throw error;
  }
}
