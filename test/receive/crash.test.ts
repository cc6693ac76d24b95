/** A short version of `npm run soak:crash`: kills at every border and at random moments, power cuts, and a broken variant. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMIT_STEPS } from '../../src/receive/commit.ts';
import { runRounds } from '../soak/crash-rounds.ts';
import { pipelineTarget } from '../soak/crash-target.ts';
import {
  cutPower,
  deafConfiguration,
  gatehouseConfiguration,
  gitConfiguration,
  missingForPowerCut,
} from '../soak/power-cut.ts';
import { workspace } from '../support/workspace.ts';

test('killed at any border of the protocol, a push of many refs is whole or absent', async (t) => {
  const root = workspace(t);
  const dieAt = (round: number) => ({ dieAt: COMMIT_STEPS[round] ?? '' });
  const target = pipelineTarget(t, join(root, 'data'));
  const tally = await runRounds({
    target,
    rounds: COMMIT_STEPS.length,
    refs: 8,
    tree: join(root, 'tree'),
    serverOf: dieAt,
  });
  assert.deepEqual(tally.problems, []);
  // Three borders lie before the commit point, four behind it; at none of them has the client heard.
  assert.deepEqual([tally.absent, tally.whole, tally.acknowledged], [3, 4, 0]);
});

test('killed at random moments, nothing acknowledged is lost and nothing is half done', async (t) => {
  const root = workspace(t);
  const target = pipelineTarget(t, join(root, 'data'));
  const tally = await runRounds({ target, rounds: 6, refs: 8, tree: join(root, 'tree') });
  assert.deepEqual(tally.problems, []);
  assert.equal(tally.absent + tally.whole + tally.acknowledged, 6);
});

test('the checker catches a pipeline that sets refs before its commit point', async (t) => {
  const root = workspace(t);
  const target = pipelineTarget(t, join(root, 'data'));
  const broken = () => ({ broken: 'apply-early' }) as const;
  const tally = await runRounds({ target, rounds: 1, refs: 8, tree: join(root, 'tree'), serverOf: broken });
  assert.match(tally.problems.join('\n'), /neither all old nor all new/);
});

test('an acknowledged push survives a power cut; the checker catches git and a deaf pipeline losing it', async (t) => {
  const missing = await missingForPowerCut();
  if (missing !== undefined) {
    t.diagnostic(`POWER CUT NOT TESTED: ${missing}`);
    t.skip(`power cut not tested: ${missing}`);
    return;
  }
  const gatehouse = await cutPower(gatehouseConfiguration('gatehouse'), 3);
  assert.deepEqual(gatehouse, { configuration: 'gatehouse', cuts: 3, sharedLost: 0, ownLost: 0, broken: 0 });
  for (const configuration of [gitConfiguration("git's default", {}), deafConfiguration()]) {
    const { sharedLost, ownLost, broken } = await cutPower(configuration, 2);
    assert.ok(sharedLost + ownLost + broken > 0, configuration.name);
  }
});
