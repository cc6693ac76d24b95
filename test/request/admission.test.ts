/** Who gets a place when, with a clock that tests turn by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ANONYMOUS, type Principal } from '../../src/identity/principal.ts';
import { Admission, type AdmissionLimits, type Place } from '../../src/request/admission.ts';
import type { RequestOrigin, Transport } from '../../src/request/request.ts';
import { HandClock } from '../support/hand-clock.ts';
import { principalNamed } from '../support/principals.ts';

function user(name: string): Principal {
  return principalNamed(name);
}

function from(principal: Principal, address = '10.0.0.1', transport: Transport = 'ssh'): RequestOrigin {
  return { id: 'r', transport, address, principal };
}

const NEVER = new AbortController().signal;
const LIMITS: AdmissionLimits = {
  runningMax: 4,
  perPrincipalMax: 2,
  anonymousMax: 3,
  perAddressMax: 2,
  waitingMax: 3,
  waitingPerPrincipalMax: 2,
  waitMs: 1_000,
};

function open(limits: Partial<AdmissionLimits> = {}): { readonly clock: HandClock; readonly admission: Admission } {
  const clock = new HandClock();
  return { clock, admission: new Admission({ clock, limits: { ...LIMITS, ...limits } }) };
}

/** Lets everything that was resolved run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a user beyond the own budget waits, while others get in', async () => {
  const { admission } = open();
  const ada = from(user('ada'));
  const first = await admission.enter(ada, NEVER);
  await admission.enter(ada, NEVER);
  const third = admission.enter(ada, NEVER);
  await settle();
  assert.equal(admission.waiting, 1);
  await admission.enter(from(user('bob')), NEVER);
  assert.equal(admission.running, 3);
  first[Symbol.dispose]();
  await third;
  assert.equal(admission.running, 3);
  assert.equal(admission.waiting, 0);
});

test('a place given back twice counts once', async () => {
  const { admission } = open();
  const place = await admission.enter(from(user('ada')), NEVER);
  place[Symbol.dispose]();
  place[Symbol.dispose]();
  assert.equal(admission.running, 0);
});

test('anonymous requests leave room for users, and one address leaves room for others', async () => {
  const { admission } = open();
  for (let at = 0; at < 2; at += 1) await admission.enter(from(ANONYMOUS, '10.0.0.1'), NEVER);
  const third = admission.enter(from(ANONYMOUS, '10.0.0.1'), NEVER);
  await admission.enter(from(ANONYMOUS, '10.0.0.2'), NEVER);
  const fourth = admission.enter(from(ANONYMOUS, '10.0.0.3'), NEVER);
  await settle();
  assert.equal(admission.waiting, 2);
  await admission.enter(from(user('ada')), NEVER);
  assert.equal(admission.running, 4);
  void third.catch(() => {});
  void fourth.catch(() => {});
});

test('who waits behind one whose own budget is used up is served first', async () => {
  const { admission } = open({ runningMax: 2, perPrincipalMax: 1, waitingPerPrincipalMax: 3 });
  const ada = await admission.enter(from(user('ada')), NEVER);
  const bob = await admission.enter(from(user('bob')), NEVER);
  const order: string[] = [];
  const wait = (name: string): Promise<Place> =>
    admission.enter(from(user(name)), NEVER).then((place) => {
      order.push(name);
      return place;
    });
  const again = wait('ada');
  const carol = wait('carol');
  bob[Symbol.dispose]();
  await carol;
  assert.deepEqual(order, ['carol']);
  ada[Symbol.dispose]();
  await again;
  assert.deepEqual(order, ['carol', 'ada']);
});

test('a wait ends at the deadline with busy, and leaves nothing behind', async () => {
  const { admission, clock } = open({ perPrincipalMax: 1 });
  await admission.enter(from(user('ada')), NEVER);
  const waiting = admission.enter(from(user('ada')), NEVER);
  clock.advance(1_001);
  await assert.rejects(waiting, { code: 'busy', publicMessage: 'the server is busy: try again later' });
  assert.equal(admission.waiting, 0);
  assert.equal(clock.pending, 0);
});

test('a full queue answers busy at once, and so does the own share of it', async () => {
  const { admission } = open({ perPrincipalMax: 1 });
  await admission.enter(from(user('ada')), NEVER);
  await admission.enter(from(user('bob')), NEVER);
  const waiting = [admission.enter(from(user('ada')), NEVER), admission.enter(from(user('ada')), NEVER)];
  await assert.rejects(admission.enter(from(user('ada')), NEVER), { code: 'busy' });
  waiting.push(admission.enter(from(user('bob')), NEVER));
  await assert.rejects(admission.enter(from(user('bob')), NEVER), { code: 'busy' });
  for (const one of waiting) void one.catch(() => {});
});

test('a client that leaves while it waits frees its place in the queue', async () => {
  const { admission, clock } = open({ perPrincipalMax: 1 });
  await admission.enter(from(user('ada')), NEVER);
  const abort = new AbortController();
  const waiting = admission.enter(from(user('ada')), abort.signal);
  abort.abort();
  await assert.rejects(waiting, { code: 'aborted' });
  assert.equal(admission.waiting, 0);
  assert.equal(clock.pending, 0);
  await assert.rejects(admission.enter(from(user('ada')), abort.signal), { code: 'aborted' });
});

test('the local administrator gets in when the house is full', async () => {
  const { admission } = open({ runningMax: 1 });
  await admission.enter(from(user('ada')), NEVER);
  await admission.enter(from(user('root'), 'local', 'local'), NEVER);
  assert.equal(admission.running, 2);
});

test('draining refuses what waits and what comes, and waits for what runs', async () => {
  const { admission } = open({ perPrincipalMax: 1 });
  const running = await admission.enter(from(user('ada')), NEVER);
  const waiting = admission.enter(from(user('ada')), NEVER);
  let drained = false;
  const drain = async (): Promise<void> => {
    await admission.drain(10_000);
    drained = true;
  };
  const draining = drain();
  await assert.rejects(waiting, { code: 'busy', publicMessage: /shutting down/ });
  await assert.rejects(admission.enter(from(user('bob')), NEVER), { code: 'busy', publicMessage: /shutting down/ });
  await settle();
  assert.equal(drained, false);
  assert.equal(running.signal.aborted, false);
  running[Symbol.dispose]();
  await draining;
});

test('what still runs when the drain is over is aborted', async () => {
  const { admission, clock } = open();
  const running = await admission.enter(from(user('ada')), NEVER);
  const draining = admission.drain(10_000);
  clock.advance(10_001);
  await settle();
  assert.equal(running.signal.aborted, true);
  running[Symbol.dispose]();
  await draining;
});

test('the drain ends even where a request ignores its signal', async () => {
  const { admission, clock } = open();
  await admission.enter(from(user('ada')), NEVER);
  const draining = admission.drain(10);
  clock.advance(11);
  await settle();
  clock.advance(2_001);
  await draining;
  assert.equal(admission.running, 1);
});
