/** Credentials as they are given: taken where they can work, refused with words that never repeat them. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCredential, readCredential, writeCredential } from '../../src/upstream/credential.ts';
import type { CredentialKind } from '../../src/upstream/mirror-record.ts';
import type { UpstreamScheme } from '../../src/upstream/upstream.ts';
import { expectRun, workspace } from '../support/workspace.ts';

function parse(kind: CredentialKind, text: string, scheme: UpstreamScheme, username?: string) {
  return parseCredential({ kind, text, username, bearer: false }, scheme);
}

test('a private key without a passphrase is taken, in OpenSSH form and in PEM, also with CRLF', async (t) => {
  const directory = workspace(t);
  for (const form of [[], ['-m', 'PEM']]) {
    const path = join(directory, `key${form.length}`);
    await expectRun('ssh-keygen', ['-q', '-t', 'ecdsa', '-N', '', '-f', path, ...form]);
    const text = readFileSync(path, 'utf8');
    for (const given of [text, text.replaceAll('\n', '\r\n'), `\n${text}\n\n`]) {
      const parsed = parse('key', given, 'ssh');
      assert.ok(parsed.kind === 'ok' && parsed.value.kind === 'key');
      assert.equal(parsed.value.privateKey, text);
      assert.deepEqual(readCredential(writeCredential(parsed.value)), parsed.value);
    }
  }
});

test('a key with a passphrase, a public key and anything else is refused with what to do', async (t) => {
  const directory = workspace(t);
  for (const form of [[], ['-m', 'PEM'], ['-m', 'PKCS8']]) {
    const path = join(directory, `locked${form.join('')}`);
    await expectRun('ssh-keygen', ['-q', '-t', 'ecdsa', '-N', 'a passphrase', '-f', path, ...form]);
    const parsed = parse('key', readFileSync(path, 'utf8'), 'ssh');
    assert.match(parsed.kind === 'refused' ? parsed.reason : '', /passphrase/, form.join(' '));
    const open = parse('key', readFileSync(`${path}.pub`, 'utf8'), 'ssh');
    assert.match(open.kind === 'refused' ? open.reason : '', /public key/);
  }
  for (const text of ['', 'password', '-----BEGIN PRIVATE KEY-----']) {
    assert.equal(parse('key', text, 'ssh').kind, 'refused', text);
  }
});

test('a token is one word; the line end behind it is not part of it', () => {
  const secret = crypto.randomUUID();
  const parsed = parse('token', `${secret}\n`, 'https');
  assert.deepEqual(parsed.kind === 'ok' && parsed.value, { kind: 'token', username: 'git', secret, bearer: false });
  for (const text of ['', `${secret} and more`, `${secret}\nX-Header: y`, `${secret}\u00e9`]) {
    const refused = parse('token', text, 'https');
    assert.ok(refused.kind === 'refused' && !refused.reason.includes(secret));
  }
  assert.equal(parse('token', secret, 'https', 'a:b').kind, 'refused');
  assert.equal(parse('token', secret, 'https', 'x'.repeat(200)).kind, 'refused');
});

test('each way to an upstream takes the credential that it knows', () => {
  for (const [kind, scheme] of [
    ['key', 'https'],
    ['token', 'ssh'],
    ['certificate', 'ssh'],
    ['certificate', 'http'],
    ['token', 'git'],
  ] as const) {
    assert.equal(parse(kind, 'x', scheme).kind, 'refused', `${kind} over ${scheme}`);
  }
});

test('a client certificate without its key, or that cannot be read, is refused', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const certificate = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  for (const text of [key, certificate, `${certificate}${key}`, `${certificate}${key}${key}`]) {
    const refused = parse('certificate', text, 'https');
    assert.ok(refused.kind === 'refused' && !refused.reason.includes(key.slice(30, 60)));
  }
});
