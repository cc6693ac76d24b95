/** Readers of one kept file stay together, and nobody loses more than a small part of its time by that. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { Convoy, type Member } from '../../src/upload/convoy.ts';
import { BlockShelf } from '../../src/upload/blocks.ts';
import { MadePack } from '../../src/upload/made-pack.ts';
import { HandClock } from '../support/hand-clock.ts';
import { workspace } from '../support/workspace.ts';

const MIB = 1024 * 1024;

/** Whether it goes on without anything that happens from here on. */
async function goesOn(waiting: Promise<unknown>): Promise<boolean> {
  let isOver = false;
  void waiting.finally(() => {
    isOver = true;
  });
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  return isOver;
}

function pair(clock: HandClock): { readonly convoy: Convoy; readonly first: Member; readonly last: Member } {
  const convoy = new Convoy(clock);
  return { convoy, first: convoy.join(0), last: convoy.join(0) };
}

test('who is ahead waits until the last of those behind is close, or leaves', async () => {
  const { convoy, first, last } = pair(new HandClock());
  convoy.move(first, 8 * MIB);
  assert.ok(await goesOn(convoy.abreast(first)), 'not far ahead');
  convoy.move(first, 9 * MIB);
  const waiting = convoy.abreast(first);
  convoy.move(last, 5 * MIB - 1);
  assert.equal(await goesOn(waiting), false);
  assert.ok(await goesOn(convoy.abreast(last)), 'who is behind waits for nobody');
  convoy.move(last, 5 * MIB);
  assert.ok(await goesOn(waiting));
  convoy.move(first, 20 * MIB);
  const again = convoy.abreast(first);
  assert.equal(await goesOn(again), false);
  convoy.leave(last);
  assert.ok(await goesOn(again));
});

test('who is far behind, or alone, keeps nobody waiting', async () => {
  const { convoy, first, last } = pair(new HandClock());
  convoy.move(first, 24 * MIB + 1);
  assert.ok(await goesOn(convoy.abreast(first)));
  convoy.leave(last);
  convoy.move(first, 10 * MIB);
  assert.ok(await goesOn(convoy.abreast(first)));
});

test('a wait ends when patience does, when it is released, and when who waits leaves', async () => {
  const clock = new HandClock();
  const { convoy, first } = pair(clock);
  convoy.move(first, 9 * MIB);
  const released = convoy.abreast(first);
  assert.equal(await goesOn(released), false);
  convoy.release(first);
  assert.ok(await goesOn(released));
  const patient = convoy.abreast(first);
  clock.advance(249);
  assert.equal(await goesOn(patient), false);
  clock.advance(1);
  assert.ok(await goesOn(patient));
  assert.ok(await goesOn(convoy.abreast(first)), 'nothing is left of its patience');
  clock.advance(100);
  const left = convoy.abreast(first);
  assert.equal(await goesOn(left), false, 'some came back');
  convoy.leave(first);
  assert.ok(await goesOn(left));
});

test('a reader that stays just within reach costs a fast one a quarter of a second and a sixth of its time at most', async () => {
  const clock = new HandClock();
  const { convoy, first, last } = pair(clock);
  let lostMs = 0;
  const beginMs = clock.monotonicMs();
  for (let step = 1; step <= 500; step += 1) {
    convoy.move(first, (10 + step) * MIB);
    convoy.move(last, step * MIB);
    const waiting = convoy.abreast(first);
    while (!(await goesOn(waiting))) {
      clock.advance(1);
      lostMs += 1;
    }
    clock.advance(10);
  }
  const allMs = clock.monotonicMs() - beginMs;
  assert.ok(lostMs >= 250, 'it did wait');
  assert.ok(lostMs <= 250 + 0.2 * allMs, `${lostMs} of ${allMs} ms`);
});

async function kept(t: TestContext, clock: HandClock): Promise<{ readonly pack: MadePack; readonly bytes: Buffer }> {
  const room = { take: () => true, giveBack() {} };
  const pack = new MadePack({ directory: workspace(t), room, name: 'a', shelf: new BlockShelf({ clock }), clock });
  const bytes = randomBytes(12 * MIB);
  await pack.add(bytes);
  pack.finish();
  return { pack, bytes };
}

test('a reader of a kept pack waits for one that rests, and reads on when time is up, when that one leaves or when its own client does', async (t) => {
  const clock = new HandClock();
  const { pack, bytes } = await kept(t, clock);
  const signal = new AbortController().signal;
  const gone = new AbortController();
  const resting = pack.read({ signal });
  const quick = pack.read({ signal });
  const leaving = pack.read({ signal: gone.signal });
  await resting.next();
  let at = 0;
  const take = async (reader: AsyncGenerator<Buffer>): Promise<void> => {
    const { value } = (await reader.next()) as { value: Buffer };
    if (reader === quick) assert.ok(value.equals(bytes.subarray(at, at + value.length)));
    if (reader === quick) at += value.length;
  };
  // The block that it asks for next would have to be read.
  for (let block = 0; block < 9; block += 1) await take(quick);
  for (let block = 0; block < 9; block += 1) await take(leaving);
  const more = take(quick);
  const never = take(leaving);
  const refused = assert.rejects(never, { code: 'aborted' });
  assert.equal(await goesOn(more), false);
  gone.abort();
  await refused;
  assert.equal(await goesOn(more), false);
  clock.advance(250);
  await more;
  assert.equal(at, 10 * MIB);
  await resting.return(undefined);
  while (at < bytes.length) await take(quick);
  assert.equal((await quick.next()).done, true);
  await pack.close();
});
