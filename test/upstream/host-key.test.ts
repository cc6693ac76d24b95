import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { parseHostKey } from '../../src/upstream/host-key.ts';

/** `TYPE BASE64` of a new ed25519 key (RFC 8709, 4). */
function newKey(): string {
  const spki = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' });
  const field = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  const blob = Buffer.concat([field(Buffer.from('ssh-ed25519')), field(spki.subarray(-32))]);
  return `ssh-ed25519 ${blob.toString('base64')}`;
}

function reasonOf(text: string, place?: { host: string; port: number }): string {
  const parsed = parseHostKey(text, place);
  assert.ok(parsed.kind === 'refused', `${text} is refused`);
  return parsed.reason;
}

describe('the host key of an upstream', () => {
  const key = newKey();
  const [, base64 = ''] = key.split(' ');

  it('is TYPE BASE64, with or without a comment', () => {
    assert.deepEqual(parseHostKey(key), { kind: 'ok', value: key });
    assert.deepEqual(parseHostKey(`  ${key}\tthe server's own \n`), { kind: 'ok', value: key });
  });

  it('is a line of known_hosts that is about the host and port', () => {
    const lines: readonly (readonly [string, number])[] = [
      ['host.example', 22],
      ['other,HOST.example', 22],
      ['[host.example]:2222', 2222],
      ['[host.example]:22022,[host.example]:2222', 2222],
    ];
    for (const [names, port] of lines) {
      assert.deepEqual(parseHostKey(`${names} ${key}`, { host: 'host.example', port }), { kind: 'ok', value: key });
    }
    const salt = randomBytes(20);
    const mac = createHmac('sha1', salt).update('[host.example]:2222').digest('base64');
    const hashed = `|1|${salt.toString('base64')}|${mac} ${key}`;
    assert.equal(parseHostKey(hashed, { host: 'host.example', port: 2222 }).kind, 'ok');
    assert.match(reasonOf(hashed, { host: 'host.example', port: 22 }), /not about host\.example$/);
  });

  it('is not the key of another host or port', () => {
    for (const names of ['other.example', 'host.example', '*', '*.example', '[host.example]:22']) {
      assert.match(
        reasonOf(`${names} ${key}`, { host: 'host.example', port: 2222 }),
        /not about \[host\.example\]:2222/,
      );
    }
  });

  it('is refused with a word about what it is instead', () => {
    assert.match(reasonOf(''), /ssh-keyscan/);
    assert.match(reasonOf('# host.example:22 SSH-2.0-OpenSSH_9.2'), /ssh-keyscan/);
    assert.match(reasonOf(`${key}\n${key}`), /one host key at a time/);
    assert.match(reasonOf(`@cert-authority host ${key}`), /markers/);
    assert.match(reasonOf(`@revoked host ${key}`), /markers/);
    assert.match(reasonOf('SHA256:abc'), /TYPE BASE64/);
    assert.match(reasonOf('-----BEGIN OPENSSH PRIVATE KEY-----'), /TYPE BASE64/);
    assert.match(reasonOf(`ssh-ed25519 ${base64.slice(0, -8)}`), /cannot be pinned/);
    assert.match(reasonOf(`ssh-rsa ${base64}`), /cannot be pinned/);
    assert.match(reasonOf(`ssh-dss ${base64}`), /cannot be pinned/);
    assert.match(reasonOf('x'.repeat(20_000)), /too long/);
  });
});
