/** Public key lines against ssh-keygen, and everything that is not one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { parsePublicKey } from '../../src/identity/public-key.ts';
import { must, reasonOf } from './fixture.ts';

const KINDS = [
  ['ed25519', 'ssh-ed25519', 256],
  ['ecdsa', 'ecdsa-sha2-nistp256', 256],
  ['ecdsa', 'ecdsa-sha2-nistp384', 384],
  ['ecdsa', 'ecdsa-sha2-nistp521', 521],
  ['rsa', 'ssh-rsa', 2048],
] as const;

function string(bytes: Uint8Array | string): Buffer {
  const body = Buffer.from(bytes as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

function line(type: string, ...fields: readonly (Uint8Array | string)[]): string {
  return `${type} ${Buffer.concat([string(type), ...fields.map(string)]).toString('base64')}`;
}

describe('parsePublicKey', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-keys-'));
  const lines = new Map<string, string>();
  before(() => {
    for (const [algorithm, type, bits] of KINDS) {
      const file = join(directory, type);
      execFileSync('ssh-keygen', ['-q', '-t', algorithm, '-b', `${bits}`, '-N', '', '-C', `me at ${type}`, '-f', file]);
      lines.set(type, readFileSync(`${file}.pub`, 'utf8'));
    }
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('reads what ssh-keygen writes, with its fingerprint, size and comment', () => {
    for (const [, type, bits] of KINDS) {
      const key = must(parsePublicKey(lines.get(type) ?? ''));
      const printed = execFileSync('ssh-keygen', ['-l', '-f', join(directory, `${type}.pub`)], { encoding: 'utf8' });
      assert.equal(printed.split(' ')[1], key.fingerprint);
      assert.deepEqual([key.type, key.bits, key.comment], [type, bits, `me at ${type}`]);
    }
  });

  test('refuses a private key and says what it is', () => {
    const reason = reasonOf(parsePublicKey(readFileSync(join(directory, 'ssh-ed25519'), 'utf8')));
    assert.match(reason, /PRIVATE key/);
    assert.match(reason, /do not send it/);
  });

  test('refuses short RSA, DSA, certificates, security tokens, options and other forms by name', () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
    const modulus = Buffer.concat([Buffer.from([0]), Buffer.from(short.n ?? '', 'base64url')]);
    const good = lines.get('ssh-ed25519') ?? '';
    const wrong: readonly (readonly [string, RegExp])[] = [
      [line('ssh-rsa', Buffer.from([1, 0, 1]), modulus), /1024 bits is too short/],
      ['ssh-dss AAAAB3NzaC1kc3MAAACBAA==', /DSA/],
      [good.replace('ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'), /certificate/],
      [good.replace('ssh-ed25519', 'sk-ssh-ed25519@openssh.com'), /security tokens/],
      [`command="sh",no-pty ${good}`, /no options/],
      [`${good}${good}`, /more than one line/],
      ['---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n', /ssh-keygen -i/],
      ['', /no key/],
      ['hello world', /starts with its type/],
      [`ssh-ed25519 ${'A'.repeat(20_000)}`, /too long/],
      [good.trimEnd().replace(/ me.*/, ' a\u0007b'), /control characters/],
    ];
    for (const [text, expected] of wrong) assert.match(reasonOf(parsePublicKey(text)), expected);
  });

  test('refuses a blob whose inside is not what its type says', () => {
    const point = Buffer.concat([Buffer.from([4]), randomBytes(64)]);
    const even = Buffer.concat([Buffer.from([0x7f]), randomBytes(255), Buffer.from([0])]);
    const odd = Buffer.concat([Buffer.from([0, 0x7f]), randomBytes(255), Buffer.from([1])]);
    const wrong = [
      line('ssh-ed25519', randomBytes(31)),
      line('ssh-ed25519', randomBytes(33)),
      line('ssh-ed25519', randomBytes(32), 'more'),
      line('ssh-ed25519'),
      line('ecdsa-sha2-nistp256', 'nistp256', point), // not on the curve
      line('ecdsa-sha2-nistp256', 'nistp384', point),
      line('ssh-rsa', Buffer.from([1, 0, 1]), even),
      line('ssh-rsa', Buffer.from([1, 0, 1]), odd), // a needless zero in front
      line('ssh-rsa', Buffer.from([0x80]), odd), // negative
      line('ssh-rsa', '', ''),
      `ssh-ed25519 ${Buffer.concat([string('ssh-rsa'), string(randomBytes(32))]).toString('base64')}`,
      `ssh-ed25519 ${Buffer.from('ffffffff', 'hex').toString('base64')}`,
    ];
    for (const text of wrong) assert.match(reasonOf(parsePublicKey(text)), /damaged|in base64/);
  });

  test('refuses every cut and every single changed length of a good key', () => {
    for (const [, type] of KINDS) {
      const [, base64 = ''] = (lines.get(type) ?? '').split(' ');
      const blob = Buffer.from(base64, 'base64');
      for (let length = 0; length < blob.length; length += 1) {
        const cut = `${type} ${blob.subarray(0, length).toString('base64')}`;
        assert.equal(parsePublicKey(cut).kind, 'refused', `${type} cut at ${length}`);
      }
      const grown = Buffer.from(blob);
      grown.writeUInt32BE(blob.readUInt32BE(0) + 1, 0);
      assert.equal(parsePublicKey(`${type} ${grown.toString('base64')}`).kind, 'refused');
    }
  });

  test('never throws, and what passes stands in one line', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.tuple(fc.constantFrom(...KINDS.map(([, type]) => type)), fc.base64String()).map((parts) => parts.join(' ')),
    );
    fc.assert(
      fc.property(text, (given) => {
        const parsed = parsePublicKey(given);
        return parsed.kind === 'refused' ? parsed.reason !== '' : !/[\r\n]/.test(parsed.value.comment);
      }),
      { numRuns: 1_000 },
    );
  });
});
