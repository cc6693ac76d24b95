/** `gl-locks` as Perl writes it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { locksText, parseLocks, readLocks, writeLocks } from '../../src/gitolite/locks.ts';

const TEXT = String.raw`%locks = (
  'BREAKS' => [
    '1795332728 ann bob 1 f'
  ],
  'a/b c' => {
    'TIME' => 1795332728,
    'USER' => 'ann'
  },
  'it\'s' => {
    'TIME' => '12',
    'USER' => 'bob'
  }
);
`;

test('locks and broken locks are read, and written in the same form', () => {
  const locks = parseLocks(TEXT);
  assert.deepEqual(
    [...locks.locks],
    [
      ['a/b c', { user: 'ann', time: 1_795_332_728 }],
      ["it's", { user: 'bob', time: 12 }],
    ],
  );
  assert.deepEqual(locks.breaks, ['1795332728 ann bob 1 f']);
  assert.equal(locksText(locks), TEXT.replace("'12'", '12'));
  assert.equal(locksText({ locks: new Map(), breaks: [] }), '%locks = ();\n');
});

test('a repository without locks has none', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'gatehouse-locks-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  assert.equal((await readLocks(path)).locks.size, 0);
  await writeLocks(path, { locks: new Map([['x', { user: 'ann', time: 1 }]]), breaks: [] });
  assert.deepEqual((await readLocks(path)).locks.get('x'), { user: 'ann', time: 1 });
});
