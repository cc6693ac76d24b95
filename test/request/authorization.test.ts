/** What an Authorization header means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientAddress } from '../../src/request/address.ts';
import { parseAuthorization } from '../../src/request/authorization.ts';

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;
const secret = (text: string) => ({ kind: 'token', secret: text }) as const;

test('parseAuthorization finds the token in Basic and Bearer', () => {
  assert.deepEqual(parseAuthorization(undefined), { kind: 'none' });
  assert.deepEqual(parseAuthorization('Bearer abc'), secret('abc'));
  assert.deepEqual(parseAuthorization('bearer  abc '), secret('abc'));
  assert.deepEqual(parseAuthorization(basic('any:abc')), secret('abc'));
  assert.deepEqual(parseAuthorization(basic(':abc')), secret('abc'));
  assert.deepEqual(parseAuthorization(basic('abc:')), secret('abc'));
  assert.deepEqual(parseAuthorization(basic('u:a:b:c')), secret('a:b:c'));
});

test('parseAuthorization calls everything else unusable, not anonymous', () => {
  for (const header of [
    '',
    'Bearer',
    'Bearer ',
    'Basic',
    'Basic ???',
    basic(''),
    basic('nocolon'),
    basic(':'),
    'Digest abc',
    'Bearer a b',
    'x'.repeat(100_000),
  ]) {
    assert.deepEqual(parseAuthorization(header), { kind: 'unusable' }, header.slice(0, 40));
  }
});

test('clientAddress shows an IPv4 client of an IPv6 socket as IPv4', () => {
  assert.equal(clientAddress('::ffff:10.1.2.3'), '10.1.2.3');
  assert.equal(clientAddress('2001:db8::1'), '2001:db8::1');
  assert.equal(clientAddress(undefined), 'unknown');
});
