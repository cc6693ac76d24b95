/** Opening a journal after a crash, and after somebody's hands. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'node:test';
import type { JournalLine } from '../../src/audit/entry.ts';
import type { OpenJournal } from '../../src/audit/journal.ts';
import type { VerifyReport } from '../../src/audit/verify.ts';
import { collect, entry, open, scratch, written } from './desk.ts';

const FIRST = '000001.jsonl';

async function reopened(
  t: TestContext,
  directory: string,
): Promise<{ journal: OpenJournal; lines: readonly JournalLine[]; report: VerifyReport }> {
  const journal = await open(t, directory, { expected: true });
  await journal.append(entry({ request: 'after' }));
  return { journal, lines: await collect(journal.read()), report: await journal.verify() };
}

function recoveries(lines: readonly JournalLine[]): readonly JournalLine[] {
  return lines.filter((line) => line.event === 'recover');
}

test('a clean opening adds nothing of its own', async (t) => {
  const directory = await scratch(t);
  await written(directory, 3);
  const { lines, report } = await reopened(t, directory);
  assert.deepEqual(
    lines.map((line) => line.seq),
    [1, 2, 3, 4],
  );
  assert.deepEqual(report.problems, []);
});

test('a half-written line at every length is cut, noted, and no problem', async (t) => {
  const next = Buffer.from('{"address":"192.0.2.1","event":"push","seq":4,"time":"2030-01-01T00:00:00.000Z"');
  for (const length of [1, 2, 40, next.length]) {
    const directory = await scratch(t);
    await written(directory, 3);
    await appendFile(join(directory, FIRST), next.subarray(0, length));
    const { lines, report } = await reopened(t, directory);
    assert.deepEqual(report.problems, []);
    const [note, ...more] = recoveries(lines);
    assert.equal(more.length, 0);
    assert.equal(note?.outcome, 'served');
    assert.match(note.reason ?? '', new RegExp(`cut ${length} bytes of an unfinished line behind line 3`));
    assert.equal(lines.at(-1)?.seq, 5);
  }
});

test('whole lines behind head, as after a power cut, are kept without a note', async (t) => {
  const directory = await scratch(t);
  await written(directory, 3);
  const head = await readFile(join(directory, 'head'));
  const journal = await open(t, directory);
  for (let count = 0; count < 5; count += 1) await journal.append(entry());
  await journal.close();
  await writeFile(join(directory, 'head'), head);
  const { lines, report } = await reopened(t, directory);
  assert.equal(lines.length, 9);
  assert.deepEqual(recoveries(lines), []);
  assert.deepEqual(report.problems, []);
});

test('a crash between two files, with the next one empty, is gone on from', async (t) => {
  const directory = await scratch(t);
  await written(directory, 3);
  await writeFile(join(directory, '000002.jsonl'), '');
  for (let round = 0; round < 2; round += 1) {
    const journal = await open(t, directory, { expected: true });
    await journal.close();
  }
  const { lines, report } = await reopened(t, directory);
  assert.deepEqual(recoveries(lines), []);
  assert.deepEqual(report.problems, []);
  assert.equal((await stat(join(directory, '000002.jsonl'))).size > 0, true);
});

test('a crash while the first file is made leaves a new journal', async (t) => {
  for (const files of [[], ['head']]) {
    const directory = await scratch(t);
    await mkdir(directory, { recursive: true });
    for (const name of files) await writeFile(join(directory, name), '');
    const journal = await open(t, directory);
    assert.equal(journal.head.seq, 0);
    assert.deepEqual((await journal.verify()).problems, []);
  }
  const directory = await scratch(t);
  await written(directory, 0);
  await rm(join(directory, FIRST));
  const journal = await open(t, directory);
  assert.deepEqual((await journal.verify()).problems, []);
});

/** Each does to a journal of three lines what no crash does. */
const DAMAGES: readonly [string, RegExp, (directory: string) => Promise<void>][] = [
  ['whole lines cut off the end', /was cut short.*line 3/, (directory) => cutLines(directory, 2)],
  ['all lines cut', /was cut short/, (directory) => cutLines(directory, 0)],
  [
    'the last line cut in its middle',
    /was cut short/,
    async (directory) => {
      await truncate(join(directory, FIRST), (await stat(join(directory, FIRST))).size - 10);
    },
  ],
  [
    'the last line edited',
    /was changed/,
    async (directory) => {
      const text = await readFile(join(directory, FIRST), 'utf8');
      await writeFile(join(directory, FIRST), `${text.slice(0, -300)}${text.slice(-300).replace('r3', 'r9')}`);
    },
  ],
  [
    'the file overwritten with garbage',
    /is not a line|was changed/,
    async (directory) => {
      await writeFile(join(directory, FIRST), 'x'.repeat((await stat(join(directory, FIRST))).size));
    },
  ],
  ['the file removed', /000001\.jsonl is missing/, (directory) => rm(join(directory, FIRST))],
  ['head removed', /head is missing/, (directory) => rm(join(directory, 'head'))],
  ['head overwritten', /head is unreadable/, (directory) => writeFile(join(directory, 'head'), 'x'.repeat(256))],
  [
    'everything removed',
    /the journal was gone/,
    async (directory) => {
      for (const name of await readdir(directory)) await rm(join(directory, name));
    },
  ],
  [
    'a foreign line behind the end',
    /is damaged from byte \d+ on, behind line 3/,
    (directory) => appendFile(join(directory, FIRST), '{"seq":4}\n'),
  ],
];

async function cutLines(directory: string, keep: number): Promise<void> {
  const lines = (await readFile(join(directory, FIRST), 'utf8')).split('\n').slice(0, keep);
  await writeFile(join(directory, FIRST), lines.map((line) => `${line}\n`).join(''));
}

for (const [what, reason, damage] of DAMAGES) {
  test(`${what}: the journal opens, says so, and every later verify says so too`, async (t) => {
    const directory = await scratch(t);
    await written(directory, 3);
    await damage(directory);
    const evidence = await readFile(join(directory, FIRST)).catch(() => undefined);
    const { journal, lines, report } = await reopened(t, directory);
    const [note] = recoveries(lines);
    assert.equal(note?.outcome, 'faulted');
    assert.match(note.reason ?? '', reason);
    assert.equal(report.ok, false);
    assert.ok(
      report.problems.some((problem) => problem.what.startsWith('recorded at start')),
      JSON.stringify(report.problems),
    );
    assert.equal(lines.at(-1)?.request, 'after');
    await journal.close();
    const again = await reopened(t, directory);
    assert.equal(again.report.ok, false, 'the finding stays');
    assert.equal(recoveries(again.lines).length, 1, 'and is noted once');
    if (evidence !== undefined && !what.startsWith('head')) {
      const found = await readFile(join(directory, FIRST)).catch(() => undefined);
      assert.deepEqual(found, evidence, 'the damaged file is left as evidence');
    }
  });
}

test('opening reads the end only: damage far before it is for verify', async (t) => {
  const directory = await scratch(t);
  await written(directory, 200, 10_000);
  const text = await readFile(join(directory, FIRST), 'utf8');
  await writeFile(join(directory, FIRST), text.replace('adele', 'mallo'));
  const { lines, report } = await reopened(t, directory);
  assert.deepEqual(recoveries(lines), []);
  assert.equal(report.problems.length, 1);
  assert.deepEqual(report.problems[0], {
    file: FIRST,
    line: 1,
    seq: 1,
    what: 'line was edited: its hash does not fit its bytes',
  });
});

test('a process killed again and again while it appends loses no acknowledged line, and the journal verifies', async (t) => {
  const directory = await scratch(t);
  await written(directory, 0);
  const script = fileURLToPath(new URL('./appending-child.ts', import.meta.url));
  const acknowledged: string[] = [];
  for (let round = 0; round < 8; round += 1) {
    const child = spawn(process.execPath, [script, directory, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    let left = 10 + round * 17;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      left -= 1;
      if (left === 0) child.kill('SIGKILL');
    }
    await exited;
  }
  const { lines, report } = await reopened(t, directory);
  assert.deepEqual(report.problems, []);
  const requests = new Set(lines.map((line) => line.request));
  for (const request of acknowledged) {
    assert.ok(requests.has(request), `${request} was acknowledged`);
    assert.ok(requests.has(`${request}/read`), `what was recorded before ${request} is there`);
  }
  assert.ok(recoveries(lines).every((line) => line.outcome === 'served'));
});
