/** Rounds of: push many refs, kill the server at a random moment, start it again, check. */
import { randomInt } from 'node:crypto';
import { cleanEnvironment, expectRun, run } from '../support/workspace.ts';
import { check, readRefs, type Finding, type Refs } from './crash-check.ts';
import type { CrashTarget } from './crash-target.ts';
import type { PushServerOptions } from './push-server.ts';

export interface Tally {
  readonly target: string;
  rounds: number;
  /** Killed before anything was committed; after the commit but before the client heard; after it heard. */
  absent: number;
  whole: number;
  acknowledged: number;
  /** One line each. */
  readonly problems: string[];
}

export interface RoundsOptions {
  readonly target: CrashTarget;
  readonly rounds: number;
  /** Refs in each push. */
  readonly refs: number;
  /** A directory for the work tree. */
  readonly tree: string;
  /** How the server of round N is started; default: as it should be, and killed at random. */
  readonly serverOf?: (round: number) => PushServerOptions;
  readonly onRound?: (round: number, finding: Finding) => void;
}

const MAIN = 'refs/heads/main';

export async function runRounds(options: RoundsOptions): Promise<Tally> {
  const { target, rounds, tree } = options;
  const tally: Tally = { target: target.name, rounds: 0, absent: 0, whole: 0, acknowledged: 0, problems: [] };
  const env = cleanEnvironment(tree);
  await expectRun('git', ['init', '-q', '-b', 'main', tree], { env });
  let typicalMs = await settle(options, env);
  for (let round = 0; round < rounds; round += 1) {
    const dying = options.serverOf?.(round) ?? {};
    const server = await target.start(dying);
    const before = await readRefs(server.repositoryPath);
    const oid = await nextCommit(tree, env, round);
    const after = nextRefs(before, oid, options.refs);
    const pushing = run('git', ['push', '-q', server.url, ...refspecs(before, after)], { cwd: tree, env });
    if (options.serverOf === undefined) await killAtRandom(server.kill, pushing, typicalMs);
    const { code } = await pushing;
    // Moments are to fall on both sides of the acknowledgement, whatever else the machine does.
    typicalMs *= code === 0 ? 0.85 : 1.2;
    await server.kill();
    const again = await target.start();
    const finding = await check({ ...again, before, after, isAcknowledged: code === 0 });
    await again.kill();
    count(tally, finding, code === 0);
    tally.problems.push(...finding.problems.map((problem) => `round ${round}: ${problem}`));
    options.onRound?.(round, finding);
  }
  return tally;
}

/** A first push without a crash; says how long one takes. */
async function settle({ target, tree }: RoundsOptions, env: NodeJS.ProcessEnv): Promise<number> {
  const server = await target.start();
  await nextCommit(tree, env, -1);
  const start = performance.now();
  await expectRun('git', ['push', '-q', server.url, `HEAD:${MAIN}`], { cwd: tree, env });
  const typicalMs = performance.now() - start;
  await server.kill();
  return typicalMs;
}

async function killAtRandom(kill: () => Promise<void>, pushing: Promise<unknown>, typicalMs: number): Promise<void> {
  const moment = new Promise((resolve) => setTimeout(resolve, randomInt(Math.ceil(typicalMs * 1.3)))); // the point of a soak
  await Promise.race([moment, pushing]);
  await kill();
}

async function nextCommit(tree: string, env: NodeJS.ProcessEnv, round: number): Promise<string> {
  const blob = await expectRun('git', ['hash-object', '-w', '--stdin'], { cwd: tree, env, stdin: `round ${round}` });
  const list = `100644 blob ${blob}\tfile\n`;
  const made = await expectRun('git', ['mktree'], { cwd: tree, env, stdin: list });
  const head = await run('git', ['rev-parse', '-q', '--verify', 'HEAD'], { cwd: tree, env });
  const parent = head.code === 0 ? ['-p', head.stdout.trim()] : [];
  const args = ['commit-tree', ...parent, '-m', `Round ${round} ${Date.now()}`, made];
  const oid = await expectRun('git', args, { cwd: tree, env });
  await expectRun('git', ['update-ref', 'refs/heads/main', oid], { cwd: tree, env });
  return oid;
}

/** Every ref goes to `oid`; of those that exist every third is deleted, to come back in the next round. */
function nextRefs(before: Refs, oid: string, count: number): Refs {
  const names = [MAIN, ...Array.from({ length: count - 1 }, (_, index) => `refs/heads/w/${index % 4}/${index}`)];
  const kept = names.filter((name, index) => index % 3 !== 2 || !before.has(name));
  return new Map(kept.map((name) => [name, oid]));
}

function refspecs(before: Refs, after: Refs): readonly string[] {
  const deleted = [...before.keys()].filter((name) => !after.has(name));
  return [...[...after].map(([name, oid]) => `+${oid}:${name}`), ...deleted.map((name) => `:${name}`)];
}

function count(tally: Tally, { fate }: Finding, isAcknowledged: boolean): void {
  tally.rounds += 1;
  if (isAcknowledged) tally.acknowledged += 1;
  else if (fate === 'new') tally.whole += 1;
  else if (fate === 'old') tally.absent += 1;
}
