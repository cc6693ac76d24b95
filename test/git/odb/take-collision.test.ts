import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { GuardedSha1 } from '../../../src/git/odb/take-collision.ts';

/** The first 320 bytes of the two PDF files of M. Stevens et al., "The first collision for full SHA-1" (2017). */
const BEGINNING =
  '255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033203020522f5479706520' +
  '34203020522f537562747970652035203020522f46696c7465722036203020522f436f6c6f7253706163652037203020522f4c656e67746820' +
  '38203020522f42697473506572436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d31206973206465616421212121' +
  '21852fec092339759c39b1a1c63c4c97e1fffe01';
const ONE =
  '7f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c791fe02b3df614f86db1690901c56b45c1530afedfb76038e972722fe7ad728f' +
  '0e4904e046c230570fe9d41398abe12ef5bc942be33542a4802d98b5d70f2a332ec37fac3514e74ddc0f2cc1a874cd0c78305a215664613097' +
  '89606bd0bf3f98cda8044629a1';
const OTHER =
  '7346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5df45c14f26fedfb3dc38e96ac22fe7bd728f' +
  '0e45bce046d23c570feb141398bb552ef5a0a82be331fea48037b8b5d71f0e332edf93ac3500eb4ddc0decc1a864790c782c76215660dd3097' +
  '91d06bd0af3f98cda4bc4629b1';

test('GuardedSha1 gives the digest of any bytes, however they are sliced', () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1_000, 70_000]) {
    const bytes = randomBytes(length);
    const hash = new GuardedSha1();
    for (let at = 0; at < length; at += 17) hash.update(bytes.subarray(at, at + 17));
    assert.deepEqual(hash.digest(), createHash('sha1').update(bytes).digest());
    assert.equal(hash.isAttack, false);
  }
});

test('GuardedSha1 notices both halves of the published collision, wherever they are cut', () => {
  const messages = [ONE, OTHER].map((end) => Buffer.from(BEGINNING + end, 'hex'));
  assert.equal(new Set(messages.map((bytes) => createHash('sha1').update(bytes).digest('hex'))).size, 1);
  for (const message of messages) {
    for (const cut of [0, 1, 64, 200, 255, 256, 319]) {
      const more = Buffer.concat([message, Buffer.from('and so on')]);
      const hash = new GuardedSha1().update(more.subarray(0, cut)).update(more.subarray(cut));
      assert.deepEqual(hash.digest(), createHash('sha1').update(more).digest());
      assert.equal(hash.isAttack, true);
    }
  }
});

test('GuardedSha1 finds no attack where one bit of the colliding blocks is another', () => {
  const message = Buffer.from(BEGINNING + ONE, 'hex');
  message[250] = (message[250] ?? 0) ^ 1;
  const hash = new GuardedSha1().update(message.subarray(0, 256));
  hash.digest();
  assert.equal(hash.isAttack, false);
});

test('GuardedSha1 notices bytes that were chosen to take long, and nothing else', () => {
  const costOf = (bytes: Buffer): boolean => new GuardedSha1().update(bytes).isCostly;
  assert.equal(costOf(Buffer.alloc(100_000)), true);
  for (const bytes of [randomBytes(1_000_000), randomBytes(500), Buffer.alloc(100_000, 'some line of text\n')])
    assert.equal(costOf(bytes), false);
});
