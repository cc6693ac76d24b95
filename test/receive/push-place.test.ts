/** The place of a push while somebody else's program runs for it: kept for a moment, lent to others then, and held again behind it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PushPlace } from '../../src/receive/push-place.ts';
import { Work, workLimits } from '../../src/request/work.ts';
import { HandClock } from '../support/hand-clock.ts';
import { principalNamed } from '../support/principals.ts';

function groundOf() {
  const clock = new HandClock();
  const work = new Work(clock, workLimits(1));
  const { signal } = new AbortController();
  const gateOf = (name: string) =>
    work.gate({ id: 'r', transport: 'http', address: 'x', principal: principalNamed(name) }, name);
  const place = new PushPlace(gateOf('ada'), { signal }, clock);
  return { clock, work, place, other: () => gateOf('eve')({ signal }) };
}

test('a program that takes long runs without the place, which its push has again behind it', async () => {
  const { clock, work, place, other } = groundOf();
  await place.take();
  const waiting = other();
  const ran = place.beside(async () => {
    assert.deepEqual([work.running, work.waiting], [1, 1]);
    clock.advance(1_000);
    (await waiting)[Symbol.dispose]();
    return 'done';
  });
  assert.equal(await ran, 'done');
  assert.deepEqual([work.running, work.waiting], [1, 0]);
  place.giveBack();
  assert.equal(work.running, 0);
});

test('a program that is quick, and one of a push without a place, change nothing', async () => {
  const { clock, work, place, other } = groundOf();
  assert.equal(await place.beside(async () => work.running), 0);
  assert.equal(work.running, 0);
  await place.take();
  const waiting = other();
  await place.beside(async () => clock.advance(900));
  clock.advance(60_000);
  assert.deepEqual([work.running, work.waiting], [1, 1]);
  place.giveBack();
  (await waiting)[Symbol.dispose]();
});

test('a place is held again behind a program that fails, and lost where the gate closes', async () => {
  const { clock, work, place } = groundOf();
  await place.take();
  const failing = place.beside(async () => {
    clock.advance(1_000);
    throw new Error('it failed');
  });
  await assert.rejects(failing, /it failed/);
  assert.equal(work.running, 1);
  const late = place.beside(async () => {
    clock.advance(1_000);
    work.close();
  });
  await assert.rejects(late, { code: 'busy' });
  assert.deepEqual([work.running, work.waiting], [0, 0]);
});
