/** A change of keydir by a user, as a commit of gitolite-admin: what an administrator would do by hand. */
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryPath } from './disk.ts';
import { ADMIN_REPOSITORY } from './hooks.ts';
import { runProgram } from './programs.ts';
import type { Run } from './run.ts';
import { inTurn } from './turns.ts';
import { dies } from './words.ts';

export type HushedGit = (...args: readonly string[]) => Promise<number>;

/**
 * @param change works in a clone, whose keydir it is handed, and says what the commit is to be called.
 * @throws `dies` where git cannot do it.
 */
export async function changeKeys(run: Run, change: (keydir: string, git: HushedGit) => Promise<string>): Promise<void> {
  const source = repositoryPath(run.rc, ADMIN_REPOSITORY);
  await inTurn(run, `${source}/keys`, async () => {
    const clone = await mkdtemp(join(tmpdir(), 'gatehouse-keys-'));
    const silent: Run = { ...run, print: () => Promise.resolve(), warn: () => Promise.resolve() };
    const gitIn =
      (cwd: string): HushedGit =>
      async (...args) =>
        (await runProgram(silent, { file: 'git', args, cwd, env: { GL_BYPASS_ACCESS_CHECKS: '1' } })).code;
    const git = gitIn(clone);
    try {
      if ((await git('clone', source, '.')) !== 0) throw dies('git clone failed\n');
      await nameCommitter(run, git);
      const keydir = join(clone, 'keydir');
      const subject = await change(keydir, gitIn(keydir));
      if ((await git('commit', '-m', subject)) !== 0) throw dies('git commit failed\n');
      if ((await git('push')) !== 0) throw dies('git push failed\n');
    } finally {
      await rm(clone, { recursive: true, force: true });
    }
  });
}

async function nameCommitter(run: Run, git: HushedGit): Promise<void> {
  const account = run.env['USER'] ?? 'git';
  const host = hostname();
  if ((await git('config', '--get', 'user.email')) !== 0) await git('config', 'user.email', `${account}@${host}`);
  if ((await git('config', '--get', 'user.name')) !== 0) await git('config', 'user.name', `${account} on ${host}`);
}
