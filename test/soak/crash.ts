/**
 * `npm run soak:crash`: kills the gate at random moments of pushes and cuts its power, and
 * checks what is there after each restart. Prints two tables; ends with 1 where anything that was promised is missing, or
 * where the checker fails to catch a pipeline that is broken on purpose.
 */
import { join } from 'node:path';
import { COMMIT_STEPS } from '../../src/receive/commit.ts';
import { flagsOrExit } from '../support/flags.ts';
import { workspace, type Scope } from '../support/workspace.ts';
import { runCrowd, type CrowdTally } from './crash-crowd.ts';
import { runRounds, type Tally } from './crash-rounds.ts';
import { gateTarget, pipelineTarget } from './crash-target.ts';
import {
  crowdConfiguration,
  cutPower,
  deafConfiguration,
  gatehouseConfiguration,
  gitConfiguration,
  missingForPowerCut,
  type Configuration,
} from './power-cut.ts';

const { values } = flagsOrExit({
  call: 'npm run soak:crash --',
  about: 'Kills the gate in the middle of pushes and cuts its power; everything acknowledged has to be there.',
  flags: {
    rounds: { kind: 'count', about: 'random kills of the gate', default: 100 },
    cuts: { kind: 'count', about: 'power cuts, as root only', default: 24 },
    refs: { kind: 'count', about: 'pushed at once in a round', default: 12, least: 1 },
  },
  examples: ['', '--rounds 26 --cuts 6'],
});
const { rounds, cuts, refs } = values;
const cleanups: (() => unknown)[] = [];
const scope: Scope = {
  after(cleanup) {
    cleanups.push(cleanup as () => unknown);
  },
};
let failed = false;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function row(cells: readonly (string | number)[]): void {
  say(`| ${cells.join(' | ')} |`);
}

function verdict(isGood: boolean): string {
  if (!isGood) failed = true;
  return isGood ? 'ok' : 'FAILED';
}

function tallyRow(what: string, tally: Tally | CrowdTally, isGood: boolean): void {
  const { rounds, absent, whole, acknowledged, problems } = tally;
  row([what, rounds, absent, whole, acknowledged, problems.length, verdict(isGood)]);
  for (const problem of isGood ? [] : problems.slice(0, 20)) say(`  ${problem}`);
}

async function kills(): Promise<void> {
  say(
    `Killed with SIGKILL at a moment of a push of ${refs} refs, started again, checked: fsck --strict, each ref old or new,`,
  );
  say('all or none of one push, acknowledged ones there, journal whole and complete, nothing left over.\n');
  row(['server', 'kills', 'push absent', 'push whole, not acknowledged', 'acknowledged', 'problems', '']);
  row(['---', '---', '---', '---', '---', '---', '---']);
  const root = workspace(scope, 'gatehouse-crash-');
  const gate = gateTarget(scope, join(root, 'gate'));
  const random = await runRounds({ target: gate, rounds, refs, tree: join(root, 'tree-1') });
  tallyRow(`${gate.name}, random moments`, random, random.problems.length === 0);
  const pipeline = pipelineTarget(scope, join(root, 'pipeline'));
  const dieAt = (round: number) => ({ dieAt: COMMIT_STEPS[round % COMMIT_STEPS.length] ?? 'logged' });
  const borders = {
    target: pipeline,
    rounds: COMMIT_STEPS.length * 3,
    refs,
    tree: join(root, 'tree-2'),
    serverOf: dieAt,
  };
  const atBorders = await runRounds(borders);
  tallyRow(`${pipeline.name}, every border of the protocol`, atBorders, atBorders.problems.length === 0);
  await crowds(root);
  const broken = pipelineTarget(scope, join(root, 'broken'));
  const early = () => ({ broken: 'apply-early' }) as const;
  const caught = await runRounds({ target: broken, rounds: 2, refs, tree: join(root, 'tree-3'), serverOf: early });
  tallyRow(
    'broken on purpose: refs before the commit point (has to show problems)',
    caught,
    caught.problems.length > 0,
  );
}

/** Pushes that share a turn: their columns count pushes. */
async function crowds(root: string): Promise<void> {
  const clients = 8;
  const gate = gateTarget(scope, join(root, 'gate-crowd'));
  const random = await runCrowd({ target: gate, rounds: Math.ceil(rounds / 2), clients, tree: join(root, 'tree-4') });
  tallyRow(`${gate.name}, ${clients} pushes at once, random moments`, random, random.problems.length === 0);
  const pipeline = pipelineTarget(scope, join(root, 'pipeline-crowd'));
  // The first turn has one push as a rule, the second those that came meanwhile.
  const serverOf = (round: number) => ({ dieAt: COMMIT_STEPS[round % COMMIT_STEPS.length] ?? 'logged', dieOn: 2 });
  const borders = { target: pipeline, rounds: COMMIT_STEPS.length * 2, clients, tree: join(root, 'tree-5'), serverOf };
  const atBorders = await runCrowd(borders);
  const what = `${pipeline.name}, ${clients} pushes at once, every border of the second turn`;
  tallyRow(what, atBorders, atBorders.problems.length === 0);
}

async function power(): Promise<void> {
  const missing = await missingForPowerCut();
  if (missing !== undefined) {
    say(`\nPOWER CUT SKIPPED: ${missing}. Nothing is known about durability on this machine.`);
    return;
  }
  say(`\nPower cut after each of ${cuts} acknowledged pushes of two refs: the ext4 image copied without sync.\n`);
  row(['configuration', 'cuts', 'lost from the shared branch', 'own branch lost', 'broken', '']);
  row(['---', '---', '---', '---', '---', '---']);
  const rows: readonly (readonly [Configuration, 'zeros' | 'losses' | 'any'])[] = [
    [gitConfiguration("git's default", {}), 'losses'],
    [gitConfiguration('git, receive.unpackLimit=1', { 'receive.unpackLimit': '1' }), 'any'],
    [gitConfiguration('git, core.fsync=all', { 'core.fsync': 'all' }), 'any'],
    [deafConfiguration(), 'losses'],
    [gatehouseConfiguration('gatehouse'), 'zeros'],
    [crowdConfiguration('gatehouse, six pushes at once'), 'zeros'],
  ];
  for (const [configuration, expected] of rows) {
    const { sharedLost, ownLost, broken } = await cutPower(configuration, cuts);
    const losses = sharedLost + ownLost + broken;
    const isGood = expected === 'any' || (expected === 'zeros') === (losses === 0);
    row([configuration.name, cuts, sharedLost, ownLost, broken, verdict(isGood)]);
  }
}

try {
  await kills();
  await power();
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
say(failed ? '\nFAILED' : '\nall as promised');
process.exitCode = failed ? 1 : 0;
