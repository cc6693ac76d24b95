import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { contentOf, isRacy, isSameStamp, stampOf } from '../../src/git/file-stamp.ts';
import { openGround } from './ground.ts';

test('a stamp proves nothing until its clock has surely ticked', async () => {
  await using ground = await openGround();
  const path = join(ground.path, 'file');
  await writeFile(path, 'x');
  const stamp = stampOf(path);
  assert(stamp !== undefined);
  const at = 1_700_000_000_000;
  const isRacyAfter = (ms: number, times: { mtimeMs: number; ctimeMs: number }): boolean =>
    isRacy({ ...stamp, ...times }, at + ms);
  // Whole milliseconds: the clock may tick in seconds.
  const coarse = { mtimeMs: at, ctimeMs: at };
  assert.deepEqual(
    [0, 1_000, 1_200].map((ms) => isRacyAfter(ms, coarse)),
    [true, true, false],
  );
  // Fractions: it does not.
  const fine = { mtimeMs: at, ctimeMs: at + 0.25 };
  assert.deepEqual(
    [0, 20, 60].map((ms) => isRacyAfter(ms, fine)),
    [true, true, false],
  );
  // The time of the last write is anybody's to set: it says nothing about the clock.
  assert.equal(isRacyAfter(60, { mtimeMs: at + 0.25, ctimeMs: at }), true);
  assert.equal(isRacyAfter(60, { mtimeMs: at + 40.25, ctimeMs: at + 0.25 }), true);
  // A clock that went back, or a file from the future, is never trusted.
  assert.equal(isRacyAfter(-60_000, fine), true);
});

test('stamps differ where inode, size, a time or the type differs, and where one is not there', async () => {
  await using ground = await openGround();
  const path = join(ground.path, 'file');
  await writeFile(path, 'x');
  const stamp = stampOf(path);
  assert(stamp !== undefined);
  assert.equal(isSameStamp(stamp, { ...stamp }), true);
  for (const change of [{ ino: 0 }, { size: 2 }, { mtimeMs: 0 }, { ctimeMs: 0 }, { type: 'link' as const }]) {
    assert.equal(isSameStamp(stamp, { ...stamp, ...change }), false);
  }
  assert.equal(isSameStamp(stamp, undefined), false);
  assert.equal(isSameStamp(undefined, undefined), true);
});

test('content is a text, a listing, a link’s own target; a path that is gone or goes through a file is none', async () => {
  await using ground = await openGround();
  const at = (name: string): string => join(ground.path, name);
  await writeFile(at('file'), 'text');
  await mkdir(at('directory'));
  await writeFile(at('directory/b'), '');
  await writeFile(at('directory/a'), '');
  await symlink('/etc/passwd', at('link'));
  const read = (name: string): string | undefined => {
    const stamp = stampOf(at(name));
    return stamp && contentOf(at(name), stamp);
  };
  assert.equal(read('file'), 'text');
  assert.equal(read('directory'), 'a/b');
  assert.equal(read('link'), '/etc/passwd');
  assert.equal(read('gone'), undefined);
  assert.equal(read('file/below'), undefined);
});
