/** Housekeeping of one repository, on request: gc, fsck, count-objects. One at a time for each repository. */

import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { syncDirectory } from '../base/durable.ts';
import type { GitSpec } from '../git/processes.ts';
import { assertOwnEnd } from '../git/run.ts';
import type { Ground } from './ground.ts';
import { linesOf } from './lines.ts';
import type { Repository } from './repository.ts';

export interface Upkeep {
  readonly repository: Repository;
  /** Each line as it comes, without its newline. */
  readonly tell: (line: string) => Promise<void> | void;
  readonly signal?: AbortSignal;
}

/** Objects that no ref reaches stay this long: a push that is being checked may be about to need them. */
const PRUNE = '--prune=2.weeks.ago';

/** Packs refs and objects, and removes what nothing has reached for two weeks. */
export function gc(ground: Ground, upkeep: Upkeep): Promise<Parsed<void>> {
  return inTurn(ground, upkeep, async () => {
    const { path } = upkeep.repository;
    const before = await run(ground, upkeep, {
      subcommand: 'count-objects',
      options: ['-v'],
      deadlineMs: BOUNDS.countObjectsMs,
    });
    if (before.kind === 'refused') return before;
    // First all refs in packed-refs, and that on disk; only then (in gc) the loose ones go.
    await upkeep.tell('packing refs');
    const packed = await run(ground, upkeep, {
      subcommand: 'pack-refs',
      options: ['--all', '--no-prune'],
      deadlineMs: BOUNDS.gcMs,
      writable: [path],
    });
    if (packed.kind === 'refused') return packed;
    await syncDirectory(path);
    await upkeep.tell('packing objects');
    const collected = await run(ground, upkeep, {
      subcommand: 'gc',
      options: ['--quiet', PRUNE],
      deadlineMs: BOUNDS.gcMs,
      writable: [path],
    });
    if (collected.kind === 'refused') return collected;
    for (const directory of ['objects/pack', 'objects', '.']) await syncDirectory(`${path}/${directory}`);
    return run(ground, upkeep, { subcommand: 'count-objects', options: ['-v'], deadlineMs: BOUNDS.countObjectsMs });
  });
}

/** Refused where git finds the repository damaged; what it found was told line by line. */
export function fsck(ground: Ground, upkeep: Upkeep): Promise<Parsed<void>> {
  return inTurn(ground, upkeep, () =>
    run(ground, upkeep, {
      subcommand: 'fsck',
      options: ['--full', '--strict', '--no-dangling', '--no-progress'],
      deadlineMs: BOUNDS.fsckMs,
    }),
  );
}

export function countObjects(ground: Ground, upkeep: Upkeep): Promise<Parsed<void>> {
  return run(ground, upkeep, { subcommand: 'count-objects', options: ['-v'], deadlineMs: BOUNDS.countObjectsMs });
}

export function upkeepTurn(id: string): string {
  return `upkeep ${id}`;
}

async function inTurn(ground: Ground, upkeep: Upkeep, task: () => Promise<Parsed<void>>): Promise<Parsed<void>> {
  return ground.turns.run(upkeepTurn(upkeep.repository.id), async () => {
    // The wait for the turn may have been long.
    if (upkeep.signal?.aborted === true) return refuse('given up while waiting');
    return task();
  });
}

/** Tells what git says on both its outputs; a failing exit code is a refusal that quotes the end of it. */
async function run(ground: Ground, upkeep: Upkeep, spec: Omit<GitSpec, 'gitDir'>): Promise<Parsed<void>> {
  const signal = upkeep.signal === undefined ? {} : { signal: upkeep.signal };
  const { path } = upkeep.repository;
  const whole: GitSpec = { ...spec, gitDir: path, ...signal };
  // Who looks after a repository need not know where on this machine it lies.
  const tell = (line: string): Promise<void> | void =>
    upkeep.tell(line.replaceAll(path, '.').slice(0, BOUNDS.commandLineBytesMax));
  await using git = await ground.processes.start(whole);
  git.stdin.end();
  for await (const line of linesOf(git.stdout)) {
    await tell(line);
  }
  const exit = await git.exit;
  assertOwnEnd(exit, whole);
  for (const line of exit.stderr.split('\n')) if (line !== '') await tell(line);
  return exit.code === 0 ? ok(undefined) : refuse(`git ${spec.subcommand} ended with ${exit.code}`);
}
