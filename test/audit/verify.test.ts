/** The journal under attack: every edit, deletion, insertion and cut is found, and found where it is. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, after, test } from 'node:test';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as fc from 'fast-check';
import { canonicalJson } from '../../src/audit/line.ts';
import { verifyJournal, type VerifyReport } from '../../src/audit/verify.ts';
import { Fault } from '../../src/base/fault.ts';
import { entry, open, scratch, written } from './desk.ts';

const LINES = 14;
let base = '';
let original = '';
let names: readonly string[] = [];

before(async () => {
  base = await mkdtemp(join(tmpdir(), 'gatehouse-'));
  original = join(base, 'original');
  await written(original, LINES, 1_200);
  names = (await readdir(original)).filter((name) => name.endsWith('.jsonl')).toSorted();
  assert.equal(names.length, 4, 'the attacks need several files');
  assert.equal((await verifyJournal(original)).ok, true);
});

after(() => rm(base, { recursive: true, force: true }));

/** A copy of the journal after an attack on it. */
async function attacked(attack: (directory: string) => Promise<void>): Promise<VerifyReport> {
  const directory = await mkdtemp(join(base, 'copy-'));
  await cp(original, directory, { recursive: true });
  await attack(directory);
  const report = await verifyJournal(directory);
  await rm(directory, { recursive: true });
  return report;
}

async function linesOf(directory: string, name: string): Promise<string[]> {
  return (await readFile(join(directory, name), 'utf8')).trimEnd().split('\n');
}

async function editLines(directory: string, name: string, edit: (lines: string[]) => string[]): Promise<void> {
  const lines = edit(await linesOf(directory, name));
  await writeFile(join(directory, name), lines.map((line) => `${line}\n`).join(''));
}

/** The line with other fields and a hash that fits them. */
function forged(line: string, fields: Record<string, unknown>): string {
  const { prev, hash: _hash, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const body = canonicalJson({ ...rest, ...fields });
  const hash = createHash('sha256')
    .update(`${String(prev)}${body}`)
    .digest('hex');
  return `${body.slice(0, -1)},"prev":"${String(prev)}","hash":"${hash}"}`;
}

function finds(report: VerifyReport, what: RegExp, place: { file?: string; line?: number; seq?: number }): void {
  assert.equal(report.ok, false, 'the attack is found');
  const found = report.problems.find((problem) => what.test(problem.what));
  assert.ok(found, `${String(what)} among ${JSON.stringify(report.problems)}`);
  for (const [key, value] of Object.entries(place))
    assert.equal(found[key as keyof typeof found], value, JSON.stringify(found));
}

test('every single byte of every file, changed to anything, is found', async () => {
  const contents = await Promise.all(names.map(async (name) => await readFile(join(original, name))));
  const places = contents.flatMap((content, index) => (content.length === 0 ? [] : [{ index, size: content.length }]));
  const place = fc
    .constantFrom(...places)
    .chain(({ index, size }) => fc.record({ index: fc.constant(index), at: fc.nat(size - 1), byte: fc.nat(255) }));
  await fc.assert(
    fc.asyncProperty(place, async ({ index, at, byte }) => {
      const name = names[index] ?? '';
      const content = Buffer.from(contents[index] ?? '');
      fc.pre(content[at] !== byte);
      const line = content.subarray(0, at).filter((one) => one === 0x0a).length + 1;
      content[at] = byte;
      const report = await attacked((directory) => writeFile(join(directory, name), content));
      assert.equal(report.ok, false);
      const [first] = report.problems;
      assert.equal(first?.file, name);
      assert.ok(first.line === line || first.line === line + 1, `${JSON.stringify(first)} near line ${line}`);
    }),
    { numRuns: 400 },
  );
});

test('an edited line is named, and is the only problem', async () => {
  const report = await attacked((directory) =>
    editLines(directory, '000002.jsonl', (lines) => lines.with(1, (lines[1] ?? '').replace('adele', 'mallo'))),
  );
  assert.equal(report.problems.length, 1);
  finds(report, /was edited/, { file: '000002.jsonl', line: 2 });
  assert.equal(report.lines, LINES);
});

test('a line that was replaced with a fitting hash is found at the next one, over a file boundary too', async () => {
  for (const at of [0, 1, (await linesOf(original, '000001.jsonl')).length - 1]) {
    const report = await attacked((directory) =>
      editLines(directory, '000001.jsonl', (lines) => lines.with(at, forged(lines.at(at) ?? '', { principal: 'x' }))),
    );
    assert.equal(report.problems.length, 1);
    const next = at > 1 ? { file: '000002.jsonl', line: 1 } : { file: '000001.jsonl', line: at + 2 };
    finds(report, /the line before was replaced/, next);
  }
});

test('the last line, replaced with a fitting hash, is found through head', async () => {
  const report = await attacked(async (directory) => {
    const last = await lastName(directory);
    await editLines(directory, last, (lines) => [
      ...lines.slice(0, -1),
      forged(lines.at(-1) ?? '', { principal: 'mallo' }),
    ]);
  });
  finds(report, /head names another hash/, { seq: LINES });
});

async function lastName(directory: string): Promise<string> {
  const filled = [];
  for (const name of names) if ((await readFile(join(directory, name))).length > 0) filled.push(name);
  return filled.at(-1) ?? '';
}

test('a line that is deleted, anywhere, is found where it stood', async () => {
  for (const name of names) {
    const count = (await readFile(join(original, name), 'utf8')).split('\n').length - 1;
    for (let index = 0; index < count; index += 1) {
      const { seq } = JSON.parse((await linesOf(original, name))[index] ?? '') as { seq: number };
      const report = await attacked((directory) => editLines(directory, name, (lines) => lines.toSpliced(index, 1)));
      finds(report, seq === LINES ? /was cut/ : /1 line is missing before this one/, { seq });
    }
  }
});

test('two lines that change places, a line repeated and a line put in are found', async () => {
  finds(
    await attacked((directory) => editLines(directory, '000001.jsonl', ([a = '', b = '', ...rest]) => [b, a, ...rest])),
    /is missing before this one/,
    { file: '000001.jsonl', line: 1 },
  );
  finds(
    await attacked((directory) => editLines(directory, '000002.jsonl', ([a = '', ...rest]) => [a, a, ...rest])),
    /was moved, repeated or put in/,
    { file: '000002.jsonl', line: 2 },
  );
  for (const inserted of ['', '{}', 'x', '{"seq":1}']) {
    finds(
      await attacked((directory) => editLines(directory, '000001.jsonl', (lines) => lines.toSpliced(1, 0, inserted))),
      /not a journal line/,
      { file: '000001.jsonl', line: 2 },
    );
  }
});

test('a line moved to another file is found', async () => {
  const report = await attacked(async (directory) => {
    const [moved = '', ...rest] = await linesOf(directory, '000002.jsonl');
    await writeFile(join(directory, '000002.jsonl'), rest.map((line) => `${line}\n`).join(''));
    await editLines(directory, '000001.jsonl', (lines) => [moved, ...lines]);
  });
  assert.equal(report.ok, false);
});

test('a cut at every byte of the last lines is found and says which lines are gone', async () => {
  const last = await lastName(original);
  const content = await readFile(join(original, last));
  const seqs = (await linesOf(original, last)).map((line) => (JSON.parse(line) as { seq: number }).seq);
  for (let length = 0; length < content.length; length += length % 50 === 0 ? 1 : 7) {
    const whole = content.subarray(0, length).filter((byte) => byte === 0x0a).length;
    const report = await attacked((directory) => truncate(join(directory, last), length));
    finds(report, /the journal was cut/, { file: last, line: whole + 1, seq: seqs[whole] ?? 0 });
  }
  for (let whole = 0; whole < seqs.length; whole += 1) {
    const report = await attacked((directory) => editLines(directory, last, (lines) => lines.slice(0, whole)));
    finds(report, /the journal was cut/, { seq: seqs[whole] ?? 0 });
  }
});

test('a cut of an earlier file is found in that file', async () => {
  const report = await attacked((directory) => truncate(join(directory, '000001.jsonl'), 500));
  finds(report, /ends inside a line/, { file: '000001.jsonl' });
});

test('a missing file is found: the first, one between, the last, all', async () => {
  finds(await attacked((directory) => rm(join(directory, '000001.jsonl'))), /file is missing/, {
    file: '000001.jsonl',
    line: 0,
    seq: 1,
  });
  finds(await attacked((directory) => rm(join(directory, '000002.jsonl'))), /file is missing/, {
    file: '000002.jsonl',
  });
  finds(
    await attacked(async (directory) => await rm(join(directory, await lastName(directory)))),
    /missing|was cut/,
    {},
  );
  finds(
    await attacked(async (directory) => {
      for (const name of names) await rm(join(directory, name));
    }),
    /was cut: lines 1 to 14 are missing/,
    { seq: 1 },
  );
});

test('files moved to an archive are accepted only with the line that they ended with', async () => {
  const lines = await linesOf(original, '000002.jsonl');
  const { seq, hash } = JSON.parse(lines.at(-1) ?? '') as { seq: number; hash: string };
  const directory = await mkdtemp(join(base, 'copy-'));
  await cp(original, directory, { recursive: true });
  for (const name of ['000001.jsonl', '000002.jsonl']) await rm(join(directory, name));
  const report = await verifyJournal(directory, { base: `${seq}:${hash}` });
  assert.deepEqual(report.problems, []);
  assert.equal(report.lines, LINES - seq);
  finds(await verifyJournal(directory), /file is missing to 000002/, { file: '000001.jsonl' });
  finds(await verifyJournal(directory, { base: `${seq - 1}:${hash}` }), /is missing before this one/, { line: 1 });
  finds(await verifyJournal(directory, { base: `${seq}:${'f'.repeat(64)}` }), /was replaced/, { line: 1 });
  await rm(join(directory, '000003.jsonl'));
  finds(await verifyJournal(directory, { base: `${seq}:${hash}` }), /lines are missing/, {});
});

test('files that are renamed to close a gap, or swapped, are found', async () => {
  const report = await attacked(async (directory) => {
    await rm(join(directory, '000001.jsonl'));
    for (const [index, name] of names.slice(1).entries()) {
      await rename(join(directory, name), join(directory, names[index] ?? ''));
    }
  });
  finds(report, /lines are missing before this one/, { file: '000001.jsonl', line: 1 });
  const swapped = await attacked(async (directory) => {
    await rename(join(directory, '000001.jsonl'), join(directory, 'x'));
    await rename(join(directory, '000002.jsonl'), join(directory, '000001.jsonl'));
    await rename(join(directory, 'x'), join(directory, '000002.jsonl'));
  });
  assert.equal(swapped.ok, false);
});

test('head missing, empty, edited in any byte, or of an older time is found', async () => {
  finds(await attacked((directory) => rm(join(directory, 'head'))), /head is missing/, { file: 'head' });
  finds(await attacked((directory) => writeFile(join(directory, 'head'), '')), /head is unreadable/, { file: 'head' });
  const content = await readFile(join(original, 'head'));
  for (let at = 0; at < content.length; at += at < 200 ? 1 : 11) {
    const edited = Buffer.from(content);
    edited[at] = edited[at] === 0x31 ? 0x32 : 0x31;
    const report = await attacked((directory) => writeFile(join(directory, 'head'), edited));
    assert.equal(report.ok, false, `byte ${at}`);
  }
});

test('the journal rewritten from some line on, chained anew, is found through head', async () => {
  const report = await attacked(async (directory) => {
    let prev: string | undefined;
    for (const name of names) {
      await editLines(directory, name, (lines) =>
        lines.filter(Boolean).map((line) => {
          const chained = prev === undefined ? line : line.replace(/"prev":"[0-9a-f]{64}"/, `"prev":"${prev}"`);
          const mine = forged(chained, { principal: 'mallo' });
          prev = String((JSON.parse(mine) as Record<string, unknown>)['hash']);
          return mine;
        }),
      );
      if ((await readFile(join(original, name))).length === 0) await writeFile(join(directory, name), '');
    }
  });
  finds(report, /the journal was rewritten/, { seq: LINES });
});

test('a cut that also winds head back passes alone, and is found with a head copied before', async () => {
  const { head } = await verifyJournal(original);
  const directory = await mkdtemp(join(base, 'copy-'));
  await cp(original, directory, { recursive: true });
  const last = await lastName(directory);
  await editLines(directory, last, (lines) => lines.slice(0, -1));
  const content = await readFile(join(directory, last), 'utf8');
  const line = JSON.parse(content.trimEnd().split('\n').at(-1) ?? '') as { seq: number; hash: string };
  const wound = canonicalJson({ file: last, hash: line.hash, offset: content.length, seq: line.seq });
  await writeFile(join(directory, 'head'), `${wound.padEnd(255)}\n`);
  assert.equal((await verifyJournal(directory)).ok, true, 'who may write everything may wind everything back');
  for (const anchor of [head.hash, `${head.seq}:${head.hash}`]) {
    finds(await verifyJournal(directory, { head: anchor }), /the given head.* is not in this journal/, {});
    assert.equal((await verifyJournal(original, { head: anchor })).ok, true);
  }
  const wrongPlace = `${head.seq - 1}:${head.hash}`;
  finds(await verifyJournal(original, { head: wrongPlace }), /the given head of line 13 is not/, {});
});

test('a head that is no hash is a usage fault, and no journal is a missing one', async (t) => {
  const code = (expected: string) => (error: unknown) => error instanceof Fault && error.code === expected;
  for (const head of ['', 'abc', `x:${'0'.repeat(64)}`, 'g'.repeat(64)]) {
    await assert.rejects(verifyJournal(original, { head }), code('usage'));
  }
  await assert.rejects(verifyJournal(original, { base: '0'.repeat(64) }), code('usage'));
  await assert.rejects(verifyJournal(await scratch(t)), code('missing'));
});

test('a new journal verifies, also with the empty head', async (t) => {
  const directory = await scratch(t);
  const journal = await open(t, directory);
  const report = await journal.verify({ head: '0'.repeat(64) });
  assert.deepEqual(report, { ok: true, lines: 0, files: 1, head: journal.head, problems: [], unfinishedBytes: 0 });
});

test('verifying while others write reports nothing, from within and from outside', async (t) => {
  const directory = await scratch(t);
  const journal = await open(t, directory, { rotateBytes: 5_000 });
  const progress = { writing: true };
  const writer = (async () => {
    for (let count = 0; count < 400; count += 1) {
      journal.record(entry());
      await journal.append(entry());
    }
    progress.writing = false;
  })();
  while (progress.writing) {
    assert.deepEqual((await journal.verify()).problems, []);
    assert.deepEqual((await verifyJournal(directory)).problems, []);
  }
  await writer;
});

test('problems are bounded, whatever a file holds', async () => {
  const report = await attacked((directory) => writeFile(join(directory, '000001.jsonl'), 'x\n'.repeat(100_000)));
  assert.equal(report.ok, false);
  assert.equal(report.problems.length, 1_000);
});
