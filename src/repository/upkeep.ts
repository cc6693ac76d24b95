/** Upkeep of one repository: roll, gc, fsck, count-objects. One at a time for each repository. */
import { rm, stat } from 'node:fs/promises';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { syncDirectory } from '../base/durable.ts';
import type { GitSpec } from '../git/processes.ts';
import { assertOwnEnd } from '../git/run.ts';
import type { Ground } from './ground.ts';
import { linesOf } from './lines.ts';
import { pruneLooseRefs } from './prune-refs.ts';
import type { Repository } from './repository.ts';

export type UpkeepGround = Pick<Ground, 'processes' | 'turns'>;

export interface Upkeep {
  readonly repository: Repository;
  /** Each line as it comes, without its newline. */
  readonly tell: (line: string) => Promise<void> | void;
  readonly signal?: AbortSignal;
}

/** Objects that no ref reaches stay this long: a push that is being checked may be about to need them. */
const PRUNE = '--prune=2.weeks.ago';

/**
 * Left by a git that was killed. Only upkeep takes them, and only in its turn: whoever finds one there may remove it, and
 * has to, or no upkeep would ever succeed again.
 */
const STALE_LOCKS = [
  'gc.pid',
  'objects/info/commit-graphs/commit-graph-chain.lock',
  'objects/pack/multi-pack-index.lock',
];

/** Taken by whoever deletes a ref, too, for moments: one that is this old was left by a git that was killed. */
const AGED_LOCKS = ['packed-refs.lock', 'packed-refs.new'];
const AGED_MS = 5 * 60_000;

/**
 * So often `git repack` is tried. It lists the packs twice: a pack whose `.keep` went in between, because its push had just
 * ended, is in neither list, and where a newer pack rests on it the bitmap lacks its objects ("Packfile doesn't have full
 * closure"): git ends with 1 (seen with 2.39, held up between the two). Nothing is harmed, and the next attempt sees the pack.
 */
const REPACKS_MAX = 3;

/**
 * Keeps a repository cheap to read without reading all of it: refs into one file; packs rolled into ever larger ones, so
 * that their number grows with the logarithm of what was pushed; one index and one bitmap over all packs; a commit graph.
 * Loses nothing, reachable or not.
 */
export function roll(ground: UpkeepGround, upkeep: Upkeep): Promise<Parsed<void>> {
  return inTurn(ground, upkeep, async () => {
    const { path } = upkeep.repository;
    const step = (spec: Pick<GitSpec, 'subcommand' | 'options' | 'operands'>): Promise<Parsed<void>> =>
      run(ground, upkeep, { ...spec, deadlineMs: BOUNDS.gcMs, writable: [path], config: { 'pack.threads': '1' } });
    const packed = await packRefs(ground, upkeep);
    if (packed.kind === 'refused') return packed;
    const repack = (): Promise<Parsed<void>> =>
      step({ subcommand: 'repack', options: ['-dlq', '--geometric=2', '--write-midx', '--write-bitmap-index'] });
    let rolled = await repack();
    for (let again = 1; rolled.kind === 'refused' && again < REPACKS_MAX && upkeep.signal?.aborted !== true; again += 1)
      rolled = await repack();
    if (rolled.kind === 'refused') return rolled;
    await syncDirectory(`${path}/objects/pack`);
    const graph = await step({
      subcommand: 'commit-graph',
      operands: ['write'],
      options: ['--reachable', '--split', '--changed-paths', '--no-progress'],
    });
    if (graph.kind === 'refused') return graph;
    for (const directory of ['objects', '.']) await syncDirectory(`${path}/${directory}`);
    return ok(undefined);
  });
}

/** Packs refs and objects, and removes what nothing has reached for two weeks. */
export function gc(ground: UpkeepGround, upkeep: Upkeep): Promise<Parsed<void>> {
  return inTurn(ground, upkeep, async () => {
    const { path } = upkeep.repository;
    const before = await run(ground, upkeep, {
      subcommand: 'count-objects',
      options: ['-v'],
      deadlineMs: BOUNDS.countObjectsMs,
    });
    if (before.kind === 'refused') return before;
    await upkeep.tell('packing refs');
    const packed = await packRefs(ground, upkeep);
    if (packed.kind === 'refused') return packed;
    await upkeep.tell('packing objects');
    const collected = await run(ground, upkeep, {
      subcommand: 'gc',
      // Unreachable objects wait in one pack for their end, not in a file each.
      options: ['--quiet', '--cruft', PRUNE],
      deadlineMs: BOUNDS.gcMs,
      writable: [path],
      config: { 'gc.packRefs': 'false' },
    });
    if (collected.kind === 'refused') return collected;
    for (const directory of ['objects/pack', 'objects', '.']) await syncDirectory(`${path}/${directory}`);
    return run(ground, upkeep, { subcommand: 'count-objects', options: ['-v'], deadlineMs: BOUNDS.countObjectsMs });
  });
}

/** All refs in packed-refs, and that on disk, before the loose ones go. */
async function packRefs(ground: UpkeepGround, upkeep: Upkeep): Promise<Parsed<void>> {
  const { path } = upkeep.repository;
  const step = (option: string): Promise<Parsed<void>> =>
    run(ground, upkeep, {
      subcommand: 'pack-refs',
      options: ['--all', option],
      deadlineMs: BOUNDS.gcMs,
      writable: [path],
    });
  const packed = await step('--no-prune');
  if (packed.kind === 'refused') return packed;
  await syncDirectory(path);
  const isPruned = await pruneLooseRefs(upkeep.repository, upkeep.signal);
  return isPruned ? packed : step('--prune');
}

/** Refused where git finds the repository damaged; what it found was told line by line. */
export function fsck(ground: UpkeepGround, upkeep: Upkeep): Promise<Parsed<void>> {
  return inTurn(ground, upkeep, () =>
    run(ground, upkeep, {
      subcommand: 'fsck',
      options: ['--full', '--strict', '--no-dangling', '--no-progress'],
      deadlineMs: BOUNDS.fsckMs,
    }),
  );
}

export function countObjects(ground: UpkeepGround, upkeep: Upkeep): Promise<Parsed<void>> {
  return run(ground, upkeep, { subcommand: 'count-objects', options: ['-v'], deadlineMs: BOUNDS.countObjectsMs });
}

export function upkeepTurn(id: string): string {
  return `upkeep ${id}`;
}

async function inTurn(ground: UpkeepGround, upkeep: Upkeep, task: () => Promise<Parsed<void>>): Promise<Parsed<void>> {
  return ground.turns.run(upkeepTurn(upkeep.repository.id), async () => {
    // The wait for the turn may have been long.
    if (upkeep.signal?.aborted === true) return refuse('given up while waiting');
    await removeStaleLocks(upkeep.repository.path);
    return task();
  });
}

async function removeStaleLocks(path: string): Promise<void> {
  for (const lock of STALE_LOCKS) await rm(`${path}/${lock}`, { force: true });
  for (const lock of AGED_LOCKS) {
    const found = await stat(`${path}/${lock}`).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > AGED_MS) await rm(`${path}/${lock}`, { force: true });
  }
}

/** Tells what git says on both its outputs; a failing exit code is a refusal that quotes the end of it. */
async function run(ground: UpkeepGround, upkeep: Upkeep, spec: Omit<GitSpec, 'gitDir'>): Promise<Parsed<void>> {
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
