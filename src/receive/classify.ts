/** What each update does to its ref: create, fast-forward, rewind or delete; and what its oids are. */
import { Fault } from '../base/fault.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import { runGit } from '../git/run.ts';
import type { Repository } from '../repository/repository.ts';
import type { Update } from './update.ts';

export interface ClassifyOptions {
  readonly processes: GitProcesses;
  readonly repository: Repository;
  readonly objectDirectory: string | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

/** Walks that run side by side; each is a process. */
const WALKS_MAX = 4;

/** Sets `kind`, `oldType` and `newType` of each living update; a branch that is no commit is refused. @throws Fault. */
export async function classifyUpdates(updates: readonly Update[], options: ClassifyOptions): Promise<void> {
  const living = updates.filter((update) => update.isAlive);
  const types = await typesOf(
    living.flatMap(({ oldOid, newOid }) => [oldOid, newOid]),
    options,
  );
  const undecided: Update[] = [];
  for (const update of living) {
    update.oldType = types.get(update.oldOid);
    update.newType = types.get(update.newOid);
    if (isZeroOid(update.newOid)) update.kind = 'delete';
    else if (update.newType === undefined) update.refuse(`object ${update.newOid} is not here`);
    else if (update.refname?.startsWith('refs/heads/') === true && update.newType !== 'commit') {
      update.refuse(`a branch holds a commit, not a ${update.newType}`);
    } else if (isZeroOid(update.oldOid)) update.kind = 'create';
    else if (update.oldOid === update.newOid) update.kind = 'fast-forward';
    else if (canFastForward(update)) undecided.push(update);
    else update.kind = 'rewind';
  }
  await inParallel(undecided, async (update) => {
    update.kind = (await isAncestor(update, options)) ? 'fast-forward' : 'rewind';
  });
}

/** A tag names one thing for ever: moving it is a rewind, even along history. */
function canFastForward({ refname, oldType, newType }: Update): boolean {
  return refname?.startsWith('refs/tags/') !== true && oldType === 'commit' && newType === 'commit';
}

async function isAncestor({ oldOid, newOid }: Update, options: ClassifyOptions): Promise<boolean> {
  const { processes, ...rest } = options;
  const run = await runGit(processes, {
    ...specOf(rest),
    subcommand: 'merge-base',
    options: ['--is-ancestor'],
    operands: [oldOid, newOid],
  });
  if (run.code > 1)
    throw new Fault('process', 'merge-base failed', { context: { code: run.code, stderr: run.stderr } });
  return run.code === 0;
}

/** The type of each oid that exists. */
export async function typesOf(oids: readonly Oid[], options: ClassifyOptions): Promise<ReadonlyMap<Oid, string>> {
  const wanted = [...new Set(oids)].filter((oid) => !isZeroOid(oid));
  const types = new Map<Oid, string>();
  if (wanted.length === 0) return types;
  const { processes, ...rest } = options;
  const spec = {
    ...specOf(rest),
    subcommand: 'cat-file',
    options: ['--batch-check=%(objecttype)', '--buffer'],
  } as const;
  const run = await runGit(processes, spec, Buffer.from(`${wanted.join('\n')}\n`));
  const lines = run.stdout.toString('latin1').trimEnd().split('\n');
  if (run.code !== 0 || lines.length !== wanted.length) {
    throw new Fault('process', 'cat-file failed', { context: { code: run.code, stderr: run.stderr } });
  }
  for (const [index, oid] of wanted.entries()) {
    const line = lines[index] ?? '';
    if (!line.includes(' ')) types.set(oid, line);
  }
  return types;
}

function specOf({ repository, objectDirectory, deadlineMs, signal, requestId }: Omit<ClassifyOptions, 'processes'>) {
  return {
    gitDir: repository.path,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    deadlineMs,
    signal,
    requestId,
  };
}

async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await task(item);
  };
  await Promise.all(Array.from({ length: Math.min(WALKS_MAX, items.length) }, worker));
}
