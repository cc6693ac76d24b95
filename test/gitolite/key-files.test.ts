/** What the files of keydir hold: read again when they change, and only then. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { KeyFiles } from '../../src/gitolite/key-files.ts';
import { fingerprintOfKey } from '../../src/gitolite/site-keys.ts';
import { workspace } from '../support/workspace.ts';

const HOUR_MS = 60 * 60_000;

function newKey(): string {
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = Buffer.concat([field(Buffer.from('ssh-ed25519')), field(randomBytes(32))]);
  return `ssh-ed25519 ${blob.toString('base64')}`;
}

test('a key file has one line, or more, or no key', async (t) => {
  const folder = workspace(t);
  const [one, two] = [newKey(), newKey()];
  const texts = {
    line: `${one} ann@home\n`,
    bare: one,
    two: `${one}\n${two}\n`,
    none: 'hello\n',
    empty: '',
    long: `${one}\n${'x'.repeat(100_000)}\n`,
  };
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
  symlinkSync('line', join(folder, 'link'));
  const names = [...Object.keys(texts), 'link', 'absent'];
  const found = await new KeyFiles(systemClock).read(names.map((name) => join(folder, name)));
  const seen = Object.fromEntries(names.map((name) => [name, found.get(join(folder, name))]));
  const fingerprint = fingerprintOfKey(one);
  assert.deepEqual(seen, {
    line: { fingerprint, key: one, soleLine: `${one} ann@home` },
    bare: { fingerprint, key: one, soleLine: one },
    two: { fingerprint, key: one, soleLine: undefined },
    none: { fingerprint: undefined, key: undefined, soleLine: 'hello' },
    empty: { fingerprint: undefined, key: undefined, soleLine: undefined },
    long: { fingerprint, key: one, soleLine: undefined },
    link: undefined,
    absent: undefined,
  });
});

test('a file that did not change is not read again; one that changed too lately to tell is', async (t) => {
  const folder = workspace(t);
  const path = join(folder, 'ann.pub');
  const [one, two] = [newKey(), newKey()];
  let laterMs = 0;
  const files = new KeyFiles({ ...systemClock, now: () => systemClock.now() + laterMs });
  const look = async (): Promise<unknown> => (await files.read([path])).get(path);
  writeFileSync(path, one);
  // Lately: nothing is taken from memory.
  const lately = await look();
  assert.notEqual(await look(), lately);
  laterMs = HOUR_MS;
  await look();
  const known = await look();
  assert.equal(await look(), await look());
  // Of the same size, and with the time that it had.
  const then = new Date();
  utimesSync(path, then, then);
  writeFileSync(`${path}.new`, two);
  utimesSync(`${path}.new`, then, then);
  renameSync(`${path}.new`, path);
  assert.notDeepEqual(await look(), known);
  rmSync(path);
  assert.equal(await look(), undefined);
});
