/** What has to hold after a crash and a restart, checked from outside with git and the journal's own verification. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readLines } from '../../src/audit/read.ts';
import { verifyJournal } from '../../src/audit/verify.ts';
import { cleanEnvironment, run } from '../support/workspace.ts';

/** Refs by name; an absent one is not in it. */
export type Refs = ReadonlyMap<string, string>;

export interface Expectation {
  readonly repositoryPath: string;
  readonly journalDirectory: string;
  readonly before: Refs;
  readonly after: Refs;
  /** The client was told that its push succeeded. */
  readonly isAcknowledged: boolean;
}

export interface Finding {
  /** Everything wrong, in words; empty is what is wanted. */
  readonly problems: readonly string[];
  readonly refs: Refs;
  readonly fate: 'old' | 'new' | 'mixed';
}

export async function readRefs(repositoryPath: string): Promise<Refs> {
  const format = '--format=%(refname) %(objectname)';
  const { stdout } = await run(
    'git',
    [`--git-dir=${repositoryPath}`, 'for-each-ref', format, 'refs/heads', 'refs/tags'],
    {
      env: cleanEnvironment(repositoryPath),
    },
  );
  const lines = stdout.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line): [string, string] => [line.split(' ')[0] ?? '', line.split(' ')[1] ?? '']));
}

export async function check(expectation: Expectation): Promise<Finding> {
  const { repositoryPath, before, after, isAcknowledged } = expectation;
  const refs = await readRefs(repositoryPath);
  const fate = isSame(refs, after) ? 'new' : isSame(refs, before) ? 'old' : 'mixed';
  const problems: string[] = [];
  if (fate === 'mixed') problems.push(`refs are neither all old nor all new: ${describe(refs)}`);
  if (isAcknowledged && fate !== 'new') problems.push('an acknowledged push is gone');
  problems.push(...(await fsck(repositoryPath)), ...(await lastingLeftovers(repositoryPath)));
  problems.push(...(await checkJournal(expectation, fate)));
  return { problems, refs, fate };
}

export async function fsck(repositoryPath: string): Promise<readonly string[]> {
  const args = [`--git-dir=${repositoryPath}`, 'fsck', '--full', '--strict', '--no-dangling'];
  const { code, stdout, stderr } = await run('git', args, { env: cleanEnvironment(repositoryPath) });
  return code === 0 ? [] : [`fsck ${code}: ${stdout}${stderr}`.trim()];
}

/** A gate removes them behind its doors: it has a while for that. */
export async function lastingLeftovers(repositoryPath: string): Promise<readonly string[]> {
  const deadline = AbortSignal.timeout(10_000);
  for (;;) {
    const left = leftoversUnlessMoving(repositoryPath);
    if (left !== undefined && (left.length === 0 || deadline.aborted)) return left;
    await new Promise(setImmediate);
  }
}

/** Undefined where the gate removed something in the middle of the look. */
function leftoversUnlessMoving(repositoryPath: string): readonly string[] | undefined {
  try {
    return leftovers(repositoryPath);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function leftovers(repositoryPath: string): readonly string[] {
  const incoming = join(repositoryPath, 'gatehouse', 'incoming');
  const quarantines = existsSync(incoming) ? readdirSync(incoming) : [];
  const odd = readdirSync(repositoryPath, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.lock$|\.keep$|tmp_/.test(name),
  );
  return [...quarantines.map((name) => `quarantine ${name} is left`), ...odd.map((name) => `${name} is left`)];
}

async function checkJournal(
  { journalDirectory, before, after }: Expectation,
  fate: Finding['fate'],
): Promise<readonly string[]> {
  if (fate !== 'new' || isSame(before, after)) return journalProblems(journalDirectory, []);
  return journalProblems(
    journalDirectory,
    [...after].filter(([name, oid]) => before.get(name) !== oid),
  );
}

/** @param wanted refs with the values that some push gave them. */
export async function journalProblems(
  journalDirectory: string,
  wanted: readonly (readonly [string, string])[],
): Promise<readonly string[]> {
  const report = await verifyJournal(journalDirectory);
  const problems = report.ok ? [] : [`journal: ${JSON.stringify(report.problems)}`];
  const written = new Set<string>();
  for await (const line of readLines(journalDirectory, { filter: {} })) {
    for (const ref of line.refs ?? []) if (ref.result === 'ok') written.add(`${ref.name} ${ref.new}`);
  }
  const missing = wanted.filter(([name, oid]) => !written.has(`${name} ${oid}`));
  return [...problems, ...missing.map(([name]) => `the journal does not know the new value of ${name}`)];
}

function isSame(a: Refs, b: Refs): boolean {
  return a.size === b.size && [...a].every(([name, oid]) => b.get(name) === oid);
}

function describe(refs: Refs): string {
  return [...refs].map(([name, oid]) => `${name}=${oid.slice(0, 8)}`).join(' ');
}
