/**
 * Refs changed as one transaction in two phases: `prepare` takes git's own locks and verifies the old values, so that
 * nobody, git beside the gate included, can come between it and `commit`. The gate does it in the files itself where they
 * are plain (`ref-writer-files.ts`), else `git update-ref` does (`ref-writer-git.ts`).
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Refusal } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Repository } from '../repository/repository.ts';
import type { LoggedUpdate } from './log-entry.ts';
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
 * Removes locks that were held in the middle of these updates when their holder was killed. Only for a repository in which
 * nothing of ours changes refs: at start-up.
 */
export async function removeLocks(repositoryPath: string, updates: readonly LoggedUpdate[]): Promise<void> {
  const files = [
    ...updates.map(({ refname }) => `${refname}.lock`),
    'packed-refs.lock',
    'packed-refs.new',
    'HEAD.lock',
  ];
  for (const file of files) await rm(join(repositoryPath, file), { force: true });
}
