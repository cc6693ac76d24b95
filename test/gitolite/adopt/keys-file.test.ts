/** Lines of authorized_keys: those that gitolite generates start another shell, all else stays byte for byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pointKeysTo, readKeyLines } from '../../../src/gitolite/adopt/keys-file.ts';

const OLD = '/usr/share/gitolite3/gitolite-shell';
const KEYS = `ssh-ed25519 AAAA root@laptop
command="${OLD} byhand",no-pty ssh-ed25519 AAAB byhand
# gitolite start
command="${OLD} ann",no-port-forwarding,no-pty ssh-ed25519 AAAC command="${OLD} odd"
command="${OLD} -s bob keydir/bob.pub",no-port-forwarding ssh-ed25519 AAAD bob
# gitolite end
ssh-rsa AAAE other`;

test('lines are told apart: generated, by hand, others', () => {
  const { shells, byHand, others } = readKeyLines(KEYS);
  assert.deepEqual([...shells], [[OLD, 2]]);
  assert.deepEqual([byHand, others], [1, 2]);
});

test('generated lines start another shell, and back again', () => {
  const ours = pointKeysTo(KEYS, '/opt/gatehouse/bin/gitolite-shell');
  assert.match(ours, /^command="\/opt\/gatehouse\/bin\/gitolite-shell ann",no-port-forwarding,no-pty /m);
  assert.match(ours, /^command="\/opt\/gatehouse\/bin\/gitolite-shell -s bob keydir\/bob.pub"/m);
  assert.match(ours, /^command="\/usr\/share\/gitolite3\/gitolite-shell byhand"/m);
  assert.equal(pointKeysTo(ours, OLD), KEYS);
});
