/**
 * Refs changed as one transaction in two phases: `prepare` takes git's own locks and verifies the old values, so that
 * nobody, git beside the gate included, can come between it and `commit`. The gate does it in the files itself where they
 * are plain (`ref-writer-files.ts`), else `git update-ref` does (`ref-writer-git.ts`).
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Refusal } from '../base/fault.ts';
import { isZeroOid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Repository } from '../repository/repository.ts';
import type { LoggedUpdate } from './log-entry.ts';
import { identityOf } from './ref-sync.ts';
import { prepareInFiles, type FileWriterParts } from './ref-writer-files.ts';
import { createGitRefWriter } from './ref-writer-git.ts';

/** Locks are held. Dispose without `commit` gives them back and changes nothing. */
export interface PreparedRefs extends AsyncDisposable {
  readonly kind: 'prepared';
  /** The bytes of new refs are on disk when `sync` resolves; false: they may not be even after `commit`. */
  readonly isSynced: boolean;
  /** Puts the new values on disk, under the names of their locks. To be over before `commit`. */
  sync(): Promise<void>;
  /** @throws Fault `process` where it could not be finished: some refs may be new, some old. No lock is held then. */
  commit(): Promise<void>;
}

export interface RefWriter {
  /** Refused: some ref is locked, has another value than `oldOid`, or stands in another's way. */
  prepare(repository: Repository, updates: readonly LoggedUpdate[]): Promise<PreparedRefs | Refusal>;
}

/** @param files absent: git changes every ref. */
export function createRefWriter(processes: GitProcesses, files?: FileWriterParts): RefWriter {
  const git = createGitRefWriter(processes);
  if (files === undefined) return git;
  return {
    prepare: async (repository, updates) =>
      (await prepareInFiles(files, repository, updates)) ?? git.prepare(repository, updates),
  };
}

/**
 * Removes locks that were held in the middle of these updates when their holder was killed: of what is there as long as any
 * living holder would hold it, for a git beside the gate may be at work. Only where nothing of ours changes refs.
 */
export async function removeStaleLocks(
  repositoryPath: string,
  updates: readonly LoggedUpdate[],
  clock: Clock,
): Promise<void> {
  const found = lockFilesOf(repositoryPath, updates).map((path) => ({ path, identity: identityOf(path) }));
  const held = found.filter(({ identity }) => identity !== undefined);
  if (held.length === 0) return;
  await new Promise<void>((resolve) => {
    clock.after(HELD_MS, resolve);
  });
  for (const { path, identity } of held) if (identityOf(path) === identity) await rm(path, { force: true });
}

/** What a git that changes a ref needs, with much to spare. */
const HELD_MS = 1_000;

function lockFilesOf(repositoryPath: string, updates: readonly LoggedUpdate[]): readonly string[] {
  const locks = updates.map(({ refname }) => `${refname}.lock`);
  // Nobody takes these where no ref goes.
  const packed = updates.some(({ newOid }) => isZeroOid(newOid)) ? ['packed-refs.lock', 'packed-refs.new'] : [];
  return [...locks, ...packed, 'HEAD.lock'].map((file) => join(repositoryPath, file));
}
