/** Keys, tokens, scopes, confirmations and the first administrator. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Directory } from '../../src/identity/directory.ts';
import type { Credential, Principal } from '../../src/identity/principal.ts';
import { scopeAllows } from '../../src/identity/scope.ts';
import { makeSecret, secretId } from '../../src/identity/secret.ts';
import { addUsers, must, openDirectory, reasonOf } from './fixture.ts';
import { makeKeyLine } from './key-line.ts';

const DAY_MS = 86_400_000;

test('a key belongs to one user, and the refusal does not say to whom', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const { line, blob } = makeKeyLine();
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  const reason = reasonOf(await directory.keys.add({ user: 'bob', tag: 'mine', text: line }));
  assert.doesNotMatch(reason, /alice|laptop/);
  assert.match(reasonOf(await directory.keys.add({ user: 'alice', tag: 'again', text: line })), /as laptop/);
  assert.match(
    reasonOf(await directory.keys.add({ user: 'alice', tag: 'laptop', text: makeKeyLine().line })),
    /already/,
  );
  assert.match(reasonOf(await directory.keys.add({ user: 'alice', tag: 'a b', text: makeKeyLine().line })), /tag/);
  assert.equal((await directory.byKey(blob))?.name, 'alice');
  assert.equal(await directory.byKey(makeKeyLine().blob), undefined);
  assert.equal(await directory.byKey(Buffer.alloc(0)), undefined);
});

test('of twenty users who add one key at once, one has it', async (t) => {
  const { directory } = await openDirectory(t);
  const names = Array.from({ length: 20 }, (_, index) => `u${index}`);
  await addUsers(directory, ...names);
  const { line } = makeKeyLine();
  const results = await Promise.all(names.map((user) => directory.keys.add({ user, tag: 'k', text: line })));
  assert.equal(results.filter((result) => result.kind === 'ok').length, 1);
  const lists = await Promise.all(names.map((name) => directory.keys.list(name)));
  assert.equal(lists.flat().length, 1);
});

test('the key in use is not deleted, another one is, and then it is free for somebody else', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const { line } = makeKeyLine();
  const key = must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  const inUse = { user: 'alice', tag: 'laptop', inUseFingerprint: key.fingerprint };
  assert.match(reasonOf(await directory.keys.del(inUse)), /in use/);
  must(await directory.keys.del({ ...inUse, inUseFingerprint: 'SHA256:other' }));
  assert.deepEqual(await directory.keys.list('alice'), []);
  must(await directory.keys.add({ user: 'bob', tag: 'found', text: line }));
});

test('the last use of keys and tokens is on record to the hour, with one write an hour', async (t) => {
  const { directory, store, clock } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { line, blob } = makeKeyLine();
  must(await directory.keys.add({ user: 'alice', tag: 'k', text: line }));
  const { secret } = must(await directory.tokens.create({ user: 'alice', name: 't' }));
  const lastUses = async (): Promise<readonly (number | undefined)[]> => [
    (await directory.keys.list('alice'))[0]?.lastUsedAt,
    (await directory.tokens.list('alice'))[0]?.lastUsedAt,
  ];
  assert.deepEqual(await lastUses(), [undefined, undefined]);
  await directory.byKey(blob);
  await directory.byToken(secret);
  const first = clock.now();
  const revision = await store.revision();
  clock.advance(BOUNDS.lastUseStepMs - 1);
  await directory.byKey(blob);
  await directory.byToken(secret);
  assert.deepEqual(await lastUses(), [first, first]);
  assert.equal(await store.revision(), revision);
  clock.advance(1);
  await directory.byKey(blob);
  await directory.byToken(secret);
  assert.deepEqual(await lastUses(), [clock.now(), clock.now()]);
});

test('a token opens until it expires or is revoked, and nothing of its secret is stored', async (t) => {
  const { directory, store, clock } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { secret, token } = must(
    await directory.tokens.create({ user: 'alice', name: 'ci', scopes: ['read'], expires: '30d' }),
  );
  assert.match(secret, /^ght_[0-9A-Za-z]{48}$/);
  assert.deepEqual((await directory.byToken(secret))?.credential, {
    kind: 'token',
    id: token.id,
    name: 'ci',
    scopes: ['read'],
  });
  assert.doesNotMatch(JSON.stringify(await store.list('token')), new RegExp(secret.slice(16, 46)));
  clock.advance(30 * DAY_MS - 1);
  assert.ok(await directory.byToken(secret));
  clock.advance(1);
  assert.equal(await directory.byToken(secret), undefined);
  assert.equal((await directory.tokens.list('alice'))[0]?.expired, true);

  const second = must(await directory.tokens.create({ user: 'alice', name: 'ci' }));
  assert.equal((await directory.tokens.list('alice')).length, 1, "an expired one's name is free");
  assert.match(reasonOf(await directory.tokens.create({ user: 'alice', name: 'ci' })), /already/);
  must(await directory.tokens.revoke({ user: 'alice', name: 'ci' }));
  assert.equal(await directory.byToken(second.secret), undefined);
  assert.match(reasonOf(await directory.tokens.revoke({ user: 'alice', name: 'ci' })), /no token/);
});

test('unknown scopes, no scope and odd lives are refused; no word at all means write, without an end', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const make = (words: { readonly scopes?: readonly string[]; readonly expires?: string }) =>
    directory.tokens.create({ user: 'alice', name: 't', ...words });
  for (const words of [
    { scopes: ['root'] },
    { scopes: [] },
    { expires: 'soon' },
    { expires: '0d' },
    { expires: '99999d' },
    { expires: '-1d' },
  ]) {
    assert.equal((await make(words)).kind, 'refused', JSON.stringify(words));
  }
  const { token } = must(await make({}));
  assert.deepEqual([token.scopes, token.expiresAt], [['write'], undefined]);
});

test('wrong, expired, revoked and suspended all take the same look-ups before the same answer', async (t) => {
  const { directory, store, clock } = await openDirectory(t);
  await addUsers(directory, 'alice', 'eve');
  const good = must(await directory.tokens.create({ user: 'alice', name: 'good' })).secret;
  const expired = must(await directory.tokens.create({ user: 'alice', name: 'expired', expires: '1s' })).secret;
  const revoked = must(await directory.tokens.create({ user: 'alice', name: 'revoked' })).secret;
  const suspended = must(await directory.tokens.create({ user: 'eve', name: 'suspended' })).secret;
  must(await directory.tokens.revoke({ user: 'alice', name: 'revoked' }));
  must(await directory.users.suspend('eve'));
  clock.advance(2_000);
  const asked: string[] = [];
  const watching = new Directory({
    store: {
      ...store,
      get: (kind, key) => (asked.push(kind), store.get(kind, key)),
      list: store.list.bind(store),
      transact: store.transact.bind(store),
    },
    clock,
  });
  const unknown = makeSecret(systemClock).text;
  // The identifier of a real token with another secret: a valid checksum, so that it is looked up.
  let forged = unknown;
  const spliced = { ...systemClock, randomBytes: (count: number) => Buffer.alloc(count, 7) };
  forged = makeSecret(spliced).text;
  await store.transact({
    writes: [
      {
        kind: 'token',
        key: secretId(forged) ?? '',
        put: { user: 'alice', name: 'other', scopes: ['admin'], createdAt: 0, hash: 'ab'.repeat(32) },
      },
    ],
  });
  for (const secret of [unknown, forged, expired, revoked, suspended]) {
    asked.length = 0;
    assert.equal(await watching.byToken(secret), undefined);
    assert.deepEqual(asked, ['token', 'user']);
  }
  assert.equal((await watching.byToken(good))?.name, 'alice');
});

test('what is no token is turned away without a look-up, every single-character change included', () => {
  const { text, id } = makeSecret(systemClock);
  assert.equal(secretId(text), id);
  for (let at = 0; at < text.length; at += 1) {
    const changed = text.slice(0, at) + (text[at] === 'x' ? 'y' : 'x') + text.slice(at + 1);
    assert.equal(secretId(changed), undefined, `changed at ${at}`);
  }
  for (const other of ['', 'ght_', `${text}x`, text.slice(1), `${text}\n`, ' '.repeat(52), 'x'.repeat(1_000_000)]) {
    assert.equal(secretId(other), undefined);
  }
  const seen = new Set(Array.from({ length: 1_000 }, () => makeSecret(systemClock).id));
  assert.equal(seen.size, 1_000);
});

test('scopeAllows narrows tokens as documented and leaves keys and the local command line alone', () => {
  const token = (...scopes: ('read' | 'write' | 'admin')[]): Credential => ({
    kind: 'token',
    id: 'i',
    name: 'n',
    scopes,
  });
  const table: readonly (readonly [string, string | undefined, string])[] = [
    ['read', undefined, 'rwa'],
    ['write', undefined, 'wa'],
    ['create-ref', undefined, 'wa'],
    ['rewind-ref', undefined, 'wa'],
    ['delete-ref', undefined, 'wa'],
    ['create-repository', undefined, 'wa'],
    ['destroy-repository', undefined, 'a'],
    ['rename-repository', undefined, 'a'],
    ['configure', 'config_show', 'rwa'],
    ['configure', 'config_set', 'a'],
    ['administer', 'whoami', 'rwa'],
    ['administer', 'sshkey', 'a'],
    ['administer', undefined, 'a'],
    ['read', 'config_set', 'rwa'],
    ['no-such-word', undefined, 'a'],
  ];
  for (const [operation, action, allowed] of table) {
    for (const scope of ['read', 'write', 'admin'] as const) {
      assert.equal(
        scopeAllows(token(scope), operation, action),
        allowed.includes(scope[0] ?? ''),
        `${scope} ${operation}`,
      );
    }
    assert.equal(scopeAllows(token(), operation, action), false);
    assert.equal(scopeAllows({ kind: 'local' }, operation, action), true);
    assert.equal(scopeAllows({ kind: 'key', fingerprint: 'f', tag: 't' }, operation, action), true);
  }
});

test('a confirmation is good once, for who asked, for what was asked, as it was then, for ten minutes', async (t) => {
  const { directory, store, clock } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const principals = new Map<string, Principal>();
  for (const name of ['alice', 'bob']) {
    const principal = await directory.principalOf(name, { kind: 'local' });
    assert.ok(principal);
    principals.set(name, principal);
  }
  const by = (name: string): Principal => principals.get(name) ?? { kind: 'anonymous' };
  const about = { action: 'destroy', subject: { name: 'team/api', id: 'r1', version: 7 }, principal: by('alice') };
  const token = await directory.confirmations.issue(about);
  assert.match(token, /^[0-9a-f]{32}$/);
  assert.doesNotMatch(JSON.stringify(await store.list('confirmation')), new RegExp(token));
  const others = [
    { ...about, action: 'user del' },
    { ...about, subject: { ...about.subject, id: 'r2' } },
    { ...about, principal: by('bob') },
    { ...about, principal: { kind: 'anonymous' } as const },
  ];
  for (const other of others) {
    assert.equal((await directory.confirmations.accept({ ...other, token })).kind, 'refused');
  }
  const twice = await Promise.all([1, 2].map(() => directory.confirmations.accept({ ...about, token })));
  assert.deepEqual(twice.map((result) => result.kind).toSorted(), ['ok', 'refused']);

  const stale = await directory.confirmations.issue(about);
  const changed = { ...about, subject: { ...about.subject, version: 8 } };
  assert.match(reasonOf(await directory.confirmations.accept({ ...changed, token: stale })), /changed/);
  assert.equal((await directory.confirmations.accept({ ...about, token: stale })).kind, 'refused', 'used up');

  const late = await directory.confirmations.issue(about);
  clock.advance(BOUNDS.confirmationMs);
  assert.match(reasonOf(await directory.confirmations.accept({ ...about, token: late })), /too old/);
  for (let count = 0; count < BOUNDS.confirmationsPerPrincipalMax + 20; count += 1) {
    await directory.confirmations.issue(about);
  }
  const left = await store.list('confirmation');
  assert.equal(left.length, BOUNDS.confirmationsPerPrincipalMax, 'old ones are cleaned up');
  for (const word of ['', 'x', '../..', 'a/b', '\u0000', 'x'.repeat(100_000)]) {
    assert.equal((await directory.confirmations.accept({ ...about, token: word })).kind, 'refused');
  }
});

test('ensureAdministrator makes everything at once, and issues another token until one was written down', async (t) => {
  const { directory } = await openDirectory(t);
  const { line, blob } = makeKeyLine('work');
  const keys = [line, line, makeKeyLine('a b').line];
  const first = must(await directory.ensureAdministrator({ name: 'root', keys }));
  assert.equal(first.kind, 'made');
  const lost = first.kind === 'made' ? first.secret : '';
  // A crash before the token was written: the next start does it again.
  const second = must(await directory.ensureAdministrator({ name: 'root', keys }));
  assert.ok(second.kind === 'made');
  assert.equal(await directory.byToken(lost), undefined);
  await second.settle();
  const third = must(await directory.ensureAdministrator({ name: 'somebody-else', keys: [] }));
  assert.deepEqual(third, { kind: 'present', name: 'root' });

  const admin = await directory.byToken(second.secret);
  assert.deepEqual([...(admin?.groups ?? [])], ['administrators']);
  assert.equal((await directory.byKey(blob))?.name, 'root');
  assert.deepEqual(
    (await directory.keys.list('root')).map((key) => key.tag),
    ['work', 'key-3'],
  );
  assert.equal(await directory.administrator(), 'root');
  must(await directory.users.rename('root', 'boss'));
  assert.equal(await directory.administrator(), 'boss');
});

test('ensureAdministrator leaves nothing behind where a key is no key', async (t) => {
  const { directory, store } = await openDirectory(t);
  const { line } = makeKeyLine();
  assert.match(reasonOf(await directory.ensureAdministrator({ name: 'root', keys: [line, 'nonsense'] })), /key 2/);
  assert.equal(await store.revision(), 0);
});

test('current gives fresh groups, and nobody where user, key or token went away', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob', 'carol');
  const { line, blob } = makeKeyLine('laptop');
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  const token = must(await directory.tokens.create({ user: 'alice', name: 'ci', expires: '1h' }));
  const byKey = await directory.byKey(blob);
  const byToken = await directory.byToken(token.secret);
  assert.ok(byKey !== undefined && byToken !== undefined);
  assert.deepEqual(await directory.current({ kind: 'anonymous' }), { kind: 'anonymous' });
  assert.deepEqual(await directory.current(byKey), byKey);

  must(await directory.groups.add({ name: 'staff', description: 'Staff' }));
  must(await directory.groups.addUser('staff', 'alice'));
  const now = await directory.current(byKey);
  assert.deepEqual(now?.kind === 'user' ? [...now.groups] : [], ['staff']);

  must(await directory.users.suspend('alice'));
  assert.equal(await directory.current(byKey), undefined, 'suspended');
  must(await directory.users.resume('alice'));
  assert.notEqual(await directory.current(byToken), undefined);
  clock.advance(3_600_000);
  assert.equal(await directory.current(byToken), undefined, 'expired');

  const acting = await directory.asUser(byKey, 'bob');
  assert.ok(acting !== undefined);
  assert.deepEqual(await directory.current(acting), {
    ...acting,
    asking: { name: 'alice', groups: new Set(['staff']) },
  });
  must(await directory.users.suspend('bob'));
  assert.equal(await directory.current(acting), undefined, 'whom they act as is suspended');

  // The same key, somebody else's by now: what alice began does not become carol's.
  must(await directory.keys.del({ user: 'alice', tag: 'laptop' }));
  assert.equal(await directory.current(byKey), undefined, 'the key was taken away');
  must(await directory.keys.add({ user: 'carol', tag: 'laptop', text: line }));
  assert.equal(await directory.current(byKey), undefined, 'the key is carol’s');
  const local = await directory.principalOf('alice', { kind: 'local' });
  assert.ok(local !== undefined);
  must(await directory.users.rename('alice', 'alicia'));
  assert.equal(await directory.current(local), undefined, 'renamed');
});

test('isKnownKey leaves no note: a key that was only asked about counts as never used', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { line, blob } = makeKeyLine('laptop');
  assert.equal(await directory.isKnownKey(blob), false);
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: line }));
  assert.equal(await directory.isKnownKey(blob), true);
  assert.equal((await directory.keys.list('alice'))[0]?.lastUsedAt, undefined);
  await directory.byKey(blob);
  assert.notEqual((await directory.keys.list('alice'))[0]?.lastUsedAt, undefined);
  must(await directory.users.suspend('alice'));
  assert.equal(await directory.isKnownKey(blob), false);
});
