/**
 * `RepoUmask`: files of a repository get the permissions that its `option umask` leaves. One process serves all
 * repositories, so its own umask cannot follow: git is told by the repository's configuration (`core.sharedRepository`).
 */
import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { glWarn } from '../gl-log.ts';
import { optionOf } from '../options.ts';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';
import { readSmallFile } from '../small-file.ts';
import { dies } from '../words.ts';
import { repositoryPath } from '../disk.ts';
import type { BuiltInTrigger } from './trigger.ts';

export const REPOSITORY_UMASK: readonly BuiltInTrigger[] = [
  { name: 'RepoUmask::pre_git', run: (run, { args: [repository = ''] }) => tellGit(run, repository) },
  {
    name: 'RepoUmask::post_create',
    async run(run, { args: [repository = ''] }) {
      const text = await textIn(run, repository);
      // Whoever comes for the repository is refused; a compile, and what it does with other people's keys, goes on.
      if (!isUmask(text)) return glWarn(run, `${repository}: ${wrong(text)}`);
      const umask = await umaskOf(run, repository);
      if (umask === undefined) return;
      await tellGit(run, repository);
      await applyTo(repositoryPath(run.rc, repository), umask);
    },
  },
];

/** @throws `dies` */
async function umaskOf(run: Run, repository: string): Promise<number | undefined> {
  const text = await textIn(run, repository);
  if (!isUmask(text)) throw dies(wrong(text));
  return text === '' ? undefined : Number.parseInt(text, 8);
}

/** Empty: the site's is right. */
async function textIn(run: Run, repository: string): Promise<string> {
  const text = await optionOf(run, repository, 'umask');
  return text === undefined || text === '0' ? '' : text;
}

function isUmask(text: string): boolean {
  return text === '' || /^0?[0-7]{1,3}$/.test(text);
}

function wrong(text: string): string {
  return `option umask = ${text}: expected octal digits, such as 0027`;
}

/** The marker beside git's own setting tells ours from one that somebody made by hand. */
async function tellGit(run: Run, repository: string): Promise<void> {
  const umask = await umaskOf(run, repository);
  const path = repositoryPath(run.rc, repository);
  const config = await readSmallFile(join(path, 'config'));
  if (config === undefined) return;
  const marked = /^\s*sharedUmask = ([0-7]+)$/m.exec(config)?.[1];
  const wanted = umask === undefined ? undefined : octal(umask);
  if (marked === wanted) return;
  if (wanted === undefined || umask === undefined) {
    await gitConfig(run, path, ['--unset-all', 'core.sharedRepository']);
    await gitConfig(run, path, ['--unset-all', 'gatehouse.sharedUmask']);
    return;
  }
  // git asks that the owner keeps reading and writing.
  await gitConfig(run, path, ['core.sharedRepository', octal((0o666 & ~umask) | 0o600)]);
  await gitConfig(run, path, ['gatehouse.sharedUmask', wanted]);
}

async function gitConfig(run: Run, path: string, words: readonly string[]): Promise<void> {
  await runProgram(run, { file: 'git', args: ['config', '--file', join(path, 'config'), ...words], stdout: 'stderr' });
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

async function applyTo(path: string, umask: number): Promise<void> {
  await chmod(path, 0o777 & ~umask);
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    const full = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(full, 0o777 & ~umask);
    else if (entry.isFile()) await chmod(full, 0o666 & ~umask);
  }
}
