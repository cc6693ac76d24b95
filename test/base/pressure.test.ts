/** When memory and disk count as tight or short, and who is told. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { judge, Pressure, resourcesOf, type PressureReport, type Resources } from '../../src/base/pressure.ts';
import { HandClock } from '../support/hand-clock.ts';

const LIMITS = { memoryFreeMin: 100, diskFreeMin: 1_000 };
const PLENTY: Resources = { memoryBytes: 1_000, memoryFreeBytes: 1_000, diskFreeBytes: 10_000 };

test('the worse of memory and disk counts, and a level is left with room to spare only', () => {
  const levels = (free: number, before?: PressureReport) =>
    judge({ ...PLENTY, memoryFreeBytes: free }, LIMITS, before).level;
  assert.equal(levels(100), 'none');
  assert.equal(levels(99), 'tight');
  assert.equal(levels(49), 'short');
  const tight = judge({ ...PLENTY, memoryFreeBytes: 99 }, LIMITS);
  assert.equal(levels(109, tight), 'tight');
  assert.equal(levels(111, tight), 'none');
  const short = judge({ ...PLENTY, memoryFreeBytes: 40 }, LIMITS);
  assert.equal(levels(54, short), 'short');
  assert.equal(levels(56, short), 'tight');
  const disk = judge({ ...PLENTY, diskFreeBytes: 499 }, LIMITS);
  assert.deepEqual([disk.memory, disk.disk, disk.level], ['none', 'short', 'short']);
  assert.equal(
    judge({ ...PLENTY, memoryFreeBytes: 0, diskFreeBytes: 0 }, { memoryFreeMin: 0, diskFreeMin: 0 }).level,
    'none',
  );
});

test('it looks again and again until it is disposed, and takes what it cannot see for enough', async () => {
  const clock = new HandClock();
  const free = [1_000, 60, Number.NaN, 10];
  const told: string[] = [];
  const pressure = new Pressure({
    clock,
    limits: LIMITS,
    look: () => {
      const next = free.shift() ?? 0;
      return Number.isNaN(next)
        ? Promise.reject(new Error('gone'))
        : Promise.resolve({ ...PLENTY, memoryFreeBytes: next });
    },
  });
  pressure.listen(({ level }) => told.push(level));
  await pressure.begin();
  for (let look = 0; look < 3; look += 1) {
    clock.advance(5_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(told, ['none', 'tight', 'none', 'short']);
  pressure[Symbol.dispose]();
  clock.advance(60_000);
  assert.equal(told.length, 4);
  assert.equal(clock.pending, 0);
});

test('this machine has memory and disk', async () => {
  const { memoryBytes, memoryFreeBytes, diskFreeBytes } = await resourcesOf(tmpdir());
  assert.ok(memoryFreeBytes > 0 && memoryFreeBytes <= memoryBytes);
  assert.ok(diskFreeBytes > 0 && Number.isFinite(diskFreeBytes));
});
