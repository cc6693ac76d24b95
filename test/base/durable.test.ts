import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createFile,
  createFileDurably,
  moveIntoDurably,
  syncDirectory,
  syncFile,
  writeFileDurably,
} from '../../src/base/durable.ts';
import { openGround } from '../git/ground.ts';

test('writeFileDurably replaces a file whole and leaves no temporary one', async () => {
  await using ground = await openGround();
  const path = join(ground.path, 'file');
  await writeFileDurably(path, 'one');
  await writeFileDurably(path, Buffer.from('two'), { mode: 0o600 });
  assert.equal(await readFile(path, 'utf8'), 'two');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(ground.path), ['file']);
});

test('writeFileDurably that cannot replace leaves the old and no temporary file', async () => {
  await using ground = await openGround();
  const path = join(ground.path, 'directory');
  await mkdir(path);
  await writeFile(join(path, 'inside'), 'x');
  await assert.rejects(writeFileDurably(path, 'x'));
  assert.deepEqual(await readdir(ground.path), ['directory']);
  assert.deepEqual(await readdir(path), ['inside']);
});

test('moveIntoDurably moves a file between directories; syncing what is missing fails', async () => {
  await using ground = await openGround();
  await mkdir(join(ground.path, 'a'));
  await mkdir(join(ground.path, 'b'));
  await writeFile(join(ground.path, 'a/x'), 'x');
  await moveIntoDurably(join(ground.path, 'a/x'), join(ground.path, 'b/y'));
  assert.equal(await readFile(join(ground.path, 'b/y'), 'utf8'), 'x');
  await syncFile(join(ground.path, 'b/y'));
  await syncDirectory(ground.path);
  await assert.rejects(syncFile(join(ground.path, 'gone')));
});

test('createFile makes a file that was not there, and leaves one that was', async () => {
  await using ground = await openGround();
  for (const make of [createFile, createFileDurably]) {
    const path = join(ground.path, make.name);
    await make(path, 'one');
    await assert.rejects(make(path, 'two'), { code: 'EEXIST' });
    assert.equal(await readFile(path, 'utf8'), 'one');
    await assert.rejects(make(join(ground.path, 'gone', 'file'), 'x'), { code: 'ENOENT' });
  }
});

const hasStrace = spawnSync('strace', ['-V']).status === 0;
test(
  'writeFileDurably syncs the bytes before the rename and the directory after it',
  { skip: hasStrace ? false : 'NOT TESTED: strace is not installed' },
  async () => {
    await using ground = await openGround();
    const module = new URL('../../src/base/durable.ts', import.meta.url).href;
    const script = `const { writeFileDurably } = await import(${JSON.stringify(module)}); await writeFileDurably(process.argv[1], 'x');`;
    const trace = join(ground.path, 'trace');
    const argv = ['-f', '-o', trace, '-e', 'trace=fsync,rename,renameat,renameat2', process.execPath];
    // Node keeps what it compiled by renames of its own.
    const { status } = spawnSync('strace', [...argv, '--input-type=module', '-e', script, join(ground.path, 'file')], {
      env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' },
    });
    assert.equal(status, 0);
    const calls = (await readFile(trace, 'utf8')).match(/\b(?:fsync|rename\w*)\(/g);
    assert.deepEqual(calls, ['fsync(', 'rename(', 'fsync(']);
  },
);
