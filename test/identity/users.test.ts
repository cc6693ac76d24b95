/** Users, from their addition to their end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Directory } from '../../src/identity/directory.ts';
import type { UserName } from '../../src/identity/principal.ts';
import { ownerKey } from '../../src/repository/ownership.ts';
import type { Store } from '../../src/store/store.ts';
import { addUsers, must, openDirectory, reasonOf } from './fixture.ts';
import { makeKeyLine } from './key-line.ts';

const LOCAL = { kind: 'local' } as const;

async function addRepositories(store: Store, owner: string, count: number): Promise<void> {
  const writes = Array.from({ length: count }, (_, index) => {
    const id = index.toString(16).padStart(32, '0');
    return [
      { kind: index % 10 === 0 ? 'graveyard' : 'repository', key: id, put: { owner, other: index } } as const,
      { kind: 'repository-owner', key: ownerKey(owner, id), put: {} } as const,
    ];
  });
  await store.transact({ writes: writes.flat() });
}

test('a user is added once, whatever the case, and of fifty at once one wins', async (t) => {
  const { directory } = await openDirectory(t);
  const names = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? 'alice' : 'Alice'));
  const results = await Promise.all(
    names.map((name) => directory.users.add({ name, email: 'a@example.org', realName: 'Alice' })),
  );
  assert.equal(results.filter((result) => result.kind === 'ok').length, 1);
  assert.equal((await directory.users.list()).length, 1);
  assert.match(reasonOf(await directory.users.add({ name: 'ALICE', email: 'a@b', realName: 'x' })), /in case only/);
});

test('names, addresses and real names that would break a log, a rule or a commit are refused', async (t) => {
  const { directory } = await openDirectory(t);
  const good = { name: 'alice', email: 'a@example.org', realName: 'Alice' };
  const bad = [
    ...['', '.a', '-a', 'a b', 'a/b', 'a\n', 'a..b', 'anonymous', 'Gatehouse', 'é', 'a'.repeat(65), 'x.lock'].map(
      (name) => ({ ...good, name }),
    ),
    ...['', 'a', 'a@', '@b', 'a@b@c', 'a b@c', 'a@b\n', 'a@b>', `${'a'.repeat(300)}@b`].map((email) => ({
      ...good,
      email: email === 'a@b\n' ? 'a@b\nc' : email,
    })),
    ...['', ' ', 'a\nb', 'a\u0000b', 'a <b', 'a\u202eb', 'a\u2028b', '\ud800', 'a'.repeat(300)].map((realName) => ({
      ...good,
      realName,
    })),
  ];
  for (const user of bad) {
    assert.equal((await directory.users.add(user)).kind, 'refused', JSON.stringify(user));
  }
  assert.deepEqual(await directory.users.list(), []);
});

test('a suspended user has no principal by name, key or token, and gets all back when resumed', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { line, blob } = makeKeyLine();
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  const { secret } = must(await directory.tokens.create({ user: 'alice', name: 'ci' }));
  const seen = async (): Promise<readonly boolean[]> => [
    (await directory.principalOf('alice', LOCAL)) !== undefined,
    (await directory.byKey(blob)) !== undefined,
    (await directory.byToken(secret)) !== undefined,
  ];
  assert.deepEqual(await seen(), [true, true, true]);
  must(await directory.users.suspend('alice'));
  assert.deepEqual(await seen(), [false, false, false]);
  must(await directory.users.resume('alice'));
  assert.deepEqual(await seen(), [true, true, true]);
});

test('a renamed user keeps keys, tokens, memberships and repositories, destroyed ones too', async (t) => {
  const { directory, store } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { line, blob } = makeKeyLine();
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  const { secret } = must(await directory.tokens.create({ user: 'alice', name: 'ci' }));
  must(await directory.groups.add({ name: 'staff', description: '' }));
  must(await directory.groups.addUser('staff', 'alice'));
  await addRepositories(store, 'alice', 500);

  must(await directory.users.rename('alice', 'Carol'));

  assert.equal(await directory.users.show('alice'), undefined);
  const carol = await directory.byKey(blob);
  assert.equal(carol?.name, 'Carol');
  assert.deepEqual([...(carol?.groups ?? [])], ['staff']);
  assert.equal((await directory.byToken(secret))?.name, 'Carol');
  assert.deepEqual((await directory.groups.show('staff'))?.users, ['Carol']);
  assert.equal(await directory.users.owned('Carol' as UserName), 500);
  assert.equal(await directory.users.owned('alice' as UserName), 0);
  assert.deepEqual((await store.get('graveyard', '0'.repeat(32)))?.value, { owner: 'Carol', other: 0 });
  await addUsers(directory, 'alice');
  assert.match(reasonOf(await directory.users.rename('alice', 'carol')), /in case only/);
  must(await directory.users.rename('Carol', 'carol'));
  assert.equal((await directory.byKey(blob))?.name, 'carol');
});

test('a deleted user leaves no key, token or membership, and the repositories to the heir', async (t) => {
  const { directory, store } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const { line, blob } = makeKeyLine();
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  const { secret } = must(await directory.tokens.create({ user: 'alice', name: 'ci' }));
  must(await directory.groups.add({ name: 'staff', description: '' }));
  must(await directory.groups.addUser('staff', 'alice'));
  await addRepositories(store, 'alice', 3);
  assert.match(reasonOf(await directory.users.del('alice', { heir: 'alice' as UserName })), /heir/);
  const version = (await directory.users.show('alice'))?.version ?? 0;
  assert.match(
    reasonOf(await directory.users.del('alice', { heir: 'bob' as UserName, version: version - 1 })),
    /changed/,
  );

  must(await directory.users.del('alice', { heir: 'bob' as UserName, version }));

  assert.equal(await directory.byKey(blob), undefined);
  assert.equal(await directory.byToken(secret), undefined);
  assert.deepEqual(await store.list('key'), []);
  assert.deepEqual(await store.list('token'), []);
  assert.deepEqual((await directory.groups.show('staff'))?.users, []);
  assert.equal(await directory.users.owned('bob' as UserName), 3);
  must(await directory.keys.add({ user: 'bob', tag: 'inherited', text: line }));
  await addUsers(directory, 'alice');
  assert.equal(await directory.users.owned('alice' as UserName), 0, 'a later namesake inherits nothing');
});

test('a hand-over that a crash interrupted is finished at the next start', async (t) => {
  const { store, clock } = await openDirectory(t);
  const dying = new Directory({
    store,
    clock,
    ownership: { handOver: () => Promise.reject(new Error('power cut')) },
  });
  await addUsers(dying, 'alice', 'bob');
  await addRepositories(store, 'alice', 3);
  await assert.rejects(dying.users.rename('alice', 'carol'), /power cut/);
  await assert.rejects(dying.users.add({ name: 'alice', email: 'a@b', realName: 'x' }), /power cut/);

  const next = new Directory({ store, clock });
  await next.recover();
  assert.equal(await next.users.owned('carol' as UserName), 3);
  assert.deepEqual(await store.list('meta', { prefix: 'hand-over/' }), []);
  await addUsers(next, 'alice');
  assert.equal(await next.users.owned('alice' as UserName), 0);
});

test('the last active administrator stays: not suspended, not deleted, not taken out of the group', async (t) => {
  const { directory } = await openDirectory(t);
  must(await directory.ensureAdministrator({ name: 'root', keys: [] }));
  await addUsers(directory, 'bob');
  const bob = 'bob' as UserName;
  assert.match(reasonOf(await directory.users.suspend('root')), /last administrator/);
  assert.match(reasonOf(await directory.users.del('root', { heir: bob })), /last administrator/);
  assert.match(reasonOf(await directory.groups.delUser('administrators', 'root')), /without an administrator/);
  assert.match(reasonOf(await directory.groups.del('administrators')), /cannot be deleted/);

  must(await directory.groups.add({ name: 'operations', description: '' }));
  must(await directory.groups.addUser('operations', 'bob'));
  must(await directory.groups.addGroup('administrators', 'operations'));
  const both = await Promise.all([directory.users.suspend('root'), directory.users.suspend('bob')]);
  assert.deepEqual(both.map((result) => result.kind).toSorted(), ['ok', 'refused'], 'they cannot suspend each other');
  must(await directory.users.resume('root'));
  must(await directory.users.resume('bob'));
  must(await directory.users.del('root', { heir: bob }));
  assert.equal(await directory.administrator(), 'bob');
  assert.match(reasonOf(await directory.groups.del('operations')), /without an administrator/);
  assert.match(reasonOf(await directory.groups.delGroup('administrators', 'operations')), /without an administrator/);
});

test('users are listed page by page in the order of lower-cased names', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'Zoe', 'adam', 'Bob', 'carl');
  const first = await directory.users.list({ limit: 3 });
  assert.deepEqual(
    first.map((user) => user.name),
    ['adam', 'Bob', 'carl'],
  );
  const rest = await directory.users.list({ after: first.at(-1)?.name ?? '' });
  assert.deepEqual(
    rest.map((user) => user.name),
    ['Zoe'],
  );
});

test('asUser runs as another, keeps who asks, does not nest and does not tell who exists', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob', 'eve');
  must(await directory.users.suspend('eve'));
  const alice = await directory.principalOf('alice', LOCAL);
  assert.ok(alice);
  const asBob = await directory.asUser(alice, 'bob');
  assert.deepEqual([asBob?.name, asBob?.asking?.name], ['bob', 'alice']);
  assert.ok(asBob);
  const refused = [
    await directory.asUser(asBob, 'alice'),
    await directory.asUser(alice, 'nobody'),
    await directory.asUser(alice, 'eve'),
    await directory.asUser(alice, 'Bob'),
    await directory.asUser({ kind: 'anonymous' }, 'bob'),
  ];
  assert.ok(refused.every((principal) => principal === undefined));
});
