/** Writing, reading and following a journal, and what it does when the disk fails. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { canonicalJson, ZERO_HASH } from '../../src/audit/line.ts';
import { verifyJournal } from '../../src/audit/verify.ts';
import { Fault } from '../../src/base/fault.ts';
import { HandClock } from '../support/hand-clock.ts';
import { collect, entry, inputOutputError, open, scratch, TestDisk } from './desk.ts';

async function text(directory: string, file = '000001.jsonl'): Promise<string> {
  return await readFile(join(directory, file), 'utf8');
}

test('a line is canonical JSON and its hash covers the line before, as docs/audit.md says', async (t) => {
  const directory = await scratch(t);
  const journal = await open(t, directory);
  await journal.append(entry({ reason: 'ü\n"\u2028', refs: [{ name: 'r', old: '0', new: '1', result: 'ok' }] }));
  await journal.append(entry());
  const lines = (await text(directory)).trimEnd().split('\n');
  assert.equal(lines.length, 2);
  let prev = ZERO_HASH;
  for (const [index, line] of lines.entries()) {
    const { prev: before, hash, ...body } = JSON.parse(line) as Record<string, unknown>;
    assert.equal(before, prev);
    assert.equal(
      hash,
      createHash('sha256')
        .update(prev + canonicalJson(body))
        .digest('hex'),
    );
    assert.equal(body['seq'], index + 1);
    assert.match(String(body['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    prev = hash;
  }
});

test('files and directory are for their owner only', async (t) => {
  const directory = await scratch(t);
  const journal = await open(t, directory);
  await journal.append(entry());
  for (const name of ['.', ...(await readdir(directory))]) {
    assert.equal((await stat(join(directory, name))).mode & 0o077, 0, name);
  }
});

test('whatever an entry holds is read back as it was, and verifies', async (t) => {
  const journal = await open(t, await scratch(t));
  const words = fc.string({ unit: 'binary', maxLength: 40 });
  const entries = fc.array(
    fc.record(
      { reason: words, rule: words, repository: words, argv: fc.array(words, { maxLength: 3 }), ms: fc.nat() },
      { requiredKeys: [] },
    ),
    { minLength: 1, maxLength: 5 },
  );
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(entries, async (more) => {
      const given = more.map((fields) => entry(fields));
      await Promise.all(given.map((one) => journal.append(one)));
      const read = (await collect(journal.read())).slice(seen);
      seen += given.length;
      const stripped = read.map(({ seq: _seq, time: _time, prev: _prev, hash: _hash, ...rest }) => rest);
      assert.deepEqual(
        stripped,
        given.map((one) => JSON.parse(JSON.stringify(one)) as JournalEntry),
      );
    }),
    { numRuns: 40 },
  );
  assert.equal((await journal.verify()).ok, true);
});

test('calls made together share one fsync and keep their order', async (t) => {
  const disk = new TestDisk();
  const journal = await open(t, await scratch(t), { disk });
  const before = disk.syncs;
  const requests = Array.from({ length: 500 }, (_, index) => `r${index}`);
  await Promise.all(
    requests.map(async (request, index) => {
      if (index % 3 === 0) journal.record(entry({ request }));
      else await journal.append(entry({ request }));
    }),
  );
  assert.equal(disk.syncs - before, 1);
  const lines = await collect(journal.read());
  assert.deepEqual(
    lines.map((line) => line.request),
    requests,
  );
  assert.deepEqual(
    lines.map((line) => line.seq),
    requests.map((_, index) => index + 1),
  );
});

test('append does not resolve before the fsync is over, and calls during it wait for the next', async (t) => {
  const disk = new TestDisk();
  const journal = await open(t, await scratch(t), { disk });
  const held = Promise.withResolvers<void>();
  disk.gate = held.promise;
  const settled: string[] = [];
  const before = disk.syncs;
  const first = journal.append(entry()).then(() => settled.push('first'));
  while (disk.syncs === before) await new Promise((resolve) => setImmediate(resolve));
  const second = journal.append(entry()).then(() => settled.push('second'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(settled, []);
  assert.equal(journal.head.seq, 0);
  held.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(settled, ['first', 'second']);
  assert.equal(disk.syncs - before, 2);
});

test('what is recorded reaches the file in the same turn and the disk within a second', async (t) => {
  const clock = new HandClock();
  const disk = new TestDisk();
  const directory = await scratch(t);
  const journal = await open(t, directory, { clock, disk });
  const before = disk.syncs;
  journal.record(entry());
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await text(directory)).split('\n').length, 2);
  assert.equal(disk.syncs, before);
  clock.advance(1_000);
  await journal.sync();
  assert.equal(disk.syncs, before + 1);
  assert.equal(journal.head.seq, 1);
});

test('a flood of records while the disk stands still keeps memory bounded by waiting for it', async (t) => {
  const disk = new TestDisk();
  const journal = await open(t, await scratch(t), { disk });
  const held = Promise.withResolvers<void>();
  disk.gate = held.promise;
  const before = disk.syncs;
  const reason = 'x'.repeat(100_000);
  // No turn of the loop ends in here, so that only a blocking sync can bound what is kept.
  for (let count = 0; count < 400; count += 1) journal.record(entry({ reason }));
  assert.ok(disk.syncs - before >= 2, 'the recorder had to sync');
  assert.ok(journal.head.seq > 150, `${journal.head.seq} lines are on disk`);
  held.resolve();
  await journal.sync();
  assert.equal(journal.head.seq, 400);
  assert.equal((await journal.verify()).ok, true);
});

test('a full file is followed by the next, and the chain goes on across files and openings', async (t) => {
  const directory = await scratch(t);
  for (let round = 0; round < 3; round += 1) {
    const journal = await open(t, directory, { rotateBytes: 2_000 });
    for (let line = 0; line < 20; line += 1) await journal.append(entry());
    await journal.close();
  }
  const files = (await readdir(directory)).filter((name) => name.endsWith('.jsonl'));
  assert.ok(files.length >= 8, files.join());
  const report = await verifyJournal(directory);
  assert.deepEqual(report.problems, []);
  assert.equal(report.lines, 60);
  assert.equal(report.files, files.length);
  const [first] = (await text(directory, '000002.jsonl')).split('\n');
  const last = (await text(directory)).trimEnd().split('\n').at(-1);
  assert.equal(JSON.parse(first ?? '').prev, JSON.parse(last ?? '').hash);
});

test('rotation under concurrent writers loses and repeats nothing', async (t) => {
  const directory = await scratch(t);
  const journal = await open(t, directory, { rotateBytes: 3_000 });
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let index = 0; index < 40; index += 1) {
        if (index % 2 === 0) journal.record(entry({ request: `${writer}/${index}` }));
        else await journal.append(entry({ request: `${writer}/${index}` }));
      }
    }),
  );
  const lines = await collect(journal.read());
  assert.equal(new Set(lines.map((line) => line.request)).size, 320);
  assert.equal(lines.length, 320);
  assert.deepEqual((await journal.verify()).problems, []);
});

test('a filter chooses by repository, principal, event, outcome, time and number', async (t) => {
  const clock = new HandClock();
  const journal = await open(t, await scratch(t), { clock, rotateBytes: 1_500 });
  const start = clock.now();
  for (let hour = 0; hour < 48; hour += 1) {
    await journal.append(
      entry({
        request: String(hour),
        repository: hour % 2 === 0 ? 'team/api' : 'team/api2',
        principal: hour % 3 === 0 ? 'bob' : 'adele',
        ...(hour === 7 ? { asking: 'root' } : {}),
        event: hour % 4 === 0 ? 'fetch' : 'push',
        outcome: hour % 5 === 0 ? 'refused' : 'served',
        // Words of other fields do not match.
        reason: 'team/api bob fetch refused',
      }),
    );
    clock.advance(3_600_000);
  }
  const hours = async (filter: Parameters<typeof journal.read>[0]): Promise<readonly number[]> =>
    (await collect(journal.read(filter))).map((line) => Number(line.request));
  const all = Array.from({ length: 48 }, (_, hour) => hour);
  assert.deepEqual(await hours({}), all);
  assert.deepEqual(
    await hours({ repository: 'team/api' }),
    all.filter((hour) => hour % 2 === 0),
  );
  assert.deepEqual(
    await hours({ principal: 'bob' }),
    all.filter((hour) => hour % 3 === 0),
  );
  assert.deepEqual(await hours({ principal: 'root' }), [7]);
  assert.deepEqual(await hours({ event: 'fetch', outcome: 'refused' }), [0, 20, 40]);
  assert.deepEqual(await hours({ since: start + 40 * 3_600_000 }), all.slice(40));
  assert.deepEqual(await hours({ since: start + 10 * 3_600_000, until: start + 12 * 3_600_000 }), [10, 11]);
  assert.deepEqual(await hours({ since: start + 100 * 3_600_000 }), []);
  assert.deepEqual(await hours({ limit: 3 }), [0, 1, 2]);
  assert.deepEqual(await hours({ limit: 0 }), []);
});

test('a follower gets every later line once, in order, over files, and ends when told', async (t) => {
  const journal = await open(t, await scratch(t), { rotateBytes: 2_000 });
  await journal.append(entry({ request: 'before' }));
  const stop = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const line of journal.follow({ repository: 'team/api' }, stop.signal)) {
      seen.push(line.request);
      if (line.request === '99') stop.abort();
    }
  })();
  await new Promise((resolve) => setImmediate(resolve));
  for (let index = 0; index < 100; index += 1) {
    await journal.append(entry({ request: `${index}`, repository: index % 2 === 1 ? 'team/api' : 'other' }));
  }
  await following;
  assert.deepEqual(
    seen,
    Array.from({ length: 50 }, (_, index) => `${index * 2 + 1}`),
  );
});

test('a follower with a start in the past gets history, then what follows; it ends with the journal', async (t) => {
  const journal = await open(t, await scratch(t));
  await journal.append(entry({ request: 'a' }));
  const following = collect(journal.follow({ since: 0 }, new AbortController().signal));
  await journal.append(entry({ request: 'b' }));
  journal.record(entry({ request: 'c' }));
  await journal.close();
  assert.deepEqual(
    (await following).map((line) => line.request),
    ['a', 'b', 'c'],
  );
});

test('after close nothing is taken', async (t) => {
  const journal = await open(t, await scratch(t));
  await journal.close();
  await assert.rejects(journal.append(entry()), Fault);
  assert.throws(() => journal.record(entry()), Fault);
});

test('a failed fsync rejects every append under it, and nothing of it is claimed later', async (t) => {
  const clock = new HandClock();
  const disk = new TestDisk();
  const directory = await scratch(t);
  const journal = await open(t, directory, { clock, disk });
  await journal.append(entry({ request: 'good' }));
  disk.syncError = inputOutputError;
  journal.record(entry({ request: 'kept' }));
  const appends = await Promise.allSettled([1, 2].map((index) => journal.append(entry({ request: `bad${index}` }))));
  assert.deepEqual(
    appends.map((append) => append.status),
    ['rejected', 'rejected'],
  );
  assert.equal(journal.failure?.code, 'busy');
  assert.match(journal.failure?.publicMessage ?? '', /EIO/);
  // The disk says yes again, as a kernel does that dropped the pages; but the journal is not asked yet.
  disk.syncError = undefined;
  await assert.rejects(journal.append(entry({ request: 'too soon' })), Fault);
  assert.equal(journal.head.seq, 1);
  clock.advance(1_000);
  await journal.append(entry({ request: 'again' }));
  assert.equal(journal.failure, undefined);
  const lines = await collect(journal.read());
  assert.deepEqual(
    lines.map((line) => line.request),
    ['good', 'kept', 'journal', 'again'],
  );
  assert.match(lines[2]?.reason ?? '', /EIO.*behind line 1: 2 entries were refused, 1 written later, 0 lost/);
  assert.deepEqual((await journal.verify()).problems, []);
});

test('a full disk rejects appends, leaves no half line, and is written to again when there is room', async (t) => {
  const clock = new HandClock();
  const disk = new TestDisk();
  const directory = await scratch(t);
  const journal = await open(t, directory, { clock, disk });
  await journal.append(entry({ request: 'good' }));
  disk.free = 100;
  await assert.rejects(journal.append(entry({ request: 'cut' })), Fault);
  for (let second = 0; second < 3; second += 1) {
    journal.record(entry({ request: `kept${second}` }));
    clock.advance(1_000);
    disk.free = 0;
    await assert.rejects(journal.append(entry({ request: 'no' })), Fault);
  }
  assert.equal((await verifyJournal(directory)).ok, true, 'what is on disk stays sound meanwhile');
  disk.free = Number.POSITIVE_INFINITY;
  clock.advance(1_000);
  await journal.append(entry({ request: 'again' }));
  const lines = await collect(journal.read());
  assert.deepEqual(
    lines.map((line) => line.request).filter((request) => request !== 'journal'),
    ['good', 'kept0', 'kept1', 'kept2', 'again'],
  );
  assert.deepEqual((await journal.verify()).problems, []);
});

test('records that no longer fit while the disk fails are counted, and verify says that they are lost', async (t) => {
  const clock = new HandClock();
  const disk = new TestDisk();
  const journal = await open(t, await scratch(t), { clock, disk });
  disk.syncError = inputOutputError;
  await assert.rejects(journal.append(entry()), Fault);
  for (let count = 0; count < 200; count += 1) journal.record(entry({ reason: 'x'.repeat(200_000) }));
  disk.syncError = undefined;
  clock.advance(1_000);
  await journal.append(entry());
  const { problems } = await journal.verify();
  assert.equal(problems.length, 1);
  assert.match(problems[0]?.what ?? '', /recorded.*[1-9]\d* lost/);
});

test('a failure while another sync is under way claims nothing of that sync', async (t) => {
  const clock = new HandClock();
  const disk = new TestDisk();
  const journal = await open(t, await scratch(t), { clock, disk });
  const held = Promise.withResolvers<void>();
  disk.gate = held.promise;
  const before = disk.syncs;
  const append = assert.rejects(journal.append(entry({ request: 'under way' })), Fault);
  while (disk.syncs === before) await new Promise((resolve) => setImmediate(resolve));
  disk.free = 0;
  journal.record(entry({ request: 'does not fit' }));
  await append;
  disk.free = Number.POSITIVE_INFINITY;
  disk.gate = undefined;
  held.resolve();
  clock.advance(1_000);
  await journal.append(entry({ request: 'again' }));
  assert.deepEqual(
    (await collect(journal.read())).map((line) => line.request),
    ['does not fit', 'journal', 'again'],
  );
  assert.deepEqual((await journal.verify()).problems, []);
});

test('a failure between two files is recovered from', async (t) => {
  const clock = new HandClock();
  const disk = new TestDisk();
  const directory = await scratch(t);
  const journal = await open(t, directory, { clock, disk, rotateBytes: 500 });
  for (let round = 0; round < 6; round += 1) {
    await journal.append(entry());
    disk.free = round % 2 === 0 ? 0 : 10;
    await assert.rejects(journal.append(entry()), Fault);
    disk.free = Number.POSITIVE_INFINITY;
    clock.advance(1_000);
    await journal.append(entry());
  }
  assert.deepEqual((await journal.verify()).problems, []);
  await journal.close();
  const again = await open(t, directory);
  assert.deepEqual((await again.verify()).problems, []);
  assert.equal((await collect(again.read())).filter((line) => line.event === 'push').length, 12);
});

test('an entry that is longer than a line may be is refused and leaves no trace', async (t) => {
  const journal = await open(t, await scratch(t));
  await assert.rejects(journal.append(entry({ reason: 'x'.repeat(65 * 1024 * 1024) })), Fault);
  await journal.append(entry());
  assert.equal(journal.head.seq, 1);
});

test('each sync is told with its lines', async (t) => {
  const told: number[] = [];
  const journal = await open(t, await scratch(t), { onSync: (_ms, lines) => told.push(lines) });
  await Promise.all([journal.append(entry()), journal.append(entry())]);
  await journal.append(entry());
  assert.deepEqual(told, [2, 1]);
});
