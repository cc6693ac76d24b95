/** `partial-copy`: before Git sees a repository that copies another one in part, it gets what its user may read there. */
import { repositoryPath } from '../disk.ts';
import { isAllowed } from '../ask.ts';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';
import { logPassing, mainOf } from '../vref/partial-copy.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const TIMEOUT_MS = 10 * 60_000;
/** Refspecs in one call of git. */
const BATCH = 200;

export const PARTIAL_COPY: BuiltInTrigger = {
  name: 'partial-copy',
  async run(run, { point, args: [repository = '', user = ''] }) {
    if (point !== 'PRE_GIT') throw dies(`partial-copy: called from ${point ?? 'nowhere'}, not from PRE_GIT`);
    const own = repositoryPath(run.rc, repository);
    const name = await mainOf(run, own);
    if (name === undefined) return;
    const main = repositoryPath(run.rc, name);
    const here: Place = { run, own, main };
    const mayRead = (ref: string): Promise<boolean> => isAllowed(run, { repository, user, attempt: 'R', ref });
    const branches = await filtered(await refsOf(run, main, 'refs/heads'), mayRead);
    await fetchFrom(here, branches);
    await removeStray(here, mayRead);
    await removeUnreachableTags(here);
  },
};

interface Place {
  readonly run: Run;
  readonly own: string;
  readonly main: string;
}

/**
 * What cannot be fetched now waits for the next time: a branch whose name is below that of one which is to go, a broken one.
 * Nobody is locked out by it.
 */
async function fetchFrom(here: Place, branches: readonly string[]): Promise<void> {
  for (let start = 0; start < branches.length; start += BATCH) {
    const batch = branches.slice(start, start + BATCH);
    // 1: some refs could not be written. Else git gave up, and for all of them.
    if ((await fetched(here, batch)) <= 1 || batch.length === 1) continue;
    for (const ref of batch) await fetched(here, [ref]);
  }
}

async function fetched({ run, own, main }: Place, refs: readonly string[]): Promise<number> {
  const args = ['--git-dir', own, 'fetch', '-f', main, ...refs.map((ref) => `${ref}:${ref}`)];
  return (await runProgram(run, { file: 'git', args, stdout: 'stderr', timeoutMs: TIMEOUT_MS })).code;
}

/** What the whole repository has no more, or its user may not read any more. */
async function removeStray({ run, own, main }: Place, mayRead: (ref: string) => Promise<boolean>): Promise<void> {
  const there = new Set(await refsOf(run, main, 'refs/heads', 'refs/tags'));
  const stray = await filtered(
    await refsOf(run, own, 'refs/heads', 'refs/tags'),
    async (ref) => !there.has(ref) || !(await mayRead(ref)),
  );
  for (const ref of stray) await remove(run, own, ref);
}

/** Of a tag that leads to no commit nobody can say in time whether a branch leads there: it goes, too. */
async function removeUnreachableTags({ run, own }: Place): Promise<void> {
  const tags = new Set(await refsOf(run, own, 'refs/tags'));
  if (tags.size === 0) return;
  const merged = (await refsOf(run, own, 'refs/heads')).map((branch) => `--merged=${branch}`);
  for (let start = 0; start < merged.length; start += BATCH) {
    const reached = await refsOf(run, own, ...merged.slice(start, start + BATCH), 'refs/tags');
    for (const tag of reached) tags.delete(tag);
  }
  for (const tag of tags) await remove(run, own, tag);
}

/** Said and logged as a push would be that deletes it. */
async function remove(run: Run, own: string, ref: string): Promise<void> {
  const oldOid = (await git(run, own, 'rev-parse', '--verify', '--quiet', ref)).trim();
  const { code } = await runProgram(run, {
    file: 'git',
    args: ['--git-dir', own, 'update-ref', '-d', ref],
    timeoutMs: TIMEOUT_MS,
  });
  if (code !== 0) throw dies(`failed to delete ${ref}`);
  await logPassing(run, own, [ref, oldOid, '0'.repeat(oldOid.length)]);
  await run.warn(`To ${own}\n - ${'[deleted]'.padEnd(17)} ${ref.replace(/^refs\/(heads|tags)\//, '')}\n`);
}

async function refsOf(run: Run, gitDir: string, ...which: readonly string[]): Promise<readonly string[]> {
  const output = await git(run, gitDir, 'for-each-ref', '--format=%(refname)', ...which);
  return output.split('\n').filter((ref) => ref !== '');
}

async function git(run: Run, gitDir: string, ...args: readonly string[]): Promise<string> {
  const spec = { file: 'git', args: ['--git-dir', gitDir, ...args], stdout: 'collect', timeoutMs: TIMEOUT_MS } as const;
  return (await runProgram(run, spec)).stdout;
}

async function filtered(
  refs: readonly string[],
  isMeant: (ref: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const ref of refs) if (await isMeant(ref)) found.push(ref);
  return found;
}
