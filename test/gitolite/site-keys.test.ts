/** Public keys of a site: whose a file is, and the fingerprint that ssh-keygen tells. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { fingerprintOfKey, userOfKeyFile } from '../../src/gitolite/site-keys.ts';

const NO_SSH_KEYGEN = spawnSync('ssh-keygen', ['-?']).error === undefined ? false : 'ssh-keygen is not installed here';

suite('keys of a site', () => {
  test('belong to whom their file names', () => {
    for (const [path, user] of [
      ['keydir/ann.pub', 'ann'],
      ['keydir/home/ann@home.pub', 'ann'],
      ['keydir/ann@example.org.pub', 'ann@example.org'],
      ['keydir/ann@example.org@home.pub', 'ann@example.org'],
      ['ann.lee@home.pub', 'ann.lee'],
    ] as const)
      assert.equal(userOfKeyFile(path), user);
  });

  test('have the fingerprint that ssh-keygen tells', { skip: NO_SSH_KEYGEN }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-keys-'));
    try {
      for (const type of ['ed25519', 'ecdsa', 'rsa']) {
        const file = join(folder, type);
        spawnSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'some one', '-f', file]);
        const [, fingerprint] = spawnSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' }).stdout.split(' ');
        const text = readFileSync(`${file}.pub`, 'utf8');
        assert.equal(fingerprintOfKey(text), fingerprint);
        assert.equal(fingerprintOfKey(`# a comment\n\nno-pty,command="echo \\"x y\\"" ${text}`), fingerprint);
        const [word = '', base64 = ''] = text.split(' ');
        assert.equal(fingerprintOfKey(`${word} ${base64.slice(0, -8)}`), undefined);
        assert.equal(fingerprintOfKey(`ssh-dss ${base64}`), undefined);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('are none where there is no key', () => {
    for (const text of ['', 'hello', '# ssh-ed25519 AAAA', 'ssh-ed25519', 'ssh-ed25519 AAAA'])
      assert.equal(fingerprintOfKey(text), undefined);
  });
});
