/** Groups: nesting without loops, and an index that is exact. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BOUNDS } from '../../src/base/bounds.ts';
import { Directory } from '../../src/identity/directory.ts';
import { GroupIndex, type Group } from '../../src/identity/group-index.ts';
import type { GroupName, UserName } from '../../src/identity/principal.ts';
import { addUsers, must, openDirectory, reasonOf } from './fixture.ts';

async function addGroups(directory: Directory, ...names: readonly string[]): Promise<void> {
  for (const name of names) must(await directory.groups.add({ name, description: `The ${name}` }));
}

async function groupsOf(directory: Directory, name: string): Promise<readonly string[]> {
  return [...(await directory.groupsOf(name))].toSorted();
}

test('a user is in the groups of the groups, and no longer once any link is taken away', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'ian');
  await addGroups(directory, 'web', 'developers', 'staff');
  must(await directory.groups.addUser('web', 'ian'));
  must(await directory.groups.addGroup('developers', 'web'));
  must(await directory.groups.addGroup('staff', 'developers'));
  assert.deepEqual(await groupsOf(directory, 'ian'), ['developers', 'staff', 'web']);
  assert.deepEqual(await directory.groups.everybody('staff' as GroupName), ['ian']);
  must(await directory.groups.delGroup('staff', 'developers'));
  assert.deepEqual(await groupsOf(directory, 'ian'), ['developers', 'web']);
  must(await directory.groups.delUser('web', 'ian'));
  assert.deepEqual(await groupsOf(directory, 'ian'), []);
});

test('a membership that closes a loop is refused with the loop named', async (t) => {
  const { directory } = await openDirectory(t);
  await addGroups(directory, 'a', 'b', 'c');
  must(await directory.groups.addGroup('a', 'b'));
  must(await directory.groups.addGroup('b', 'c'));
  assert.match(reasonOf(await directory.groups.addGroup('c', 'a')), /c > a > b > c/);
  assert.match(reasonOf(await directory.groups.addGroup('a', 'a')), /a > a/);
});

test('two memberships that are right alone and form a loop together do not both commit', async (t) => {
  const { directory, store, clock } = await openDirectory(t);
  const other = new Directory({ store, clock }); // as another process would see the same store
  await addGroups(directory, 'a', 'b');
  for (let round = 0; round < 20; round += 1) {
    const results = await Promise.all([directory.groups.addGroup('a', 'b'), other.groups.addGroup('b', 'a')]);
    assert.deepEqual(results.map((result) => result.kind).toSorted(), ['ok', 'refused']);
    await directory.groups.delGroup('a', 'b');
    await directory.groups.delGroup('b', 'a');
  }
});

test('a change made by another process is seen at once', async (t) => {
  const { directory, store, clock } = await openDirectory(t);
  const other = new Directory({ store, clock });
  await addUsers(directory, 'ian');
  await addGroups(directory, 'staff');
  assert.deepEqual(await groupsOf(directory, 'ian'), []);
  const before = directory.revision;
  must(await other.groups.addUser('staff', 'ian'));
  assert.deepEqual(await groupsOf(directory, 'ian'), ['staff']);
  assert.ok(directory.revision > before);
});

test('a deleted group is gone from the groups it was in', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'ian');
  await addGroups(directory, 'web', 'developers', 'staff');
  must(await directory.groups.addUser('web', 'ian'));
  must(await directory.groups.addGroup('developers', 'web'));
  must(await directory.groups.addGroup('staff', 'web'));
  must(await directory.groups.del('web'));
  assert.deepEqual((await directory.groups.show('staff'))?.groups, []);
  assert.deepEqual((await directory.groups.show('developers'))?.groups, []);
  assert.deepEqual(await groupsOf(directory, 'ian'), []);
  await addGroups(directory, 'web');
  assert.deepEqual(await groupsOf(directory, 'ian'), [], 'a namesake inherits nothing');
});

test('nesting stops at the bound, counted over the whole chain', async (t) => {
  const { directory } = await openDirectory(t);
  const names = Array.from({ length: BOUNDS.groupDepthMax + 1 }, (_, index) => `g${index}`);
  await addGroups(directory, ...names);
  // Links in the middle come last: what is deep is the chain above and below together.
  const links = names.slice(1).map((name, index) => [names[index] ?? '', name] as const);
  const middle = links.splice(30, 1)[0];
  for (const [parent, child] of links) must(await directory.groups.addGroup(parent, child));
  assert.match(reasonOf(await directory.groups.addGroup(middle?.[0] ?? '', middle?.[1] ?? '')), /at most 64 deep/);
});

test('names that differ in case only, unknown members and unfit descriptions are refused', async (t) => {
  const { directory } = await openDirectory(t);
  await addGroups(directory, 'staff');
  const refused = [
    await directory.groups.add({ name: 'Staff', description: '' }),
    await directory.groups.add({ name: 'a b', description: '' }),
    await directory.groups.add({ name: 'x', description: 'a\nb' }),
    await directory.groups.add({ name: 'x', description: 'a'.repeat(2_000) }),
    await directory.groups.addUser('staff', 'nobody'),
    await directory.groups.addUser('nobody', 'nobody'),
    await directory.groups.addGroup('staff', 'nothing'),
    await directory.groups.delUser('staff', 'nobody'),
    await directory.groups.delGroup('staff', 'nothing'),
    await directory.groups.del('nothing'),
  ];
  assert.ok(refused.every((result) => result.kind === 'refused'));
  const hostile = reasonOf(await directory.groups.del('no\u001b[2Jthing\n'));
  assert.doesNotMatch(hostile, /[^\x20-\x7e]/, 'what was typed comes back harmless');
});

test('a hundred members added at once are all there', async (t) => {
  const { directory } = await openDirectory(t);
  const names = Array.from({ length: 100 }, (_, index) => `u${index}`);
  await addUsers(directory, ...names);
  await addGroups(directory, 'staff');
  const results = await Promise.all(names.map((name) => directory.groups.addUser('staff', name)));
  assert.ok(results.every((result) => result.kind === 'ok'));
  assert.equal((await directory.groups.show('staff'))?.users.length, 100);
});

test('GroupIndex answers as a plain search does, through any sequence of changes', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const change = fc.record({
    name: fc.constantFrom(...names),
    users: fc.subarray(['u', 'v', 'w']),
    groups: fc.subarray(names),
    remove: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const index = new GroupIndex([]);
      const plain = new Map<string, Group>();
      for (const { name, users, groups, remove } of changes) {
        const below = groups.filter((group) => group > name); // no loops: only downwards
        const group = {
          name: name as GroupName,
          description: '',
          users: users as UserName[],
          groups: below as GroupName[],
          createdAt: 0,
          version: 1,
        };
        if (remove) {
          index.remove(group.name);
          plain.delete(name);
        } else {
          index.put(group);
          plain.set(name, group);
        }
        for (const user of ['u', 'v', 'w'] as UserName[]) {
          assert.deepEqual([...index.of(user)].toSorted(), plainSearch(plain, user));
        }
      }
    }),
    { numRuns: 300 },
  );
});

function plainSearch(groups: ReadonlyMap<string, Group>, user: UserName): readonly string[] {
  const holds = (group: Group): boolean =>
    group.users.includes(user) ||
    // A link to a group that is not there any more leads nowhere; GroupIndex has no such links in use.
    group.groups.some((child) => {
      const below = groups.get(child);
      return below !== undefined && holds(below);
    });
  return [...groups.values()]
    .filter(holds)
    .map((group) => group.name)
    .toSorted();
}

test('10,000 users in 1,000 groups: one look-up a resolution, and no list while nothing changes', async (t) => {
  const { store, clock } = await openDirectory(t);
  const users = Array.from({ length: 10_000 }, (_, index) => `u${index}`);
  for (let at = 0; at < 1_000; at += 250) {
    const writes = Array.from({ length: 250 }, (_, offset) => {
      const group = at + offset;
      const members = users.slice(group * 10, group * 10 + 10);
      const groups = group * 2 + 2 < 1_000 ? [`g${group * 2 + 1}`, `g${group * 2 + 2}`] : [];
      const put = { name: `g${group}`, description: '', users: members, groups, createdAt: 0 };
      return { kind: 'group', key: `g${group}`, put } as const;
    });
    await store.transact({ writes });
  }
  let lists = 0;
  let gets = 0;
  const counting = {
    ...store,
    get: (...words: Parameters<typeof store.get>) => ((gets += 1), store.get(...words)),
    list: (...words: Parameters<typeof store.list>) => ((lists += 1), store.list(...words)),
    transact: store.transact.bind(store),
  };
  const directory = new Directory({ store: counting, clock });
  assert.deepEqual(await groupsOf(directory, 'u70'), ['g0', 'g1', 'g3', 'g7']);
  [lists, gets] = [0, 0];
  for (const user of users) await directory.groupsOf(user);
  assert.deepEqual([lists, gets], [0, users.length]);
});
