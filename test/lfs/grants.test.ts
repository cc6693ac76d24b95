import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import type { Principal, UserName } from '../../src/identity/principal.ts';
import { heldFrom, LfsGrants } from '../../src/lfs/grants.ts';

function clockAt(): Clock & { ms: number } {
  const clock = { ...systemClock, ms: 1_000_000, now: () => clock.ms };
  return clock;
}

function user(name: string, id = name): Principal {
  const credential = { kind: 'token', id, name: 'ci', scopes: ['write'] } as const;
  return {
    kind: 'user',
    name: name as UserName,
    account: 'person',
    email: '',
    realName: '',
    groups: new Set(),
    credential,
  };
}

const ABOUT = { principal: user('alice'), repositoryId: 'aa', operation: 'download' } as const;

test('a grant is found by its secret until it expires, and by nothing else', () => {
  const clock = clockAt();
  const grants = new LfsGrants(clock, { lifeMs: 1_000 });
  const { secret, expiresAt } = grants.issue(ABOUT);
  assert.equal(expiresAt, clock.ms + 1_000);
  const found = grants.find(secret);
  assert.equal(found?.repositoryId, 'aa');
  assert.equal(found?.operation, 'download');
  for (const other of [
    '',
    'glfs_',
    secret.slice(0, -1),
    `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`,
    `${secret}0`,
  ]) {
    assert.equal(grants.find(other), undefined);
  }
  assert.equal(new LfsGrants(clock).find(secret), undefined);
  clock.ms += 1_000;
  assert.equal(grants.find(secret), undefined);
});

test('the same is given again while most of its life is left, and never to another credential', () => {
  const clock = clockAt();
  const grants = new LfsGrants(clock, { lifeMs: 1_000 });
  const { secret } = grants.issue(ABOUT);
  assert.equal(grants.issue(ABOUT).secret, secret);
  assert.notEqual(grants.issue({ ...ABOUT, operation: 'upload' }).secret, secret);
  assert.notEqual(grants.issue({ ...ABOUT, principal: user('alice', 'other') }).secret, secret);
  clock.ms += 600;
  assert.notEqual(grants.issue(ABOUT).secret, secret);
  assert.ok(grants.find(secret) !== undefined);
});

test('one credential cannot push out the grants of another, and all are bounded', () => {
  const grants = new LfsGrants(clockAt(), { perCredentialMax: 3, max: 5 });
  const kept = grants.issue({ ...ABOUT, principal: user('bob') });
  const own = Array.from({ length: 4 }, (_, index) => grants.issue({ ...ABOUT, repositoryId: String(index) }));
  assert.ok(grants.find(kept.secret) !== undefined);
  assert.equal(grants.find(own[0]?.secret ?? ''), undefined);
  assert.equal(grants.size, 4);
  for (const name of ['c', 'd', 'e']) grants.issue({ ...ABOUT, principal: user(name) });
  assert.ok(grants.size <= 5);
});

test('a grant of a pass ends with the pass, and is asked about the address that it comes from', () => {
  const clock = clockAt();
  const scope = {
    repositories: ['a'],
    read: true,
    push: [],
    createOnly: false,
    rewind: false,
    delete: false,
    from: [],
  };
  const credential = {
    kind: 'pass',
    id: 'p',
    name: 'p',
    purpose: '',
    scope,
    expiresAt: clock.ms + 5,
    address: '10.0.0.1',
  } as const;
  const alice = user('alice');
  const principal: Principal = alice.kind === 'user' ? { ...alice, credential } : alice;
  assert.equal(new LfsGrants(clock).issue({ ...ABOUT, principal }).expiresAt, clock.ms + 5);
  const held = heldFrom(principal, '192.0.2.1');
  assert.ok(held.kind === 'user' && held.credential.kind === 'pass');
  assert.equal(held.credential.address, '192.0.2.1');
});
