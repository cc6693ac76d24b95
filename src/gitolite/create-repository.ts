/** New repositories: those that the conf names, and those that users make. */
import { chmodSync } from 'node:fs';
import { CREATOR_FILE, repositoryPath, statOf, writeText } from './disk.ts';
import { hookRepository, makeDirectory, resetHooks } from './hooks.ts';
import { runProgram } from './programs.ts';
import { trigger } from './run-triggers.ts';
import { type Run } from './run.ts';
import { ends } from './words.ts';

/** For the conf: PRE_CREATE, the repository, its hooks. POST_CREATE comes when the conf is in force. */
export async function createNamed(run: Run, name: string): Promise<void> {
  await trigger(run, 'PRE_CREATE', [name]);
  await makeRepository(run, name);
}

/** For a user: with PRE_CREATE, the creator's name, POST_CREATE. @param attempt what the user did: R, W, perms-c, fork ... */
export async function createWild(run: Run, name: string, user: string, attempt: string): Promise<void> {
  await trigger(run, 'PRE_CREATE', [name, user, attempt]);
  await makeRepository(run, name);
  writeText(`${repositoryPath(run.rc, name)}/${CREATOR_FILE}`, user, run.rc);
  await trigger(run, 'POST_CREATE', [name, user, attempt]);
}

/** Git makes it, with the account's own configuration: its templates and its name of the first branch count. */
export async function makeRepository(run: Run, name: string): Promise<void> {
  const { rc } = run;
  const path = repositoryPath(rc, name);
  makeDirectory(path, rc);
  const { code } = await runProgram(withoutGitEnv(run), {
    file: 'git',
    args: ['init', '--bare'],
    cwd: path,
    stdout: 'stderr',
  });
  if (code !== 0) throw ends(code);
  if (statOf(`${rc.adminBase}/hooks/common/update`) === undefined) resetHooks(rc);
  hookRepository(rc, name);
  chmodSync(path, 0o777 & ~rc.umask);
}

const GIT_PLACES =
  /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|QUARANTINE_PATH|PREFIX|COMMON_DIR|NAMESPACE)$/;

/** For a git about another repository than the one whose hook called us. */
export function withoutGitEnv(run: Run): Run {
  return { ...run, env: Object.fromEntries(Object.entries(run.env).filter(([name]) => !GIT_PLACES.test(name))) };
}
