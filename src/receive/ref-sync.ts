/**
 * Puts changed refs on disk. git syncs the bytes of a loose ref (`core.fsync=all`) but no directory: without this the
 * last push is lost in a power cut.
 */
import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { allSynced } from '../base/durable.ts';
import { isZeroOid } from '../git/oid.ts';
import type { Durable } from './durable.ts';
import type { LoggedUpdate } from './log-entry.ts';

/** Directories remembered in one life of the gate. */
const NAMED_MAX = 20_000;

/**
 * Directories of refs that are named on disk by the directory above them: while one stays the same, a new ref in it needs
 * itself synced and nothing above. A directory that was removed and made anew is another one.
 */
export class NamedDirectories {
  readonly #identities = new Map<string, string>();

  has(path: string): boolean {
    const known = this.#identities.get(path);
    return known !== undefined && known === identityOf(path);
  }

  /** @param identity as it was before the directory above was synced. */
  add(path: string, identity: string | undefined): void {
    if (identity === undefined) return;
    if (this.#identities.size >= NAMED_MAX) this.#identities.clear();
    this.#identities.set(path, identity);
  }
}

/** Inode and birth: an inode's number is given to another file soon after its own is gone. */
export function identityOf(path: string): string | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev} ${stat.ino} ${stat.birthtimeNs}`;
}

export interface RefSyncOptions {
  /** The bytes of new refs are on disk already, and packed-refs where refs were deleted from it. */
  readonly isSynced?: boolean;
  /** Absent: every directory is synced. */
  readonly named?: NamedDirectories;
}

/**
 * Resolves when the new values, and the absence of deleted refs, would survive a power cut. All at the same time: until
 * then the log entry stands for them.
 */
export async function syncRefs(
  durable: Durable,
  repositoryPath: string,
  updates: readonly LoggedUpdate[],
  { isSynced = false, named }: RefSyncOptions = {},
): Promise<void> {
  const files = updates.filter(({ newOid }) => !isZeroOid(newOid)).map(({ refname }) => join(repositoryPath, refname));
  if (!isSynced) await allSynced(files.map((file) => ifThere(durable.syncFile(file))));
  const directories = directoriesOf(repositoryPath, updates, named);
  await allSynced([...directories.keys()].map((path) => ifThere(durable.syncDirectory(path))));
  for (const [path, identity] of directories) named?.add(path, identity);
  // Asked when the directories are on disk: a git beside us may have packed a ref, and what is seen now was synced then.
  const isPacked = files.some((file) => lstatSync(file, { throwIfNoEntry: false }) === undefined);
  if (!isPacked && (isSynced || files.length === updates.length)) return;
  // A deleted ref leaves packed-refs, which is replaced by renaming.
  await ifThere(durable.syncFile(join(repositoryPath, 'packed-refs')));
  await durable.syncDirectory(repositoryPath);
}

/** Those to be synced, with what each is. Up to `refs` itself where anything on the way may be new, or gone. */
function directoriesOf(
  repositoryPath: string,
  updates: readonly LoggedUpdate[],
  named: NamedDirectories | undefined,
): ReadonlyMap<string, string | undefined> {
  const directories = new Map<string, string | undefined>();
  for (const { refname, newOid } of updates) {
    for (let at = dirname(refname); at !== '.'; at = dirname(at)) {
      const path = join(repositoryPath, at);
      if (!directories.has(path)) directories.set(path, at === 'refs' ? undefined : identityOf(path));
      if (!isZeroOid(newOid) && named?.has(path) === true) break;
    }
  }
  return directories;
}

/** Nothing where it is gone: a git beside us may have packed a ref or removed an empty directory meanwhile. */
async function ifThere(sync: Promise<void>): Promise<void> {
  try {
    await sync;
  } catch (error) {
    const isGone = error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
    if (!isGone) throw error;
  }
}
