/** Checksums and structures of tokens: what is right is taken, one changed character is not. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { CHECK_NAMES, findCheck } from '../../../src/scan/default-rules/checks.ts';
import { base62 } from '../../../src/scan/default-rules/checksums.ts';
import { Dice, makeSecret } from '../../support/secret-maker.ts';

function check(name: string, secret: string): boolean {
  const found = findCheck(name);
  assert.ok(found !== undefined, name);
  return found(secret);
}

describe('a check of a token', () => {
  test('knows the checksum of the example that GitHub published', () => {
    // From "Behind GitHub's new authentication token formats": nobody's token, and put together here.
    const [random, checksum] = ['zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ', '0mLq17'];
    assert.ok(check('crc32-base62', `ghp_${random}${checksum}`));
    assert.ok(!check('crc32-base62', `ghp_${random}0mLq18`));
  });

  test('knows the checksum of the example in the source of Grafana', () => {
    const random = 'yscW25imSKJIuav8zF37RZmnbiDvB05G';
    assert.ok(check('grafana', `glsa_${random}_fcaaf58a`));
    assert.ok(!check('grafana', `glsa_${random}_fcaaf58b`));
  });

  test('pads small numbers of base 62', () => {
    assert.equal(base62(0), '000000');
    assert.equal(base62(61), '00000z');
    assert.equal(base62(62), '000010');
  });

  test('refuses each token with one character changed, where there is a checksum', () => {
    for (const [rule, name] of [
      ['npm-token', 'crc32-base62'],
      ['grafana-service-account', 'grafana'],
      ['age-secret-key', 'age'],
    ] as const) {
      const dice = new Dice(5);
      const { text } = makeSecret(rule, dice);
      assert.ok(check(name, text), rule);
      for (let at = text.length - 12; at < text.length; at += 1) {
        const other = text[at] === '2' ? '3' : '2'; // in every one of the alphabets
        if (text[at] === '_') continue;
        assert.ok(!check(name, `${text.slice(0, at)}${other}${text.slice(at + 1)}`), `${rule} at ${at}`);
      }
    }
  });

  test('takes keys of every form as OpenSSL writes them, and as JSON holds them', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const ed = generateKeyPairSync('ed25519').privateKey;
    const texts = [
      rsa.export({ type: 'pkcs1', format: 'pem' }),
      rsa.export({ type: 'pkcs8', format: 'pem' }),
      rsa.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }),
      rsa.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }),
      ec.export({ type: 'sec1', format: 'pem' }),
      ed.export({ type: 'pkcs8', format: 'pem' }),
    ].map(String);
    for (const text of texts) {
      assert.ok(check('private-key', text), text.slice(0, 40));
      assert.ok(check('private-key', JSON.stringify(text).slice(1, -1)));
      assert.ok(!check('private-key', text.slice(0, 60)));
    }
    assert.ok(!check('private-key', `-----BEGIN RSA PRIVATE KEY-----\n${'hello '.repeat(20)}`));
  });

  test('throws at nothing, whatever stands there', () => {
    const dice = new Dice(9);
    for (let round = 0; round < 300; round += 1) {
      const text = dice.bytes(dice.below(200)).toString(round % 2 === 0 ? 'latin1' : 'base64');
      for (const name of CHECK_NAMES) check(name, text);
      for (const name of CHECK_NAMES) check(name, `-----BEGIN PRIVATE KEY-----${text}`);
    }
    for (const name of CHECK_NAMES) check(name, '');
  });

  test('takes passwords, and no names, variables or words', () => {
    for (const secret of ['kX9#mQ2vLp', 'Tr0ub4dor&3xyz', 'f83hKq02mZls']) assert.ok(check('password', secret), secret);
    for (const word of [
      'getUserPassword',
      '${DB_PASSWORD}',
      'changeme',
      'my-secret-name',
      'hello world 12',
      './keys/app.pem',
      'process.env.X',
      'AAAAAAAAAAAAAAAA',
    ]) {
      assert.ok(!check('password', word), word);
    }
  });
});
