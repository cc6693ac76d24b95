/** A pack that waits: what comes out is what went in, and where it ends is known. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Spool } from '../../src/receive/spool.ts';

function directoryOf(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-spool-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function packOf(format: 'sha1' | 'sha256', bytes: number): Buffer {
  const body = Buffer.concat([Buffer.from('PACK'), randomBytes(bytes)]);
  return Buffer.concat([body, createHash(format).update(body).digest()]);
}

async function contentOf(spool: Spool): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of spool.chunks()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

test('a spool knows where its pack ends, however it is sliced', async (t) => {
  const directory = directoryOf(t);
  for (const format of ['sha1', 'sha256'] as const) {
    const pack = packOf(format, 300);
    for (const step of [1, 3, 19, 20, 21, 31, 32, 33, 64, 100, pack.length]) {
      await using spool = new Spool(directory, format);
      for (let at = 0; at < pack.length; at += step) {
        assert.equal(spool.isWhole, false, `${format} at ${at} in steps of ${step}`);
        await spool.take(pack.subarray(at, at + step));
      }
      assert.equal(spool.isWhole, true, `${format} in steps of ${step}`);
      assert.deepEqual(await contentOf(spool), pack);
      await spool.take(Buffer.from('x'));
      assert.equal(spool.isWhole, false);
    }
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('a large pack waits in a file that has no name, and comes out as it went in', async (t) => {
  const directory = directoryOf(t);
  for (const step of [1_000, 65_536, 262_144, 3_000_000]) {
    await using spool = new Spool(directory, 'sha1');
    const pack = packOf('sha1', 1_500_000);
    const chunk = Buffer.alloc(step);
    for (let at = 0; at < pack.length; at += step) {
      const length = pack.copy(chunk, 0, at, at + step);
      await spool.take(chunk.subarray(0, length));
      chunk.fill(0); // whoever gave it may use it again
    }
    assert.equal(spool.bytes, pack.length);
    assert.equal(spool.isWhole, true);
    assert.ok((await contentOf(spool)).equals(pack), `in steps of ${step}`);
    assert.ok((await contentOf(spool)).equals(pack), 'again');
    assert.deepEqual(readdirSync(directory), []);
  }
});
