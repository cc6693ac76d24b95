/** `VREF/partial-copy`, the last of a repository's rules: what is pushed to a copy of some branches goes on to the whole. */
import { join } from 'node:path';
import { isZeroOid } from '../../git/oid.ts';
import { glLog } from '../gl-log.ts';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';
import type { VrefAnswer, VrefQuestion } from './vref.ts';

/** Hooks of the whole repository asked about the push when its parts are; here nobody asks again. */
const NO_HOOKS = 'core.hooksPath=/dev/null';
const TIMEOUT_MS = 10 * 60_000;

/** @param run whose working directory and environment are those of the copy, with the push's objects in sight. */
export async function partialCopy(run: Run, { update, place }: VrefQuestion): Promise<VrefAnswer> {
  const main = await mainOf(run, place.gitDir);
  if (main === undefined) return {};
  const { refname, oldOid, newOid } = update;
  const path = join(run.rc.repositoryBase, `${main}.git`);
  const rest = '--receive-pack=git -c core.hooksPath=/dev/null receive-pack';
  const push = ['-c', NO_HOOKS, 'push', '-f', rest, path];
  if (isZeroOid(newOid)) {
    if (!(await git(run, [...push, `:${refname}`]))) return failed(`FATAL: failed to delete ${refname}`);
    await logPassing(run, path, [refname, oldOid, newOid]);
    return {};
  }
  const passing = `refs/partial/br-${run.clock.randomBytes(4).readUInt32BE()}`;
  if (!(await git(run, [...push, `${newOid}:${passing}`]))) return failed(`FATAL: failed to send ${newOid}`);
  await logPassing(run, path, [passing, '0'.repeat(newOid.length), newOid]);
  const inMain = [`--git-dir=${path}`, '-c', NO_HOOKS, 'update-ref'];
  await git(run, [...inMain, '-d', passing]);
  if (await git(run, [...inMain, refname, newOid, oldOid])) return {};
  return failed(`FATAL: update-ref for ${refname} failed`);
}

/** As gitolite's update hook says that it was not asked. */
export async function logPassing(run: Run, path: string, update: readonly string[]): Promise<void> {
  await glLog(run, 'update', path, `(${run.env['USER'] ?? '?'})`, 'bypass', ...update);
}

/** The repository of which this one is a copy, by its git config. */
export async function mainOf(run: Run, gitDir: string): Promise<string | undefined> {
  const args = ['config', '--file', join(gitDir, 'config'), '--get', 'gitolite.partialCopyOf'];
  const { stdout } = await runProgram(run, { file: 'git', args, stdout: 'collect', timeoutMs: TIMEOUT_MS });
  const name = stdout.trim();
  return name === '' ? undefined : name;
}

async function git(run: Run, args: readonly string[]): Promise<boolean> {
  const { code } = await runProgram(run, { file: 'git', args, stdout: 'stderr', timeoutMs: TIMEOUT_MS });
  return code === 0;
}

function failed(text: string): VrefAnswer {
  return { said: `${text}\n`, code: 1 };
}
