/** Who may answer for a finding, for how long, and what is remembered of who pushed it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ALL_REPOSITORIES, isOthersFinding, Waivers } from '../../src/scan/waivers.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { workspace } from '../support/workspace.ts';

const DAY = 86_400_000;
const PRINT = 'ab'.repeat(32);

async function openBook(t: TestContext): Promise<{ readonly book: Waivers; readonly clock: { ms: number } }> {
  const store = await openSqliteStore({ path: join(workspace(t, 'waivers-'), 'x.db') });
  t.after(() => store.close());
  const clock = { ms: 1_000 * DAY };
  return { book: new Waivers({ store, clock: { now: () => clock.ms } }), clock };
}

const grantOf = (scope: string, expiresAt: number) => ({
  fingerprint: PRINT,
  scope,
  repositoryName: 'r',
  reason: 'known',
  by: 'admin',
  expiresAt,
  rule: 'fake',
  redacted: 'x',
});

const noted = (fingerprint: string) => ({ finding: { fingerprint, rule: 'fake', redacted: 'x' }, place: 'a:1' });

test('a waiver counts in its repository until it expires, one for all everywhere', async (t) => {
  const { book, clock } = await openBook(t);
  assert.equal((await book.grant(grantOf('r1', clock.ms + DAY))).kind, 'ok');
  assert.equal((await book.covering(PRINT, 'r1'))?.by, 'admin');
  assert.equal(await book.covering(PRINT, 'r2'), undefined);
  await book.grant(grantOf(ALL_REPOSITORIES, clock.ms + 2 * DAY));
  assert.notEqual(await book.covering(PRINT, 'r2'), undefined);
  clock.ms += DAY;
  assert.equal((await book.covering(PRINT, 'r1'))?.scope, ALL_REPOSITORIES);
  clock.ms += DAY;
  assert.equal(await book.covering(PRINT, 'r1'), undefined);
  assert.equal((await book.list()).length, 2);
  assert.equal(await book.revoke(PRINT, 'r1'), true);
  assert.equal(await book.revoke(PRINT, 'r1'), false);
});

test('a finding is remembered with everybody who pushed it, for thirty days', async (t) => {
  const { book, clock } = await openBook(t);
  await book.note([noted(PRINT)], ['alice']);
  await book.note([noted(PRINT)], ['bob', 'carol']);
  const found = await book.recent(PRINT);
  assert.deepEqual(found?.pushers, ['alice', 'bob', 'carol']);
  assert.equal(isOthersFinding(found, ['dora']), true);
  assert.equal(isOthersFinding(found, ['dora', 'bob']), false);
  assert.equal(isOthersFinding(undefined, ['dora']), false);
  clock.ms += 31 * DAY;
  assert.equal(await book.recent(PRINT), undefined);
});

test('so many pushers that one might be forgotten leave the finding to administrators', async (t) => {
  const { book } = await openBook(t);
  for (let index = 0; index < 40; index += 1) await book.note([noted(PRINT)], [`user-${index}`]);
  const found = await book.recent(PRINT);
  assert.ok((found?.pushers.length ?? 99) <= 34);
  assert.equal(found?.pushers[0], 'user-0');
  assert.equal(isOthersFinding(found, ['nobody']), false);
});

test('pushers noted at the same time are all remembered', async (t) => {
  const { book } = await openBook(t);
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => book.note([noted(PRINT)], [name])));
  assert.deepEqual((await book.recent(PRINT))?.pushers.toSorted(), ['a', 'b', 'c', 'd']);
});

test('a fingerprint may be cut to twelve digits where a finding of late has it, and it alone', async (t) => {
  const { book } = await openBook(t);
  const [one, two] = [`${'1'.repeat(12)}${'a'.repeat(52)}`, `${'1'.repeat(12)}${'b'.repeat(52)}`];
  await book.note([noted(one)], ['alice']);
  assert.deepEqual(await book.resolve('1'.repeat(12)), { kind: 'ok', value: one });
  await book.note([noted(two)], ['alice']);
  assert.equal((await book.resolve('1'.repeat(12))).kind, 'refused');
  assert.deepEqual(await book.resolve(`${'1'.repeat(12)}B`), { kind: 'ok', value: two });
  for (const wrong of ['1'.repeat(11), 'zz', '', '9'.repeat(12), `${one}0`]) {
    assert.equal((await book.resolve(wrong)).kind, 'refused', wrong);
  }
  assert.deepEqual(await book.resolve('9'.repeat(64)), { kind: 'ok', value: '9'.repeat(64) });
});

test('old findings are taken away as new ones come', async (t) => {
  const { book, clock } = await openBook(t);
  await book.note([noted(PRINT)], ['alice']);
  clock.ms += 31 * DAY;
  await book.note([noted('c'.repeat(64))], ['alice']);
  assert.equal((await book.resolve(PRINT.slice(0, 12))).kind, 'refused');
});
