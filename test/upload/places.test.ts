/** Places for work that clients would hold by doing nothing, and places that several wait for together. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import type { WorkGate } from '../../src/git/service.ts';
import { PATIENCE_MS, PatientPlace } from '../../src/upload/patient-place.ts';
import { PlaceRace } from '../../src/upload/place-race.ts';
import { Wire } from '../../src/upload/wire.ts';
import { HandClock } from '../support/hand-clock.ts';

const NEVER = new AbortController().signal;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Counts how often it is given back. */
function counted(): Disposable & { back: number } {
  return {
    back: 0,
    [Symbol.dispose]() {
      this.back += 1;
    },
  };
}

/** A gate that opens, or refuses, when it is told to. */
function gate() {
  const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
  const signals: AbortSignal[] = [];
  const work: WorkGate = ({ signal }) => {
    signals.push(signal);
    signal.addEventListener('abort', () => reject(new Fault('aborted', 'client went away while waiting')));
    return promise;
  };
  return { work, resolve, reject, signals };
}

test('a place is given back once its client was waited for too long in all, not in one piece only', () => {
  const clock = new HandClock();
  const place = counted();
  const patient = new PatientPlace(place, clock);
  for (let turn = 0; turn < 10; turn += 1) {
    patient.beginTurn();
    patient.beginTurn();
    clock.advance(PATIENCE_MS / 10 - 1);
    patient.endTurn();
    patient.endTurn();
    clock.advance(PATIENCE_MS);
  }
  assert.equal(place.back, 0, 'what git takes does not count');
  patient.beginTurn();
  clock.advance(10);
  assert.equal(place.back, 1);
  patient.endTurn();
  patient[Symbol.dispose]();
  assert.equal(place.back, 1, 'once');
  assert.equal(clock.pending, 0);
});

test('a client that does not read, and one that says nothing, lose their places and not their answers', async (t) => {
  for (const turn of ['write', 'next'] as const) {
    const clock = new HandClock();
    const ending = new AbortController();
    const output = new PassThrough({ highWaterMark: 16 });
    const wire = new Wire(
      { protocol: 0, mode: 'stateful', input: new PassThrough(), output, signal: ending.signal, requestId: 'r' },
      clock,
    );
    t.after(() => wire[Symbol.dispose]());
    const place = counted();
    using _ = wire.holdPlace(place);
    const waiting = turn === 'write' ? wire.write(Buffer.alloc(64)) : wire.next();
    clock.advance(PATIENCE_MS);
    assert.equal(place.back, 1, turn);
    assert.equal(wire.signal.aborted, false);
    output.resume();
    if (turn === 'next') ending.abort(new Fault('aborted', 'client is gone'));
    await (turn === 'write' ? waiting : assert.rejects(waiting));
  }
});

test('who joins a making that waits in the queue of another does not wait there', async () => {
  const race = new PlaceRace(NEVER);
  const [full, free] = [gate(), gate()];
  race.join({ work: full.work, signal: NEVER });
  race.join({ work: free.work, signal: NEVER });
  const place = counted();
  free.resolve(place);
  assert.equal(await race.place, place);
  assert.ok(full.signals[0]?.aborted, 'the other leaves its queue');
  const late = gate();
  race.join({ work: late.work, signal: NEVER });
  assert.equal(late.signals.length, 0, 'nobody asks any more');
});

test('of two places that come at once one is given back', async () => {
  const race = new PlaceRace(NEVER);
  const places = [counted(), counted()];
  for (const place of places) race.join({ work: async () => place, signal: NEVER });
  await race.place;
  await settle();
  assert.deepEqual(
    places.map(({ back }) => back),
    [0, 1],
  );
});

test('a client that leaves takes its own claim along; where all others were refused, so is the making', async () => {
  const race = new PlaceRace(NEVER);
  const [first, second, third] = [gate(), gate(), gate()];
  const leaving = new AbortController();
  race.join({ work: first.work, signal: leaving.signal });
  leaving.abort();
  await settle();
  race.join({ work: second.work, signal: NEVER });
  const last = new AbortController();
  race.join({ work: third.work, signal: last.signal });
  second.reject(new Fault('busy', 'waited too long'));
  await settle();
  last.abort();
  await assert.rejects(race.place, { code: 'busy' });
});

test('a making that ends before it has a place withdraws all claims', async () => {
  const ending = new AbortController();
  const race = new PlaceRace(ending.signal);
  const claim = gate();
  race.join({ work: claim.work, signal: NEVER });
  const over = assert.rejects(race.place, { code: 'aborted' });
  ending.abort(new Fault('aborted', 'no client is left'));
  await over;
  assert.ok(claim.signals[0]?.aborted);
});
