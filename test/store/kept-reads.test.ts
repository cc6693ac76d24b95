/** Reads from memory are what the store would answer, whatever is written meanwhile, and take bounded memory. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { keepReads } from '../../src/store/kept-reads.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Json } from '../../src/base/json.ts';
import type { Kind, Store, Stored, TransactResult } from '../../src/store/store.ts';
import { storeConformance } from './conformance.ts';
import { scratch } from './scratch.ts';

async function openInner(t: TestContext): Promise<Store> {
  return openSqliteStore({ path: join(await scratch(t), 'gatehouse.db') });
}

storeConformance({ name: 'kept reads', open: async (t) => keepReads(await openInner(t)) });

/** Counts what reaches the store, and holds back what it is told to. */
class Gate {
  gets = 0;
  /** Waited for after a read, before its answer is given. */
  afterGet: Promise<void> = Promise.resolve();
  /** Waited for after a commit, before anybody hears of it. */
  afterCommit: Promise<void> = Promise.resolve();
  fail: Fault | undefined;
  readonly store: Store;

  constructor(inner: Store) {
    this.store = {
      get: async (kind, key) => {
        this.gets += 1;
        const { afterGet } = this;
        const stored = await inner.get(kind, key);
        await afterGet;
        return stored;
      },
      transact: async (transaction): Promise<TransactResult> => {
        const { afterCommit, fail } = this;
        const result = await inner.transact(transaction);
        await afterCommit;
        if (fail !== undefined) throw fail;
        return result;
      },
      list: (kind, options) => inner.list(kind, options),
      follow: (from, to, options) => inner.follow(from, to, options),
      revision: () => inner.revision(),
      watch: (options) => inner.watch(options),
      close: () => inner.close(),
    };
  }
}

async function openGated(t: TestContext, bytesMax?: number): Promise<{ gate: Gate; kept: Store }> {
  const inner = await openInner(t);
  const gate = new Gate(inner);
  const kept = keepReads(gate.store, bytesMax);
  t.after(() => kept.close());
  return { gate, kept };
}

async function put(store: Store, kind: Kind, key: string, value: Json): Promise<void> {
  await store.transact({ writes: [{ kind, key, put: value }] });
}

const valueOf = (stored: Stored | undefined): unknown => stored?.value;

test('what was read is not read again, the same object comes back, and absences are kept too', async (t) => {
  const { gate, kept } = await openGated(t);
  await put(kept, 'user', 'ada', { suspended: false });
  const first = await kept.get('user', 'ada');
  assert.equal(await kept.get('user', 'ada'), first);
  assert.equal(await kept.get('user', 'bob'), undefined);
  assert.equal(await kept.get('user', 'bob'), undefined);
  assert.equal(gate.gets, 2);
  await put(kept, 'user', 'bob', { suspended: true });
  assert.deepEqual(valueOf(await kept.get('user', 'bob')), { suspended: true });
});

test('a commit that nobody has heard of yet is seen by a read, as without the memory', async (t) => {
  const { gate, kept } = await openGated(t);
  await put(kept, 'token', 't', { hash: 'old' });
  await kept.get('token', 't');
  const { promise, resolve } = Promise.withResolvers<void>();
  gate.afterCommit = promise;
  const writing = kept.transact({ writes: [{ kind: 'token', key: 't', delete: true }] });
  // The commit is on disk at some moment of this loop; from then on the token is gone, told or not.
  while ((await gate.store.get('token', 't')) !== undefined) await new Promise((done) => setImmediate(done));
  assert.equal(await kept.get('token', 't'), undefined);
  resolve();
  await writing;
  assert.equal(await kept.get('token', 't'), undefined);
});

test('a read that was overtaken by a write is not kept', async (t) => {
  const { gate, kept } = await openGated(t);
  await put(kept, 'user', 'ada', { suspended: false });
  const { promise, resolve } = Promise.withResolvers<void>();
  gate.afterGet = promise;
  const slow = kept.get('user', 'ada');
  gate.afterGet = Promise.resolve();
  await put(kept, 'user', 'ada', { suspended: true });
  resolve();
  await slow;
  assert.deepEqual(valueOf(await kept.get('user', 'ada')), { suspended: true });
});

test('two writers of one object: it is kept again only when both have ended', async (t) => {
  const { gate, kept } = await openGated(t);
  const { promise, resolve } = Promise.withResolvers<void>();
  gate.afterCommit = promise;
  const first = put(kept, 'user', 'ada', { n: 1 });
  gate.afterCommit = Promise.resolve();
  await put(kept, 'user', 'ada', { n: 2 });
  await kept.get('user', 'ada');
  await kept.get('user', 'ada');
  assert.equal(gate.gets, 2, 'the first writer is not heard of yet');
  resolve();
  await first;
  await kept.get('user', 'ada');
  await kept.get('user', 'ada');
  assert.equal(gate.gets, 3);
});

test('after a write of which nobody knows the end, its object is never kept', async (t) => {
  const { gate, kept } = await openGated(t);
  await put(kept, 'user', 'ada', { n: 1 });
  gate.fail = new Fault('corrupt', 'disk failed');
  await assert.rejects(put(kept, 'user', 'ada', { n: 2 }), /disk failed/);
  gate.fail = undefined;
  await kept.get('user', 'ada');
  await kept.get('user', 'ada');
  assert.equal(gate.gets, 2);
  gate.fail = new Fault('busy', 'queue is full');
  await assert.rejects(put(kept, 'user', 'bob', { n: 2 }), /queue/);
  await kept.get('user', 'bob');
  await kept.get('user', 'bob');
  assert.equal(gate.gets, 3, 'surely not written: kept');
});

test('what many ask for survives a flood of names that one makes up', async (t) => {
  const { gate, kept } = await openGated(t, 64 * 1024);
  await put(kept, 'user', 'ada', { n: 1 });
  await kept.get('user', 'ada');
  for (let count = 0; count < 2_000; count += 1) {
    await kept.get('repository-name', `made-up-${count}`);
    await kept.get('user', 'ada');
  }
  assert.equal(gate.gets, 2_001);
  await kept.get('repository-name', 'made-up-0');
  assert.equal(gate.gets, 2_002, 'what was asked for once is forgotten');
});

test('what is too large for the memory, and kinds that grow without bound, are read each time', async (t) => {
  const { gate, kept } = await openGated(t, 64 * 1024);
  const big = { text: 'x'.repeat(20_000) };
  for (const kind of ['user', 'lfs-object'] satisfies Kind[]) {
    await put(kept, kind, 'k', kind === 'user' ? big : {});
    await kept.get(kind, 'k');
    await kept.get(kind, 'k');
  }
  assert.equal(gate.gets, 4);
});

test('a closed store answers nothing from memory', async (t) => {
  const { kept } = await openGated(t);
  await put(kept, 'user', 'ada', { n: 1 });
  await kept.get('user', 'ada');
  await kept.close();
  await assert.rejects(kept.get('user', 'ada'), /closed/);
});
