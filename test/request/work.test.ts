/** Who waits for a place among what costs much, what it hears, and what pressure changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import type { WorkGate } from '../../src/git/service.ts';
import { ANONYMOUS } from '../../src/identity/principal.ts';
import type { RequestOrigin } from '../../src/request/request.ts';
import { Work, workLimits, type WorkLimits } from '../../src/request/work.ts';
import { HandClock } from '../support/hand-clock.ts';
import { principalNamed } from '../support/principals.ts';

const NEVER = new AbortController().signal;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function from(name: string | undefined, transport: RequestOrigin['transport'] = 'ssh', address = 'x'): RequestOrigin {
  return { id: 'r', transport, address, principal: name === undefined ? ANONYMOUS : principalNamed(name) };
}

function open(limits: Partial<WorkLimits> = {}): { readonly clock: HandClock; readonly work: Work } {
  const clock = new HandClock();
  return { clock, work: new Work(clock, { ...workLimits(4), ...limits }) };
}

/** Enters without waiting for it; `place` is set once it is in. */
function entering(gate: WorkGate, signal: AbortSignal = NEVER) {
  const state: { place?: Disposable; fault?: unknown; readonly said: string[] } = { said: [] };
  void (async () => {
    try {
      state.place = await gate({ signal, tell: (text) => state.said.push(text) });
    } catch (fault) {
      state.fault = fault;
    }
  })();
  return state;
}

test('one repository, one user and those without a name leave a place for others', async () => {
  for (const gateOf of [
    (work: Work, index: number) => work.gate(from(`user${index}`), 'hot'),
    (work: Work, index: number) => work.gate(from('ada'), `repository${index}`),
    (work: Work, index: number) => work.gate(from(undefined, 'http', `10.0.0.${index}`), `repository${index}`),
  ]) {
    const { work } = open();
    const places = [0, 1, 2, 3].map((index) => entering(gateOf(work, index)));
    await settle();
    assert.deepEqual(
      places.map(({ place }) => place !== undefined),
      [true, true, true, false],
    );
    const other = entering(work.gate(from('other'), 'elsewhere'));
    await settle();
    assert.ok(other.place, 'somebody else does not wait');
    places[0]?.place?.[Symbol.dispose]();
    await settle();
    assert.ok(places[3]?.place, 'the one that waited is next');
  }
});

test('a hundred requests of two who are in league do not keep another waiting', async () => {
  const { work } = open();
  const crowd = Array.from({ length: 100 }, (_, index) =>
    entering(work.gate(from(index % 2 === 0 ? 'eve' : 'mallory'), `repository${index}`)),
  );
  const other = entering(work.gate(from('ada'), 'elsewhere'));
  const second = entering(work.gate(from('ada'), 'elsewhere'));
  await settle();
  assert.equal(other.place, undefined);
  crowd[0]?.place?.[Symbol.dispose]();
  await settle();
  assert.ok(other.place, 'the first place that is free is for who has none');
  crowd[1]?.place?.[Symbol.dispose]();
  await settle();
  assert.ok(crowd[4]?.place ?? crowd[5]?.place, 'now all three have one: who came first');
  assert.equal(second.place, undefined);
});

test('one address leaves places for others that have no name', async () => {
  const { work } = open();
  const crowd = [0, 1, 2, 3].map((index) => entering(work.gate(from(undefined, 'http', '10.0.0.1'), `r${index}`)));
  const other = entering(work.gate(from(undefined, 'http', '10.0.0.2'), 'elsewhere'));
  await settle();
  assert.deepEqual(
    crowd.map(({ place }) => place !== undefined),
    [true, true, false, false],
  );
  assert.ok(other.place);
});

test('who waits hears of it after a second, and how many are before it', async () => {
  const { work, clock } = open({ runningMax: 1 });
  const first = entering(work.gate(from('ada'), 'r'));
  const second = entering(work.gate(from('bob'), 's'));
  const third = entering(work.gate(from('eve'), 't'));
  await settle();
  clock.advance(999);
  assert.deepEqual(third.said, []);
  clock.advance(1);
  assert.deepEqual(second.said, ['the server is busy: waiting for a place since 1 s, you are next\n']);
  assert.deepEqual(third.said, ['the server is busy: waiting for a place since 1 s, 1 waits before you\n']);
  first.place?.[Symbol.dispose]();
  await settle();
  clock.advance(10_000);
  assert.equal(second.said.length, 1, 'who works hears nothing more');
  assert.equal(third.said.at(-1), 'the server is busy: waiting for a place since 11 s, you are next\n');
  second.place?.[Symbol.dispose]();
  await settle();
  third.place?.[Symbol.dispose]();
  assert.equal(work.running, 0);
  clock.advance(60_000);
  assert.equal(clock.pending, 0, 'no timer is left');
});

test('a client that goes away, a wait that is too long and a gate that closes end the wait', async () => {
  const { work, clock } = open({ runningMax: 1 });
  const running = entering(work.gate(from('ada'), 'r'));
  const leaving = new AbortController();
  const gone = entering(work.gate(from('bob'), 's'), leaving.signal);
  const patient = entering(work.gate(from('bob'), 's'));
  await settle();
  leaving.abort(new Fault('aborted', 'client is gone'));
  await settle();
  assert.ok(gone.fault instanceof Fault && gone.fault.code === 'aborted');
  clock.advance(10 * 60_000);
  await settle();
  assert.ok(patient.fault instanceof Fault && patient.fault.code === 'busy');
  const late = entering(work.gate(from('bob'), 's'));
  await settle();
  work.close();
  await settle();
  assert.ok(late.fault instanceof Fault && /shutting down/.test(late.fault.publicMessage ?? ''));
  assert.ok(running.place, 'what runs goes on');
  assert.equal(work.waiting, 0);
});

test('a client that cannot be told that it waits is sent away with words before its door takes it for gone', async () => {
  const { work, clock } = open({ runningMax: 1 });
  entering(work.gate(from('ada'), 'r'));
  await settle();
  for (const [transport, ms] of [
    ['git', 100_000],
    ['http', 240_000],
    ['ssh', 600_000],
  ] as const) {
    const waiting = assert.rejects(work.gate(from('bob', transport), 's')({ signal: NEVER }), { code: 'busy' });
    clock.advance(ms - 1);
    await settle();
    assert.equal(work.waiting, 1, transport);
    clock.advance(1);
    await waiting;
  }
});

test('under pressure one place is given out at a time, and all of them again afterwards', async () => {
  const { work } = open();
  work.share = 0;
  const places = [1, 2, 3].map((index) => entering(work.gate(from(`user${index}`), `r${index}`)));
  await settle();
  assert.deepEqual([work.running, work.waiting], [1, 2]);
  places[0]?.place?.[Symbol.dispose]();
  await settle();
  assert.deepEqual([work.running, work.waiting], [1, 1]);
  work.share = 1;
  await settle();
  assert.deepEqual([work.running, work.waiting], [2, 0]);
});

test('the administrator at the machine does not wait', async () => {
  const { work } = open({ runningMax: 1 });
  entering(work.gate(from('ada'), 'r'));
  const local = entering(work.gate(from('root', 'local'), 'r'));
  await settle();
  assert.ok(local.place);
});

test('a place without a wait is had where one is free, within the same budgets, and given back once', async () => {
  const { work } = open();
  const gate = work.gate(from('ada'), 'r');
  const places = [0, 1, 2].map(() => gate.ifFree?.());
  assert.equal(work.running, 3);
  assert.equal(gate.ifFree?.(), undefined, 'three quarters are for one user');
  const waiting = entering(work.gate(from('ada'), 'other'));
  await settle();
  places[0]?.[Symbol.dispose]();
  places[0]?.[Symbol.dispose]();
  await settle();
  assert.ok(waiting.place, 'who waits gets it');
  assert.deepEqual([work.running, work.waiting], [3, 0]);
  work.share = 0;
  assert.equal(work.gate(from('bob'), 's').ifFree?.(), undefined, 'under pressure none is');
  work.close();
  assert.throws(() => gate.ifFree?.(), { code: 'busy' });
});

test('a hundred walks of one user, or of all without a name, do not keep a walk of another waiting', async () => {
  for (const crowdOf of [
    (work: Work) => work.gate(from('eve'), 'r'),
    (work: Work, index: number) => work.gate(from(undefined, 'http', `10.0.0.${index}`), 'r'),
  ]) {
    const { work } = open();
    const walking = (gate: WorkGate) => entering((about) => gate.walk?.(about) ?? Promise.reject(new Error('no walk')));
    const crowd = Array.from({ length: 100 }, (_, index) => walking(crowdOf(work, index)));
    const other = walking(work.gate(from('ada'), 'r'));
    const second = walking(work.gate(from('ada'), 'r'));
    await settle();
    assert.ok(other.place, 'one place is left for others');
    assert.equal(second.place, undefined);
    crowd[0]?.place?.[Symbol.dispose]();
    await settle();
    assert.deepEqual([crowd[2]?.place !== undefined, second.place], [true, undefined], 'each has one: who came first');
    other.place?.[Symbol.dispose]();
    await settle();
    assert.ok(second.place, 'nobody else may have the last one');
    assert.deepEqual([work.walks.running, work.running], [3, 0], 'walks take no place for work');
    work.close();
    await settle();
    assert.equal(work.walks.waiting, 0);
    assert.ok(crowd.at(-1)?.fault instanceof Fault);
  }
});
