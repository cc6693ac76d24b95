/** Addresses, units, and the nearest word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress, parseAddress } from '../../src/base/address.ts';
import { didYouMean, nearest } from '../../src/base/nearest.ts';
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../src/base/units.ts';

test('parseAddress reads IPv4, names, IPv6 in brackets and off, and formatAddress writes them back', () => {
  for (const text of ['127.0.0.1:2222', 'localhost:0', '[::1]:22', 'git.example.org:65535', 'off']) {
    const parsed = parseAddress(text);
    assert.ok(parsed.kind === 'ok', text);
    assert.equal(formatAddress(parsed.value), text);
  }
});

test('parseAddress refuses what is no address', () => {
  for (const text of [
    '',
    '127.0.0.1',
    ':22',
    '::1:22',
    '[::1]',
    '[127.0.0.1]:1',
    'a b:1',
    'h:99999',
    'h:-1',
    '-h:1',
    'h:1\n',
  ]) {
    assert.equal(parseAddress(text).kind, 'refused', JSON.stringify(text));
  }
});

test('parseBytes and parseDuration know their units and refuse others', () => {
  assert.deepEqual(parseBytes('2 GiB'), { kind: 'ok', value: 2 ** 31 });
  assert.deepEqual(parseDuration('30d'), { kind: 'ok', value: 30 * 86_400_000 });
  for (const text of ['', '1 KB', '-1', '1e9', '1.5 GiB', '9999999999999 TiB'])
    assert.equal(parseBytes(text).kind, 'refused', text);
  for (const text of ['', '30', 'd', '30 days', '-1d']) assert.equal(parseDuration(text).kind, 'refused', text);
});

test('formatBytes and formatDuration pick the unit that reads best', () => {
  assert.equal(formatBytes(0), '0 bytes');
  assert.equal(formatBytes(1536), '1.5 KiB');
  assert.equal(formatBytes(2 ** 31), '2 GiB');
  assert.equal(formatDuration(86_400_000), '1d');
  assert.equal(formatDuration(90_000), '90s');
  assert.equal(formatDuration(1), '1ms');
});

test('nearest finds a slip of the fingers and nothing far away', () => {
  const known = ['create', 'destroy', 'whoami', 'ls'];
  assert.equal(nearest('craete', known), 'create');
  assert.equal(nearest('whoam', known), 'whoami');
  assert.equal(nearest('sl', known), 'ls');
  assert.equal(nearest('frobnicate', known), undefined);
  assert.equal(nearest('x'.repeat(100_000), known), undefined);
  assert.equal(didYouMean('destory', known), '; did you mean destroy?');
});
