/** A short version of `npm run soak:gate`: what goes wrong most, and a gate that is broken on purpose and has to be caught. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBroken } from '../soak/gate-broken.ts';
import { runGateRounds, type Kind } from '../soak/gate-rounds.ts';
import { noSshUpstream } from '../support/upstream.ts';

const KINDS: readonly Kind[] = ['somebody pushes upstream', 'gate killed, upstream slow'];
const skip = noSshUpstream();

test('after whatever goes wrong, gate and upstream agree and every answer was true', { skip }, async (t) => {
  const kindOf = (round: number): Kind => KINDS[round] ?? 'calm';
  const tally = await runGateRounds(t, { seed: 7, rounds: KINDS.length, kindOf });
  assert.deepEqual(tally.problems, []);
  const done = [...tally.kinds.values()].reduce((sum, kind) => sum + kind.done, 0);
  assert.ok(done > 0, 'something was pushed');
});

test('a gate that pushes without leases is caught', { skip }, async (t) => {
  const problems = (await runBroken(t, 'lease', 7)).join('\n');
  // Without a lease a deletion takes away a value that is not the one its client named.
  assert.match(problems, /which its client never saw|\.\.nothing: acknowledged, and never was upstream/);
});
