/** Who may decide about a held push is asked by account; a record that is damaged is in nobody else's way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { Principal } from '../../src/identity/principal.ts';
import { all, approve, areas, holdSite, LIMITS, OLIVE, only, person, pushed } from './hold-site.ts';
import { PRINCIPAL } from './site.ts';

test('nobody approves their own push: not under their name, not through `as`', async (t) => {
  const site = await holdSite(t);
  await pushed(site, ['main']);
  const push = await only(site.desk);
  assert.ok(PRINCIPAL.kind === 'user');
  const asAlice = { ...OLIVE, asking: { name: PRINCIPAL.name, groups: new Set() } } as Principal;
  for (const principal of [PRINCIPAL, asAlice]) {
    const done = await approve(site.desk, push, principal);
    assert.match(done.kind === 'refused' ? done.reason : '', /nobody approves their own push/);
  }
  assert.equal((await only(site.desk)).state, 'waiting');
});

test('a held push is of the accounts behind it, not of their names: who has the name later takes nothing back', async (t) => {
  assert.ok(PRINCIPAL.kind === 'user');
  const accounts = new Map<string, string>([[PRINCIPAL.name, 'id-1']]);
  const site = await holdSite(t, { accountId: async (name) => accounts.get(name) });
  await pushed(site, ['main']);
  const push = await only(site.desk);
  assert.deepEqual(push.behindIds, ['id-1']);
  accounts.set('new-name', 'id-1').set(PRINCIPAL.name, 'id-2');
  const decider = { reason: 'mine', requestId: 'x' };
  const others = await site.desk.cancel(push, { ...decider, principal: PRINCIPAL });
  assert.match(others.kind === 'refused' ? others.reason : '', /only who pushed it takes it back/);
  const own = await approve(site.desk, push, person('new-name'));
  assert.match(own.kind === 'refused' ? own.reason : '', /nobody approves their own push/);
  assert.equal((await site.desk.cancel(push, { ...decider, principal: person('new-name') })).kind, 'ok');
});

test('a record without ids, as an older version wrote it, goes by names', async (t) => {
  assert.ok(PRINCIPAL.kind === 'user');
  const site = await holdSite(t);
  await pushed(site, ['main']);
  const push = await only(site.desk);
  assert.equal(push.behindIds, undefined);
  assert.equal((await approve(site.desk, push, PRINCIPAL)).kind, 'refused');
  assert.equal((await site.desk.cancel(push, { reason: 'x', requestId: 'x', principal: OLIVE })).kind, 'refused');
  assert.equal((await site.desk.cancel(push, { reason: 'x', requestId: 'x', principal: PRINCIPAL })).kind, 'ok');
});

test('a record that is damaged while the gate runs keeps no other from being listed, nor from expiring', async (t) => {
  let aheadMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  const site = await holdSite(t, { parts: { clock } });
  await pushed(site, ['main', 'main:held2', 'main:held3']);
  const ids = (await all(site.desk)).map(({ id }) => id);
  await pushed(site, ['main:held4']);
  const [damaged = ''] = ids;
  await site.store.transact({ writes: [{ kind: 'held', key: damaged, put: { state: 'waiting' } }] });
  const left: string[] = [];
  for await (const { id } of site.desk.waiting()) left.push(id);
  assert.equal(left.length, 1);
  assert.ok(!left.includes(damaged));
  aheadMs = LIMITS.expiresMs;
  await site.desk.sweep();
  assert.deepEqual(
    (await all(site.desk)).map(({ id, state }) => [id, state]),
    left.map((id) => [id, 'expired']),
  );
  assert.ok((await site.desk.findDamaged(damaged)) !== undefined);
  assert.ok(areas(site).includes(damaged), 'its objects are kept');
});
