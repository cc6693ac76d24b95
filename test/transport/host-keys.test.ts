/** Host keys: made once, kept, and never used half written. */
import assert from 'node:assert/strict';
import { chmod, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { generateHostKey, HOST_KEY_KINDS, loadHostKeys } from '../../src/transport/host-keys.ts';
import { makeDirectory } from './kit.ts';

test('the first start makes three keys, the next ones keep them', async () => {
  await using directory = await makeDirectory();
  const path = join(directory.path, 'host-keys');
  const first = await loadHostKeys(path);
  assert.deepEqual(
    first.map(({ type }) => type),
    ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ssh-rsa'],
  );
  assert.deepEqual(await loadHostKeys(path), first);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  const names = ['ed25519', 'ecdsa', 'rsa'].map((name) => `ssh_host_${name}_key`);
  assert.deepEqual((await readdir(path)).sort(), names.flatMap((name) => [name, `${name}.pub`]).sort());
  for (const name of names) assert.equal((await stat(join(path, name))).mode & 0o777, 0o600);
});

test('a mode that let others read is taken back', async () => {
  await using directory = await makeDirectory();
  await loadHostKeys(directory.path);
  const path = join(directory.path, 'ssh_host_ed25519_key');
  await chmod(path, 0o644);
  await loadHostKeys(directory.path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test('a damaged key stops the start and names the file; it is not replaced behind the back of every client', async () => {
  await using directory = await makeDirectory();
  await loadHostKeys(directory.path);
  const path = join(directory.path, 'ssh_host_ecdsa_key');
  const whole = await readFile(path);
  for (const bytes of [0, 10, whole.length - 60]) {
    await writeFile(path, whole);
    await truncate(path, bytes);
    await assert.rejects(loadHostKeys(directory.path), { code: 'corrupt', publicMessage: new RegExp(path) });
    assert.equal((await readFile(path)).length, bytes);
  }
  await writeFile(path, await readFile(`${path}.pub`));
  await assert.rejects(loadHostKeys(directory.path), { code: 'corrupt' });
});

test('a key that a crash left under its temporary name is not used and not in the way', async () => {
  await using directory = await makeDirectory();
  await writeFile(join(directory.path, '.ssh_host_rsa_key.0123.tmp'), '-----BEGIN OPENSSH');
  assert.equal((await loadHostKeys(directory.path)).length, 3);
});

test('no host key is made that cannot be read again, as one ed25519 key of ssh2 in 170 cannot', async () => {
  const [kind] = HOST_KEY_KINDS;
  assert.equal(kind.type, 'ed25519');
  for (let count = 0; count < 1_000; count += 1) {
    const pair = await generateHostKey(kind);
    const secret = ssh2.utils.parseKey(pair.private);
    assert.ok(!(secret instanceof Error), `key ${count} can be read`);
  }
});
