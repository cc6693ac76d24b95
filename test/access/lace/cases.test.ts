/**
 * Every case of the Lace case table, from the copy beside this file or from the file named in LACE_CASES
 * (relative to the working directory). Fails on any mismatch, naming the case.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { mismatchesOf, readCaseTable } from './case-table.ts';

const named = process.env['LACE_CASES'];
const path = named === undefined || named === '' ? new URL('cases.json', import.meta.url) : resolve(named);
const text = await readFile(path, 'utf8');

test('every case of the table comes out as the table says', () => {
  const table = readCaseTable(text);
  const mismatches = mismatchesOf(table);
  assert.equal(
    mismatches.length,
    0,
    `${mismatches.length} of ${table.lex.length + table.cases.length} cases differ:\n${mismatches.join('\n')}`,
  );
});

test('a table with one changed expectation fails and names the case', async () => {
  const table = readCaseTable(await readFile(new URL('cases.json', import.meta.url), 'utf8'));
  for (const one of table.cases) {
    const changed = { ...one, expect: { ...one.expect, stage: one.expect.stage === 'run' ? 'compile' : 'run' } };
    const [found, ...more] = mismatchesOf({ lex: [], cases: [changed] });
    assert.ok(found?.startsWith(`${one.id}:`), one.id);
    assert.equal(more.length, 0);
  }
  for (const one of table.lex) {
    const [found] = mismatchesOf({ lex: [{ ...one, input: `${one.input}\nmore words` }], cases: [] });
    assert.ok(found?.startsWith(`${one.id}:`), one.id);
  }
});

test('each part of an expected error is compared', async () => {
  const table = readCaseTable(await readFile(new URL('cases.json', import.meta.url), 'utf8'));
  const one = table.cases.find(({ id }) => id === 'c-allow-no-reason');
  assert.ok(one);
  const trace = [{ source: 'main', line: 3, marked_columns: [[1, 5]] }];
  const variants = [
    { message: 'Expected reason' },
    { trace: [] },
    { trace: [{ ...trace[0], line: 2 }] },
    { trace: [{ ...trace[0], source: 'other' }] },
    { trace: [{ ...trace[0], marked_columns: [[1, 4]] }] },
  ];
  assert.deepEqual(mismatchesOf({ lex: [], cases: [{ ...one, expect: { ...one.expect, trace } }] }), []);
  for (const variant of variants) {
    const found = mismatchesOf({ lex: [], cases: [{ ...one, expect: { ...one.expect, ...variant } }] });
    assert.equal(found.length, 1, JSON.stringify(variant));
  }
});

test('a table of an unknown shape, or without cases, is refused', () => {
  const good = JSON.parse(text) as Record<string, unknown>;
  const bad: readonly unknown[] = [
    [],
    {},
    { ...good, cases: [] },
    { ...good, lex: [] },
    { ...good, cases: undefined },
    { ...good, more: 1 },
    { ...good, harness: { match_types: {}, commands: {} } },
    { ...good, cases: [{ id: 'x' }] },
    { ...good, cases: [{ id: 'x', files: {}, context: {}, expect: { outcome: 'maybe', stage: 'run' } }] },
    { ...good, cases: [{ id: 'x', files: {}, context: {}, expect: { outcome: 'error', stage: 'run' } }] },
    { ...good, cases: [{ id: 'x', files: {}, context: {}, expect: { outcome: 'allow', stage: 'run' } }] },
    {
      ...good,
      cases: [{ id: 'x', files: {}, context: {}, expect: { outcome: 'allow', stage: 'run', reason: '' }, surprise: 1 }],
    },
  ];
  for (const table of bad)
    assert.throws(() => readCaseTable(JSON.stringify(table) ?? 'null'), Error, JSON.stringify(table));
  assert.throws(() => readCaseTable('{'), SyntaxError);
});
