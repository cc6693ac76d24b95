import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPrivateAddress, parsePlace } from '../../../src/upstream/lfs/reach.ts';
import { parseUpstreamUrl } from '../../../src/upstream/upstream-url.ts';

function kindOf(upstream: string, link: string): string {
  const url = parseUpstreamUrl(upstream);
  assert.ok(url.kind === 'ok');
  return parsePlace(link, url.value).kind;
}

test('links lead over https to the upstream itself or to a public address', () => {
  const upstream = 'git@git.example:team/api';
  assert.equal(kindOf(upstream, 'https://git.example/team/api.git/info/lfs'), 'ok');
  assert.equal(kindOf(upstream, 'https://store.example/x?signature=1'), 'ok');
  assert.equal(kindOf('https://10.0.0.7/api', 'https://10.0.0.7:9000/x'), 'ok');
  for (const link of [
    'http://git.example/x',
    'http://store.example/x',
    'file:///etc/passwd',
    'https://127.0.0.1/x',
    'https://[::1]/x',
    'https://[::ffff:10.0.0.1]/x',
    'https://169.254.169.254/latest/meta-data',
    'https://0x7f000001/x',
    'https://2130706433/x',
    'https://user:word@store.example/x',
    'store.example',
    '',
  ]) {
    assert.equal(kindOf(upstream, link), 'refused', link);
  }
});

test('in the clear only what was declared so, or what never leaves this machine', () => {
  assert.equal(kindOf('http://127.0.0.1:8080/api', 'http://127.0.0.1:8080/x'), 'ok');
  assert.equal(kindOf('ssh://git@127.0.0.1:2222/api', 'http://127.0.0.1:8080/x'), 'ok');
  assert.equal(kindOf('ssh://git@127.0.0.1:2222/api', 'http://localhost:8080/x'), 'refused');
});

test('addresses that are not everybody are private', () => {
  for (const address of [
    '10.1.2.3',
    '127.0.0.1',
    '169.254.0.1',
    '192.168.1.1',
    '172.31.0.1',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
  ]) {
    assert.ok(isPrivateAddress(address), address);
  }
  for (const address of [
    '::1',
    '::',
    'fd00::1',
    'fe80::1',
    'ff02::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::',
    'x',
  ]) {
    assert.ok(isPrivateAddress(address), address);
  }
  for (const address of ['93.184.215.14', '2606:2800:21f::1', '::ffff:93.184.215.14'])
    assert.ok(!isPrivateAddress(address));
});
