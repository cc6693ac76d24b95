import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '../../src/base/pace.ts';

function fakeClock() {
  const waiting = new Set<() => void>();
  const clock = {
    atMs: 0,
    waiting,
    monotonicMs: () => clock.atMs,
    after(_ms: number, callback: () => void) {
      waiting.add(callback);
      return () => void waiting.delete(callback);
    },
  };
  return clock;
}

test('work goes on at once within a stint, waits for its break behind it, and never waits once it is aborted', async () => {
  const clock = fakeClock();
  const ending = new AbortController();
  const pace = new Pace(clock, ending.signal);
  for (let count = 0; count < 100; count += 1) await pace.step();
  assert.equal(clock.waiting.size, 0);
  clock.atMs += 10;
  let isOver = false;
  const broken = pace.step().then(() => void (isOver = true));
  await new Promise(setImmediate);
  assert.equal(isOver, false);
  for (const done of clock.waiting) done();
  await broken;
  assert.equal(clock.waiting.size, 0, 'the next stint has begun');
  await pace.step();
  clock.atMs += 10;
  const aborted = pace.step();
  ending.abort();
  await aborted;
  assert.equal(clock.waiting.size, 0, 'its timer went');
  clock.atMs += 10;
  await pace.step();
});
