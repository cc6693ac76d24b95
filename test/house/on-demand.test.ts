/** When a gate that a launcher started ends. */
import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { CONTROL_NAME } from '../../src/house/control-path.ts';
import { askOther, holdPlace, isOnDemand, watchOnDemand, type Place } from '../../src/house/on-demand.ts';
import { workspace } from '../support/workspace.ts';

/** Time passes as fast as somebody waits for it. */
function quickClock(): Clock {
  let nowMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => nowMs,
    after(ms, callback) {
      const handle = setImmediate(() => {
        nowMs += ms;
        callback();
      });
      return () => {
        clearImmediate(handle);
      };
    },
  };
}

async function ground(t: TestContext): Promise<{ readonly dataDirectory: string; readonly place: Place }> {
  const dataDirectory = join(workspace(t, 'gatehouse-demand-'), 'data');
  mkdirSync(dataDirectory);
  const place = await holdPlace(dataDirectory);
  t.after(() => place[Symbol.asyncDispose]());
  return { dataDirectory, place };
}

test('only what a launcher started is on demand', () => {
  assert.equal(isOnDemand({ GATEHOUSE_ON_DEMAND: '1' }), true);
  assert.equal(isOnDemand({}), false);
});

test('a gate ends when nobody asked for as long as the settings say, and not while somebody is served', async (t) => {
  const clock = quickClock();
  const control = { open: 1, lastClosedMs: 0 };
  const walk = { running: 0 };
  const { place } = await ground(t);
  using end = watchOnDemand({ place, idleMs: 10_000, clock, control, walk }, assert.fail);
  const passed = async (): Promise<string> => {
    while (clock.monotonicMs() < 20_000) await new Promise(setImmediate);
    return 'passed';
  };
  assert.equal(await Promise.race([end.idle.then(() => 'ended'), passed()]), 'passed');
  control.open = 0;
  control.lastClosedMs = clock.monotonicMs();
  const closedMs = control.lastClosedMs;
  await end.idle;
  assert.ok(clock.monotonicMs() - closedMs >= 10_000);
});

test('a gate whose directory is another one ends at once', async (t) => {
  const { dataDirectory, place } = await ground(t);
  const { promise: lost, resolve } = Promise.withResolvers<void>();
  const parts = { control: { open: 1, lastClosedMs: 0 }, walk: { running: 1 }, idleMs: 0, clock: quickClock() };
  using _ = watchOnDemand({ place, ...parts }, resolve);
  // Many a file system gives the new one the old one's number, where that is free.
  rmdirSync(dataDirectory);
  mkdirSync(dataDirectory);
  await lost;
});

test('a gate that ends while another asks it to is not taken for one that stays', async (t) => {
  const { dataDirectory } = await ground(t);
  const ending = createServer((socket) => socket.destroy());
  t.after(() => ending.close());
  await new Promise<void>((resolve) => ending.listen(join(dataDirectory, CONTROL_NAME), resolve));
  assert.equal(await askOther(dataDirectory, { isToLeave: true }), 'silent');
});
