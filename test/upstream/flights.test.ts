/** Which refreshes callers share: never one whose question was sent before they came, and never more than one later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Fault } from '../../src/base/fault.ts';
import { Flights, type Flight } from '../../src/upstream/flights.ts';

/** Flights that go on when the test says so. */
class Airfield {
  readonly flown: { readonly flight: Flight; readonly land: (error?: unknown) => void }[] = [];
  readonly flights = new Flights(
    (flight) =>
      new Promise<void>((resolve, reject) => {
        const land = (error?: unknown): void => {
          if (error === undefined) resolve();
          else reject(error);
        };
        flight.signal.addEventListener('abort', () => land(flight.signal.reason));
        this.flown.push({ flight, land });
      }),
  );

  join(signal = new AbortController().signal, tell?: (text: string) => void): Promise<void> {
    return this.flights.join({ requestId: 'r', signal, tell });
  }

  at(index: number): Airfield['flown'][number] {
    const found = this.flown[index];
    assert.ok(found, `flight ${index}`);
    return found;
  }
}

test('fifty callers who come before the question is sent share one flight', async () => {
  const field = new Airfield();
  const joined = Array.from({ length: 50 }, () => field.join());
  await turn();
  const late = field.join(); // still not sent
  assert.equal(field.flown.length, 1);
  field.at(0).flight.onAsk();
  field.at(0).land();
  await Promise.all([...joined, late]);
  assert.equal(field.flown.length, 1);
});

test('who comes after the question was sent waits for the next flight, which all later arrivals share', async () => {
  const field = new Airfield();
  const first = field.join();
  await turn();
  field.at(0).flight.onAsk();
  const later = Array.from({ length: 49 }, () => field.join());
  let served = 0;
  for (const one of later) void one.then(() => (served += 1));
  assert.equal(field.flown.length, 1);
  field.at(0).land();
  await first;
  await turn();
  assert.equal(served, 0, 'an answer from before they came serves nobody');
  assert.equal(field.flown.length, 2);
  field.at(1).flight.onAsk();
  field.at(1).land();
  await Promise.all(later);
  assert.equal(served, 49);
  assert.equal(field.flown.length, 2);
});

test('a flight that fails tells everybody who waited for it, and the next starts afresh', async () => {
  const field = new Airfield();
  const joined = [field.join(), field.join()];
  await turn();
  field.at(0).land(new Fault('upstream', 'no answer'));
  for (const one of joined) await assert.rejects(one, { code: 'upstream' });
  const again = field.join();
  await turn();
  field.at(1).land();
  await again;
});

test('a flight goes on while one of its waiters is left, and ends with the last', async () => {
  const field = new Airfield();
  const [one, two] = [new AbortController(), new AbortController()];
  const joined = [field.join(one.signal), field.join(two.signal)];
  await turn();
  const { flight } = field.at(0);
  one.abort();
  await assert.rejects(joined[0] ?? Promise.resolve(), { code: 'aborted' });
  assert.equal(flight.signal.aborted, false);
  two.abort();
  await assert.rejects(joined[1] ?? Promise.resolve(), { code: 'aborted' });
  assert.equal(flight.signal.aborted, true);
});

test('nobody joins a flight that is being given up', async () => {
  const field = new Airfield();
  const gone = new AbortController();
  const left = field.join(gone.signal);
  await turn();
  gone.abort();
  const next = field.join();
  await assert.rejects(left, { code: 'aborted' });
  await turn();
  assert.equal(field.flown.length, 2);
  field.at(1).land();
  await next;
});

test('a next flight that everybody left is not flown', async () => {
  const field = new Airfield();
  const first = field.join();
  await turn();
  field.at(0).flight.onAsk();
  const gone = new AbortController();
  const left = field.join(gone.signal);
  gone.abort();
  await assert.rejects(left, { code: 'aborted' });
  field.at(0).land();
  await first;
  await turn();
  assert.equal(field.flown.length, 1);
});

test('abort ends what is under way and what waits, with the reason', async () => {
  const field = new Airfield();
  const first = field.join();
  await turn();
  field.at(0).flight.onAsk();
  const second = field.join();
  field.flights.abort(new Fault('upstream', 'changed'));
  await assert.rejects(first, { message: 'changed' });
  await assert.rejects(second, { message: 'changed' });
  await turn();
  assert.equal(field.flown.length, 1);
  const third = field.join();
  await turn();
  field.at(1).land();
  await third;
});

test('progress reaches everybody who waits, and a caller who is gone already gets nothing', async () => {
  const field = new Airfield();
  const told: string[] = [];
  const tell = (text: string): void => void told.push(text);
  const joined = [field.join(undefined, tell), field.join(undefined, tell)];
  await assert.rejects(field.join(AbortSignal.abort()), { code: 'aborted' });
  await turn();
  field.at(0).flight.tell('10%');
  field.at(0).land();
  await Promise.all(joined);
  assert.deepEqual(told, ['10%', '10%']);
});
