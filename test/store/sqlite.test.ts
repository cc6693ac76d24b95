/** The SQLite driver: the contract, and what is its own: durability, compaction, files that it refuses. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { listAll, type Store } from '../../src/store/store.ts';
import { eventsUntil, keyOf, put, storeConformance } from './conformance.ts';
import { scratch } from './scratch.ts';

async function storePath(t: TestContext): Promise<string> {
  return join(await scratch(t), 'gatehouse.db');
}

storeConformance({ name: 'sqlite', open: async (t) => await openSqliteStore({ path: await storePath(t) }) });

/** Opens, expects a refusal, and gives what a person reads. */
async function refusal(path: string, create = true): Promise<{ code: string; text: string }> {
  const error: unknown = await openSqliteStore({ path, create }).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof Fault, 'opening is refused with a fault');
  assert.match(error.publicMessage ?? '', /gatehouse\.db/, 'the message names the file');
  return { code: error.code, text: error.publicMessage ?? '' };
}

test('a store that is opened again has its objects, versions, revision and history', async (t) => {
  const path = await storePath(t);
  const first = await openSqliteStore({ path });
  const version = await put(first, 'a', { x: 1 });
  await first.close();
  assert.deepEqual(await readdir(join(path, '..')), ['gatehouse.db'], 'the log is written back and removed');
  const second = await openSqliteStore({ path, create: false });
  t.after(() => second.close());
  assert.equal((await second.get('user', 'a'))?.version, version);
  assert.equal(await second.revision(), version);
  const next = await put(second, 'b');
  assert.ok(next > version);
  const events = await eventsUntil(
    second.watch({ from: 0, signal: new AbortController().signal }),
    (event) => keyOf(event) === 'b',
  );
  assert.deepEqual(events.map(keyOf), ['a', 'b']);
});

test('the store file is for its owner only', async (t) => {
  const path = await storePath(t);
  const store = await openSqliteStore({ path });
  t.after(() => store.close());
  await put(store, 'a');
  for (const name of await readdir(join(path, '..'))) {
    assert.equal((await stat(join(path, '..', name))).mode & 0o077, 0, name);
  }
});

test('a watch from before the compacted log is refused as missing, one from within goes on', async (t) => {
  const path = await storePath(t);
  const store = await openSqliteStore({ path, logEventsMax: 100 });
  t.after(() => store.close());
  const { signal } = new AbortController();
  const slow = store.watch({ from: 0, signal })[Symbol.asyncIterator]();
  for (let index = 0; index < 5; index += 1) await put(store, `early${index}`);
  assert.equal((await slow.next()).done, false);
  await Promise.all(Array.from({ length: 1_000 }, (_, index) => put(store, `k${index}`)));
  const last = await store.revision();
  const missing = (error: unknown): boolean => error instanceof Fault && error.code === 'missing';
  await assert.rejects(
    eventsUntil(store.watch({ from: 0, signal }), () => true),
    missing,
  );
  await assert.rejects(async () => {
    while ((await slow.next()).done !== true);
  }, missing);
  let seen = 0;
  for await (const event of store.watch({ from: last - 100, signal })) {
    seen += 1;
    if (keyOf(event) === `k999`) break;
  }
  assert.equal(seen, 100);
});

test('the compacted log keeps to its bounds in events and in bytes, after a reopening too', async (t) => {
  const path = await storePath(t);
  const rows = (): { count: number; bytes: number } => {
    const database = new DatabaseSync(path, { readOnly: true });
    const row = database.prepare('SELECT count(*) AS count, sum(length(value)) AS bytes FROM change').get();
    database.close();
    return { count: Number(row?.['count']), bytes: Number(row?.['bytes']) };
  };
  for (let round = 0; round < 3; round += 1) {
    const store = await openSqliteStore({ path, logEventsMax: 50, logBytesMax: 100_000 });
    for (let index = 0; index < 60; index += 1) await put(store, `k${index}`, 'x'.repeat(index < 30 ? 10 : 10_000));
    await store.close();
    assert.ok(rows().count <= 56 && rows().bytes <= 111_000, JSON.stringify(rows()));
    assert.ok(rows().count >= 8, 'what fits is kept');
  }
});

test('a transaction larger than the log is kept for those who watch', async (t) => {
  const store = await openSqliteStore({ path: await storePath(t), logEventsMax: 10 });
  t.after(() => store.close());
  const from = await put(store, 'a');
  const keys = Array.from({ length: 500 }, (_, index) => `k${String(index).padStart(3, '0')}`);
  await store.transact({ writes: keys.map((key) => ({ kind: 'user', key, put: 1 })) });
  const watch = store.watch({ from, signal: new AbortController().signal });
  assert.deepEqual((await eventsUntil(watch, (event) => keyOf(event) === 'k499')).map(keyOf), keys);
});

async function fill(path: string): Promise<void> {
  const store: Store = await openSqliteStore({ path });
  await Promise.all(Array.from({ length: 300 }, (_, index) => put(store, `k${index}`, 'x'.repeat(500))));
  await store.close();
}

test('a file cut anywhere is refused and left as it is', async (t) => {
  const path = await storePath(t);
  await fill(path);
  const { size } = await stat(path);
  for (const length of [0, 1, 16, 99, 100, 512, 4095, 4096, 8192, size - 4096, size - 1]) {
    const copy = await storePath(t);
    await copyFile(path, copy);
    await truncate(copy, length);
    const { code, text } = await refusal(copy);
    assert.equal(code, 'corrupt', `cut to ${length}`);
    assert.match(text, /truncated|not a database|damaged/);
    assert.equal((await stat(copy)).size, length, 'not recreated');
  }
});

test('a file whose pages were overwritten is refused', async (t) => {
  const path = await storePath(t);
  await fill(path);
  const bytes = await readFile(path);
  const copy = join(await scratch(t), 'gatehouse.db');
  for (let page = 1; page < bytes.length / 4096; page += 7) {
    await writeFile(copy, Buffer.from(bytes).fill(0xa5, page * 4096, (page + 1) * 4096));
    assert.equal((await refusal(copy)).code, 'corrupt', `page ${page}`);
  }
});

test('a file that is no database, a database of another program and a directory are refused', async (t) => {
  const path = await storePath(t);
  await writeFile(path, 'x'.repeat(8192));
  assert.match((await refusal(path)).text, /not a database/);
  const other = await storePath(t);
  const database = new DatabaseSync(other);
  database.exec('CREATE TABLE t (x); PRAGMA user_version = 1');
  database.close();
  assert.match((await refusal(other)).text, /another program/);
  const directory = await storePath(t);
  await mkdir(directory);
  assert.match((await refusal(directory)).text, /not a file/);
});

test('a file of a newer schema is refused and says that it is newer', async (t) => {
  const path = await storePath(t);
  await fill(path);
  const database = new DatabaseSync(path);
  database.exec('PRAGMA user_version = 99');
  database.close();
  const { code, text } = await refusal(path);
  assert.equal(code, 'corrupt');
  assert.match(text, /newer Gatehouse \(schema 99; this one knows 1\)/);
});

test('a file that should be there and is not is refused, not made', async (t) => {
  const path = await storePath(t);
  const { code, text } = await refusal(path, false);
  assert.equal(code, 'missing');
  assert.match(text, /empty server/);
  assert.deepEqual(await readdir(join(path, '..')), []);
});

test(
  'a file that this user may not read is refused with the reason',
  { skip: process.getuid?.() === 0 ? 'root reads everything' : false },
  async (t) => {
    const path = await storePath(t);
    await fill(path);
    await chmod(path, 0o000);
    assert.match((await refusal(path)).text, /cannot be read and written by this user/);
  },
);

test('a creation that was cut short is begun again', async (t) => {
  const path = await storePath(t);
  await writeFile(`${path}.new`, 'half');
  await writeFile(`${path}.new-wal`, 'half');
  const store = await openSqliteStore({ path });
  await put(store, 'a');
  await store.close();
  assert.deepEqual(await readdir(join(path, '..')), ['gatehouse.db']);
});

test('a process killed while it writes keeps every acknowledged transaction, each whole', async (t) => {
  const path = await storePath(t);
  const script = fileURLToPath(new URL('./writing-child.ts', import.meta.url));
  const acknowledged: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const child = spawn(process.execPath, [script, path, String((round + 1) * 100_000)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    let left = 20 + round * 13;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(Number(line));
      left -= 1;
      if (left === 0) child.kill('SIGKILL');
    }
    await exited;
    const store = await openSqliteStore({ path, create: false });
    const users = new Map<string, number>();
    for await (const object of listAll(store, 'user')) users.set(object.key, object.version);
    for (const number of acknowledged) assert.ok(users.has(`n${number}`), `${number} was acknowledged`);
    for (const [key, version] of users) assert.equal((await store.get('group', key))?.version, version);
    await store.close();
  }
});
