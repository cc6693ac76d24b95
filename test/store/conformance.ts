/**
 * What every driver of the Store contract must do. A driver's test calls `storeConformance` with a factory
 * that opens an empty store; the suite closes it.
 */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { Fault } from '../../src/base/fault.ts';
import type { Json } from '../../src/base/json.ts';
import { listAll, type Store, type Stored, type TransactResult, type WatchEvent } from '../../src/store/store.ts';

export interface ConformanceOptions {
  readonly name: string;
  /** An empty store of its own for each call. */
  readonly open: (t: TestContext) => Promise<Store>;
}

const HOSTILE_KEYS = [
  'a',
  'A',
  'a%',
  'a_',
  'a%b',
  'ab',
  'a\u0000',
  'a\u0000b',
  '\u0000',
  '\u0001',
  'a/b',
  "a'b",
  'a"b',
  'a\\b',
  'a\nb',
  'é',
  'e\u0301',
  '\u007f',
  '\ud7ff',
  '\ue000',
  '\uffff',
  '\u{10000}',
  '\u{1f600}',
  '\u{10ffff}',
  '\u{10ffff}\u{10ffff}',
  '%',
  '_',
  '*',
  '..',
  ' ',
];

export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function committed(result: TransactResult): number {
  assert.equal(result.kind, 'committed');
  return result.kind === 'committed' ? result.version : 0;
}

export async function put(store: Store, key: string, value: Json = {}): Promise<number> {
  return committed(await store.transact({ writes: [{ kind: 'user', key, put: value }] }));
}

/** Reads events until `done` says so. */
export async function eventsUntil(
  events: AsyncIterable<WatchEvent>,
  done: (event: WatchEvent) => boolean,
): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (done(event)) break;
  }
  return seen;
}

export function versionOf(event: WatchEvent): number {
  return event.type === 'put' ? event.object.version : event.version;
}

export function keyOf(event: WatchEvent): string {
  return event.type === 'put' ? event.object.key : event.key;
}

function faultOf(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Fault && error.code === code;
}

export function storeConformance(options: ConformanceOptions): void {
  const open = async (t: TestContext): Promise<Store> => {
    const store = await options.open(t);
    t.after(() => store.close());
    return store;
  };
  describe(`${options.name}: objects`, () => objects(open));
  describe(`${options.name}: transactions`, () => transactions(open));
  describe(`${options.name}: lists`, () => lists(open));
  describe(`${options.name}: watch`, () => watches(open));
  describe(`${options.name}: close`, () => closing(open));
}

type Open = (t: TestContext) => Promise<Store>;

function objects(open: Open): void {
  test('an object that was never written is undefined, also under a key that cannot be', async (t) => {
    const store = await open(t);
    for (const key of ['a', '', '\ud800', '\u0000']) assert.equal(await store.get('user', key), undefined);
    assert.deepEqual(await store.list('user'), []);
    assert.equal(await store.revision(), 0);
  });

  test('an object is read as it was written, whatever JSON it is', async (t) => {
    const store = await open(t);
    const values = fc.jsonValue().filter((value) => !JSON.stringify(value).includes('-0'));
    await fc.assert(
      fc.asyncProperty(values, async (value) => {
        const json = JSON.parse(JSON.stringify(value)) as Json;
        const version = await put(store, 'k', json);
        assert.deepEqual(await store.get('user', 'k'), { kind: 'user', key: 'k', version, value: json });
      }),
      { numRuns: 50 },
    );
  });

  test('kinds do not see one another', async (t) => {
    const store = await open(t);
    await store.transact({
      writes: [
        { kind: 'user', key: 'x', put: 1 },
        { kind: 'group', key: 'x', put: 2 },
      ],
    });
    await store.transact({ writes: [{ kind: 'user', key: 'x', delete: true }] });
    assert.equal(await store.get('user', 'x'), undefined);
    assert.equal((await store.get('group', 'x'))?.value, 2);
  });

  test('hostile keys are kept apart to the byte', async (t) => {
    const store = await open(t);
    for (const key of HOSTILE_KEYS) await put(store, key, key);
    for (const key of HOSTILE_KEYS) assert.deepEqual((await store.get('user', key))?.value, key);
  });

  test('a key that is empty, too long or no Unicode text is refused as bad input', async (t) => {
    const store = await open(t);
    for (const key of ['', '\ud800', 'a\udfff', 'x'.repeat(5_000)]) {
      await assert.rejects(put(store, key), faultOf('bad-input'));
    }
    assert.equal(await store.revision(), 0);
  });

  test('a value of a megabyte comes back whole', async (t) => {
    const store = await open(t);
    const value = { text: 'ü'.repeat(500_000) };
    await put(store, 'big', value);
    assert.deepEqual((await store.get('user', 'big'))?.value, value);
  });

  test('changing what was read does not change what is stored', async (t) => {
    const store = await open(t);
    await put(store, 'k', { list: [1] });
    const first = (await store.get('user', 'k'))?.value as { list: number[] };
    try {
      first.list.push(2);
    } catch (error) {
      // A driver that gives the same object to everybody has frozen it.
      assert.ok(error instanceof TypeError);
    }
    assert.deepEqual((await store.get('user', 'k'))?.value, { list: [1] });
  });
}

function transactions(open: Open): void {
  test('version 0 holds only where nothing is', async (t) => {
    const store = await open(t);
    const create = (): Promise<TransactResult> =>
      store.transact({
        checks: [{ kind: 'user', key: 'a', version: 0 }],
        writes: [{ kind: 'user', key: 'a', put: 'first' }],
      });
    const version = committed(await create());
    assert.deepEqual(await create(), {
      kind: 'conflict',
      check: { kind: 'user', key: 'a', version: 0 },
      found: { kind: 'user', key: 'a', version, value: 'first' },
    });
  });

  test("'any' holds only where something is", async (t) => {
    const store = await open(t);
    const check = { kind: 'user', key: 'a', version: 'any' } as const;
    assert.deepEqual(await store.transact({ checks: [check], writes: [] }), {
      kind: 'conflict',
      check,
      found: undefined,
    });
    await put(store, 'a');
    committed(await store.transact({ checks: [check], writes: [{ kind: 'user', key: 'a', delete: true }] }));
    assert.equal((await store.transact({ checks: [check], writes: [] })).kind, 'conflict');
  });

  test('a version holds until the object is written again, deleted or made anew', async (t) => {
    const store = await open(t);
    const version = await put(store, 'a', 1);
    const holds = async (): Promise<boolean> =>
      (await store.transact({ checks: [{ kind: 'user', key: 'a', version }], writes: [] })).kind === 'committed';
    assert.equal(await holds(), true);
    await put(store, 'b', 1);
    assert.equal(await holds(), true);
    await put(store, 'a', 1);
    assert.equal(await holds(), false);
    await store.transact({ writes: [{ kind: 'user', key: 'a', delete: true }] });
    assert.equal(await holds(), false);
    await put(store, 'a', 1);
    assert.equal(await holds(), false);
  });

  test('one check that does not hold leaves every object as it was', async (t) => {
    const store = await open(t);
    const version = await put(store, 'a', 'old');
    const revision = await store.revision();
    const result = await store.transact({
      checks: [
        { kind: 'user', key: 'a', version },
        { kind: 'user', key: 'b', version: 'any' },
      ],
      writes: [
        { kind: 'user', key: 'a', put: 'new' },
        { kind: 'group', key: 'g', put: 'new' },
      ],
    });
    assert.equal(result.kind === 'conflict' && result.check.key, 'b');
    assert.equal((await store.get('user', 'a'))?.value, 'old');
    assert.equal(await store.get('group', 'g'), undefined);
    assert.equal(await store.revision(), revision);
  });

  test('the writes of one transaction share one version, and checks see the state before them', async (t) => {
    const store = await open(t);
    const version = committed(
      await store.transact({
        checks: [{ kind: 'user', key: 'a', version: 0 }],
        writes: [
          { kind: 'user', key: 'a', put: 1 },
          { kind: 'user', key: 'b', put: 2 },
        ],
      }),
    );
    assert.ok(version > 0);
    assert.equal((await store.get('user', 'a'))?.version, version);
    assert.equal((await store.get('user', 'b'))?.version, version);
    assert.equal(await store.revision(), version);
  });

  test('a transaction that changes nothing makes no revision and no event', async (t) => {
    const store = await open(t);
    const version = await put(store, 'a');
    assert.equal(committed(await store.transact({ writes: [] })), version);
    assert.equal(committed(await store.transact({ writes: [{ kind: 'user', key: 'none', delete: true }] })), version);
    assert.equal(await store.revision(), version);
  });

  test('a transaction that writes one object twice is refused whole', async (t) => {
    const store = await open(t);
    const writes = [
      { kind: 'user', key: 'a', put: 1 },
      { kind: 'user', key: 'a', delete: true },
    ] as const;
    await assert.rejects(store.transact({ writes }), Fault);
    assert.equal(await store.get('user', 'a'), undefined);
  });

  test('of many that create one object at once, one wins and all others see it', async (t) => {
    const store = await open(t);
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        store.transact({
          checks: [{ kind: 'user', key: 'a', version: 0 }],
          writes: [{ kind: 'user', key: 'a', put: index }],
        }),
      ),
    );
    assert.equal(results.filter((result) => result.kind === 'committed').length, 1);
    const winner = results.findIndex((result) => result.kind === 'committed');
    for (const result of results) {
      if (result.kind === 'conflict') assert.equal(result.found?.value, winner);
    }
  });

  test('a counter that many raise by compare-and-set counts every success', async (t) => {
    const store = await open(t);
    const raise = async (): Promise<void> => {
      for (;;) {
        const found = await store.get('user', 'n');
        const result = await store.transact({
          checks: [{ kind: 'user', key: 'n', version: found?.version ?? 0 }],
          writes: [{ kind: 'user', key: 'n', put: Number(found?.value ?? 0) + 1 }],
        });
        if (result.kind === 'committed') return;
      }
    };
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let count = 0; count < 10; count += 1) await raise();
      }),
    );
    assert.equal((await store.get('user', 'n'))?.value, 80);
  });

  test('one bad transaction does not fail those that were made with it', async (t) => {
    const store = await open(t);
    const results = await Promise.allSettled([put(store, 'a'), put(store, ''), put(store, 'b')]);
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
  });
}

function lists(open: Open): void {
  const fill = async (store: Store, keys: readonly string[]): Promise<void> => {
    committed(await store.transact({ writes: keys.map((key) => ({ kind: 'user' as const, key, put: key })) }));
  };
  const keysOf = (objects: readonly Stored[]): readonly string[] => objects.map((object) => object.key);

  test('a list is ordered by UTF-8 bytes, hostile keys too', async (t) => {
    const store = await open(t);
    await fill(store, HOSTILE_KEYS);
    assert.deepEqual(keysOf(await store.list('user')), HOSTILE_KEYS.toSorted(byBytes));
  });

  test('prefix, after and limit choose what a filter over all keys would', async (t) => {
    const store = await open(t);
    await fill(store, HOSTILE_KEYS);
    const text = fc.oneof(fc.constantFrom('', ...HOSTILE_KEYS), fc.string({ unit: 'binary', maxLength: 3 }));
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.option(text, { nil: undefined }),
        fc.integer({ min: 1, max: 40 }),
        async (prefix, after, limit) => {
          const expected = HOSTILE_KEYS.toSorted(byBytes)
            .filter((key) => key.startsWith(prefix) && (after === undefined || byBytes(key, after) > 0))
            .slice(0, limit);
          const found = await store.list('user', { prefix, limit, ...(after === undefined ? {} : { after }) });
          assert.deepEqual(keysOf(found), expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a limit outside 1 to 10,000 is refused, and 1,000 is the default', async (t) => {
    const store = await open(t);
    await fill(
      store,
      Array.from({ length: 1_001 }, (_, index) => `k${index}`),
    );
    for (const limit of [0, -1, 10_001, 1.5, Number.NaN]) {
      await assert.rejects(store.list('user', { limit }), faultOf('bad-input'));
    }
    assert.equal((await store.list('user')).length, 1_000);
    assert.equal((await store.list('user', { limit: 10_000 })).length, 1_001);
  });

  test('what a list leads to comes with it, in its order; what is not there is told, and other kinds are not looked at', async (t) => {
    const store = await open(t);
    const writes = HOSTILE_KEYS.map((key, index) => ({
      kind: 'repository-name' as const,
      key,
      put: { id: HOSTILE_KEYS[(index + 7) % HOSTILE_KEYS.length] ?? '' },
    }));
    const there = HOSTILE_KEYS.filter((_, index) => index % 3 !== 0);
    committed(await store.transact({ writes }));
    committed(
      await store.transact({ writes: there.map((key) => ({ kind: 'repository' as const, key, put: { is: key } })) }),
    );
    committed(await store.transact({ writes: HOSTILE_KEYS.map((key) => ({ kind: 'user' as const, key, put: 1 })) }));
    for (const options of [
      {},
      { prefix: 'a' },
      { after: 'a' },
      { prefix: 'a', after: 'a%', limit: 2 },
      { prefix: '\u{10ffff}' },
    ]) {
      const listed = await store.list('repository-name', options);
      const led = await store.follow('repository-name', 'repository', options);
      const expected = [];
      for (const { key, value } of listed) {
        const id = (value as { readonly id: string }).id;
        expected.push({ key, object: await store.get('repository', id) });
      }
      assert.deepEqual(led, expected);
      assert.ok(expected.length > 0);
    }
    for (const limit of [0, 10_001, 1.5]) {
      await assert.rejects(store.follow('repository-name', 'repository', { limit }), faultOf('bad-input'));
    }
    assert.deepEqual(await store.follow('repository-name', 'repository', { prefix: '\ud800' }), []);
  });

  test('a value without a usable id leads to nothing', async (t) => {
    const store = await open(t);
    const values: readonly Json[] = ['id', { id: null }, { id: [] }, { id: { id: 'a' } }, {}, [], 7];
    const writes = values.map((put, index) => ({ kind: 'repository-name' as const, key: `k${index}`, put }));
    committed(await store.transact({ writes: [...writes, { kind: 'repository', key: 'a', put: {} }] }));
    const led = await store.follow('repository-name', 'repository');
    assert.deepEqual(
      led.map(({ object }) => object),
      values.map(() => undefined),
    );
  });

  test('listAll walks every page once', async (t) => {
    const store = await open(t);
    const keys = Array.from({ length: 2_500 }, (_, index) => `p/${String(index).padStart(5, '0')}`);
    await fill(store, [...keys, 'q', 'o']);
    const seen: string[] = [];
    for await (const object of listAll(store, 'user', 'p/')) seen.push(object.key);
    assert.deepEqual(seen, keys);
  });
}

function watches(open: Open): void {
  test('a watch from 0 tells the whole history in order, deletions too', async (t) => {
    const store = await open(t);
    const first = await put(store, 'a', 1);
    const second = committed(await store.transact({ writes: [{ kind: 'user', key: 'a', delete: true }] }));
    const third = await put(store, 'b', 3);
    const { signal } = new AbortController();
    const events = await eventsUntil(store.watch({ from: 0, signal }), (event) => keyOf(event) === 'b');
    assert.deepEqual(events, [
      { type: 'put', object: { kind: 'user', key: 'a', version: first, value: 1 } },
      { type: 'delete', kind: 'user', key: 'a', version: second },
      { type: 'put', object: { kind: 'user', key: 'b', version: third, value: 3 } },
    ]);
  });

  test('a watch that waits hears of a later write', async (t) => {
    const store = await open(t);
    const from = await put(store, 'a');
    const events = store.watch({ from, signal: new AbortController().signal })[Symbol.asyncIterator]();
    const next = events.next();
    const version = await put(store, 'b', true);
    assert.deepEqual((await next).value, { type: 'put', object: { kind: 'user', key: 'b', version, value: true } });
    await events.return?.();
  });

  test('a watch of some kinds passes over the others without stopping', async (t) => {
    const store = await open(t);
    for (let index = 0; index < 600; index += 1) {
      void store.transact({ writes: [{ kind: index % 300 === 299 ? 'group' : 'user', key: `k${index}`, put: index }] });
    }
    const { signal } = new AbortController();
    const watch = store.watch({ kinds: ['group'], from: 0, signal });
    const events = await eventsUntil(watch, (event) => keyOf(event) === 'k599');
    assert.deepEqual(events.map(keyOf), ['k299', 'k599']);
  });

  test('watches see every event of concurrent writers once, in order, without a gap', async (t) => {
    const store = await open(t);
    const stop = new AbortController();
    const watchers = Array.from({ length: 3 }, () =>
      eventsUntil(store.watch({ from: 0, signal: stop.signal }), (event) => keyOf(event) === 'end'),
    );
    const versions = new Map<string, number>();
    await Promise.all(
      Array.from({ length: 10 }, async (_, writer) => {
        for (let index = 0; index < 60; index += 1) {
          const key = `${writer}/${index}`;
          versions.set(key, await put(store, key, index));
        }
      }),
    );
    versions.set('end', await put(store, 'end'));
    const expected = [...versions].toSorted(([, a], [, b]) => a - b);
    assert.equal(new Set(versions.values()).size, versions.size, 'each transaction has a version of its own');
    for (const events of await Promise.all(watchers)) {
      assert.deepEqual(
        events.map((event) => [keyOf(event), versionOf(event)]),
        expected,
      );
    }
  });

  test('a list at a revision and a watch from it add up to the state', async (t) => {
    const store = await open(t);
    const writer = (async () => {
      for (let index = 0; index < 200; index += 1) await put(store, `k${index % 20}`, index);
      return await put(store, 'end');
    })();
    const from = await store.revision();
    const state = new Map((await store.list('user')).map((object) => [object.key, object.value]));
    const { signal } = new AbortController();
    for (const event of await eventsUntil(store.watch({ from, signal }), (event) => keyOf(event) === 'end')) {
      if (event.type === 'put') state.set(event.object.key, event.object.value);
    }
    await writer;
    const objects = await store.list('user');
    assert.deepEqual(
      [...state].toSorted(([a], [b]) => byBytes(a, b)),
      objects.map((object) => [object.key, object.value]),
    );
  });

  test('commits made while a watch hands out earlier events are not slept over', async (t) => {
    const store = await open(t);
    await put(store, 'a');
    await put(store, 'b');
    const seen: string[] = [];
    for await (const event of store.watch({ from: 0, signal: new AbortController().signal })) {
      seen.push(keyOf(event));
      // Committed between the reading of the first events and the wait for more.
      if (keyOf(event) === 'a') await put(store, 'c');
      if (keyOf(event) === 'c') break;
    }
    assert.deepEqual(seen, ['a', 'b', 'c']);
  });

  test('an abort ends a watch that waits, one that is about to, and one that reads', async (t) => {
    const store = await open(t);
    await put(store, 'a');
    await put(store, 'b');
    const stop = new AbortController();
    const waiting = eventsUntil(store.watch({ from: await store.revision(), signal: stop.signal }), () => false);
    stop.abort();
    assert.deepEqual(await waiting, []);
    assert.deepEqual(await eventsUntil(store.watch({ from: 0, signal: stop.signal }), () => false), []);
    const reading = new AbortController();
    const seen: string[] = [];
    for await (const event of store.watch({ from: 0, signal: reading.signal })) {
      seen.push(keyOf(event));
      reading.abort();
    }
    assert.deepEqual(seen, ['a']);
  });

  test('a watch from a revision that the store never had is refused as missing', async (t) => {
    const store = await open(t);
    await put(store, 'a');
    for (const from of [2, -1, 1.5]) {
      const watch = store.watch({ from, signal: new AbortController().signal });
      await assert.rejects(
        eventsUntil(watch, () => true),
        faultOf('missing'),
      );
    }
  });
}

function closing(open: Open): void {
  test('what was asked before close is done, what is asked after it is refused', async (t) => {
    const store = await open(t);
    const before = put(store, 'a');
    const closed = store.close();
    await before;
    await closed;
    await assert.rejects(put(store, 'b'), faultOf('aborted'));
    await assert.rejects(store.get('user', 'a'), faultOf('aborted'));
    await store.close();
  });

  test('a watch that waits ends with a fault when the store is closed', async (t) => {
    const store = await open(t);
    const watch = store.watch({ from: 0, signal: new AbortController().signal })[Symbol.asyncIterator]();
    const next = assert.rejects(watch.next(), faultOf('aborted'));
    await store.close();
    await next;
  });
}
