import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Following } from '../../src/lfs/following.ts';
import { parseLfsOid, type LfsOid } from '../../src/lfs/pointer.ts';
import { LfsStorage } from '../../src/lfs/storage.ts';
import { oidOf } from '../support/lfs.ts';
import { workspace } from '../support/workspace.ts';

const bytes = randomBytes(100_000);
const oid = parseLfsOid(oidOf(bytes)) ?? assert.fail();
const pointer = { oid, size: bytes.length };

async function* inPieces(content: Buffer, size = 7_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function storage(t: TestContext): Promise<{ readonly root: string; readonly kept: LfsStorage }> {
  const root = join(workspace(t), 'lfs');
  const kept = new LfsStorage(root);
  await kept.open();
  return { root, kept };
}

test('an object lies in its place when it is kept, and leaves nothing when it is not', async (t) => {
  const { root, kept } = await storage(t);
  const left = await kept.receive('ab', pointer, inPieces(bytes));
  assert.ok(left.kind === 'ok');
  await left.value[Symbol.asyncDispose]();
  assert.equal(await kept.size('ab', oid), undefined);
  const taken = await kept.receive('ab', pointer, inPieces(bytes));
  assert.ok(taken.kind === 'ok');
  await taken.value.keep();
  await taken.value[Symbol.asyncDispose]();
  assert.deepEqual(readFileSync(join(root, 'ab', oid.slice(0, 2), oid.slice(2, 4), oid)), bytes);
  assert.deepEqual(readdirSync(join(root, '.incoming')), []);
  assert.deepEqual(await kept.repositories(), ['ab']);
  await kept.purge('ab');
  assert.deepEqual(await kept.repositories(), []);
});

test('what is longer, shorter or other than it should be is refused, and leaves nothing', async (t) => {
  const { root, kept } = await storage(t);
  const refused = async (content: Buffer, announced = pointer): Promise<string> => {
    const taken = await kept.receive('ab', announced, inPieces(content));
    return taken.kind === 'refused' ? taken.reason : 'taken';
  };
  assert.match(await refused(Buffer.concat([bytes, Buffer.of(1)])), /more than the 100000 bytes/);
  assert.match(await refused(bytes.subarray(1)), /only 99999 of 100000/);
  assert.match(await refused(randomBytes(100_000)), /another SHA-256/);
  assert.match(await refused(Buffer.alloc(0)), /only 0 of/);
  async function* broken(): AsyncGenerator<Buffer> {
    yield bytes.subarray(0, 10);
    throw new Error('gone');
  }
  await assert.rejects(kept.receive('ab', pointer, broken()), /gone/);
  assert.deepEqual(readdirSync(join(root, '.incoming')), []);
});

test('no repository id and no oid leads anywhere else', async (t) => {
  const { kept } = await storage(t);
  for (const [id, text] of [
    ['../x', oid],
    ['', oid],
    ['ab', '../../x'],
    ['.incoming', oid],
  ] as const) {
    assert.throws(() => kept.path(id, text as LfsOid));
  }
});

test('what a crash left on its way in is cleared at the next start', async (t) => {
  const { root, kept } = await storage(t);
  mkdirSync(join(root, '.incoming', 'deep'));
  writeFileSync(join(root, '.incoming', 'deep', 'half'), 'x');
  await kept.open();
  assert.deepEqual(readdirSync(join(root, '.incoming')), []);
});

test('whoever reads an object that still comes gets its last byte when all of it was verified', async (t) => {
  const { kept } = await storage(t);
  const following = new Following(bytes.length);
  const { signal } = new AbortController();
  const taken = await kept.receive('ab', pointer, inPieces(bytes), following);
  assert.ok(taken.kind === 'ok');
  await following.begun(signal);
  const reading = following.read(0, bytes.length, signal);
  const got: Buffer[] = [];
  let length = 0;
  while (length < bytes.length - 1) {
    const { value } = await reading.next();
    assert.ok(Buffer.isBuffer(value));
    got.push(value);
    length += value.length;
  }
  const last = reading.next();
  await taken.value.keep();
  following.finish(kept.path('ab', oid));
  const { value } = await last;
  assert.ok(Buffer.isBuffer(value));
  assert.deepEqual(Buffer.concat([...got, value]), bytes);
  await reading.return(undefined);
  // Whoever comes when it was moved already reads it where it is.
  const late: Buffer[] = [];
  for await (const chunk of following.read(0, bytes.length, signal)) late.push(chunk);
  assert.deepEqual(Buffer.concat(late), bytes);
});

test('whoever waits for an object that turns out wrong is told, and has not got all of it', async (t) => {
  const { kept } = await storage(t);
  const following = new Following(bytes.length);
  const reading = following.read(0, bytes.length, new AbortController().signal);
  const ended = (async () => {
    let length = 0;
    try {
      for await (const chunk of reading) length += chunk.length;
      return 'whole';
    } catch {
      return length < bytes.length ? 'part' : 'whole';
    }
  })();
  const taken = await kept.receive('ab', pointer, inPieces(randomBytes(100_000)), following);
  assert.equal(taken.kind, 'refused');
  following.fail(new Error('wrong'));
  assert.equal(await ended, 'part');
});
