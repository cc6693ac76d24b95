/** Passes: what they may hold, how they are found, how they end, how their pushes are counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BOUNDS } from '../../src/base/bounds.ts';
import { isWithin, parseCidr } from '../../src/base/cidr.ts';
import type { Directory } from '../../src/identity/directory.ts';
import { PassPushes } from '../../src/identity/pass-pushes.ts';
import { parseLife, parseRefPattern, parseRepositoryPattern, parseScope } from '../../src/identity/pass-request.ts';
import { coversRepository, describePass, passRefusal, type PassCredential } from '../../src/identity/pass-scope.ts';
import type { IssuedPass, NewPass } from '../../src/identity/passes.ts';
import { describeCredential, type Principal } from '../../src/identity/principal.ts';
import { makeSecret, secretId, withoutTokens } from '../../src/identity/secret.ts';
import { addUsers, must, openDirectory, reasonOf } from './fixture.ts';
import { makeKeyLine } from './key-line.ts';

const HOUR_MS = 3_600_000;
const AGENT = { repositories: ['org/repo'], read: true, push: ['refs/heads/agent/*'] } as const;

function issue(directory: Directory, more: Partial<NewPass> = {}): Promise<ReturnType<typeof must<IssuedPass>>> {
  const fresh = { user: 'alice', scope: AGENT, lifeMs: 2 * HOUR_MS, issuedBy: 'alice', ...more };
  return directory.passes.issue(fresh).then(must);
}

async function issued(
  directory: Directory,
  more: Partial<NewPass> = {},
): Promise<IssuedPass & { readonly secret: string }> {
  const made = await issue(directory, more);
  assert.ok(made.secret !== undefined);
  return { ...made, secret: made.secret };
}

function credentialOf(principal: Principal | undefined): PassCredential {
  assert.ok(principal?.kind === 'user' && principal.credential.kind === 'pass');
  return principal.credential;
}

test('a pass is its owner, with a credential that says what it may do and what it is for', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { secret, pass } = await issued(directory, { name: 'agent-7', purpose: 'fix the build' });
  const found = await directory.byToken(secret, '192.0.2.1');
  assert.equal(found?.name, 'alice');
  const credential = credentialOf(found);
  assert.equal(describeCredential(credential), `pass ${pass.id} (agent-7): fix the build`);
  assert.deepEqual(credential.scope, { ...AGENT, createOnly: false, rewind: false, delete: false, from: [] });
  assert.deepEqual(await directory.current(found), found);
});

test('the token of a pass is told from any other by its prefix, and is taken out of the journal', async (t) => {
  const { clock } = await openDirectory(t);
  const { text, id } = makeSecret(clock, 'pass');
  assert.match(text, /^gpass_[0-9A-Za-z]{48}$/);
  assert.equal(secretId(text, 'pass'), id);
  assert.equal(secretId(text), undefined, 'no token');
  assert.equal(secretId(makeSecret(clock).text, 'pass'), undefined, 'no pass');
  assert.equal(withoutTokens(`a ${text} b`), 'a (secret) b');
});

test('a pass that expired, was revoked, whose owner is suspended or gone, opens nothing', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const { secret, pass } = await issued(directory);
  const principal = await directory.byToken(secret);
  assert.ok(principal);
  must(await directory.users.suspend('alice'));
  assert.equal(await directory.byToken(secret), undefined, 'suspended');
  assert.equal(await directory.current(principal), undefined, 'suspended');
  must(await directory.users.resume('alice'));
  assert.ok(await directory.byToken(secret));
  clock.advance(2 * HOUR_MS - 1);
  assert.ok(await directory.current(principal), 'to the end');
  clock.advance(1);
  assert.equal(await directory.byToken(secret), undefined, 'expired');
  assert.equal(await directory.current(principal), undefined, 'expired');

  const second = await issued(directory);
  const other = await directory.byToken(second.secret);
  must(await directory.passes.revoke(second.pass.id));
  assert.equal(await directory.byToken(second.secret), undefined, 'revoked');
  assert.ok(other !== undefined && (await directory.current(other)) === undefined);
  must(await directory.passes.revoke(second.pass.id));
  assert.match(reasonOf(await directory.passes.revoke('nosuchpass00')), /there is no pass/);

  const third = await issued(directory);
  must(await directory.users.del('alice', { heir: 'bob' as never }));
  assert.equal(await directory.byToken(third.secret), undefined, 'the owner is gone');
  await addUsers(directory, 'alice');
  assert.equal(await directory.byToken(third.secret), undefined, 'a later alice is another');
  assert.equal(await directory.passes.show(pass.id), undefined);
});

test('passes follow their owner to a new name', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { secret, pass } = await issued(directory);
  must(await directory.users.rename('alice', 'alicia'));
  assert.equal((await directory.byToken(secret))?.name, 'alicia');
  assert.deepEqual(
    (await directory.passes.list('alicia')).map(({ id }) => id),
    [pass.id],
  );
});

test('a wrong token of a pass, one of a pass that is bound to a key, and one that never was open nothing', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { pass } = await issue(directory, { keyLine: makeKeyLine().line });
  for (let tries = 0; tries < 20; tries += 1) {
    assert.equal(await directory.byToken(makeSecret(clock, 'pass').text), undefined);
  }
  const { pass: other } = await issued(directory);
  for (const { id } of [pass, other]) {
    // The right id, a right checksum, another secret.
    const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    const idBytes = Buffer.from(Array.from(id, (char) => alphabet.indexOf(char)));
    const randomBytes = (count: number): Buffer => (count === id.length ? idBytes : clock.randomBytes(count));
    const forged = makeSecret({ ...clock, randomBytes }, 'pass');
    assert.equal(forged.id, id);
    assert.equal(await directory.byToken(forged.text), undefined);
  }
  assert.equal((await directory.passes.show(pass.id))?.lastUsedAt, undefined);
  assert.equal(await directory.passes.show(`of/${pass.userId}/${pass.id}`), undefined, 'a listing is no pass');
});

test('a pass by key is known by it as long as it lives, and by no token', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const { line, blob } = makeKeyLine();
  const made = await issue(directory, { keyLine: line });
  assert.equal(made.secret, undefined);
  assert.equal(await directory.isKnownKey(blob), true);
  assert.equal((await directory.passes.show(made.pass.id))?.lastUsedAt, undefined, 'being asked about is no use');
  const principal = await directory.byKey(blob, '192.0.2.1');
  assert.equal(credentialOf(principal).id, made.pass.id);
  assert.equal(credentialOf(principal).address, '192.0.2.1');
  assert.equal((await directory.passes.show(made.pass.id))?.lastUsedAt, clock.now());
  must(await directory.users.suspend('alice'));
  assert.equal(await directory.isKnownKey(blob), false);
  must(await directory.users.resume('alice'));
  must(await directory.passes.revoke(made.pass.id));
  assert.equal(await directory.isKnownKey(blob), false);
  assert.equal(await directory.byKey(blob), undefined);
});

test('one key is one credential: a user’s, or one living pass’s', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const owned = makeKeyLine();
  must(await directory.keys.add({ user: 'bob', tag: 'laptop', text: owned.line }));
  const fresh = { user: 'alice', scope: AGENT, lifeMs: HOUR_MS, issuedBy: 'alice' };
  const taken = reasonOf(await directory.passes.issue({ ...fresh, keyLine: owned.line }));
  assert.equal(taken, 'this key is in use already');

  const { line, blob } = makeKeyLine();
  const first = must(await directory.passes.issue({ ...fresh, keyLine: line }));
  assert.equal(reasonOf(await directory.passes.issue({ ...fresh, user: 'bob', keyLine: line })), taken);
  assert.equal(reasonOf(await directory.keys.add({ user: 'bob', tag: 'mine', text: line })), taken);
  clock.advance(HOUR_MS);
  const second = must(await directory.passes.issue({ ...fresh, user: 'bob', keyLine: line }));
  assert.equal((await directory.byKey(blob))?.name, 'bob');
  must(await directory.passes.revoke(first.pass.id));
  assert.equal((await directory.byKey(blob))?.name, 'bob', 'the older pass takes no key along');
  must(await directory.passes.revoke(second.pass.id));
  must(await directory.keys.add({ user: 'bob', tag: 'mine', text: line }));
  assert.equal((await directory.byKey(blob))?.credential.kind, 'key');
});

test('of twenty passes and keys that are made for one key at once, one is', async (t) => {
  const { directory } = await openDirectory(t);
  const names = Array.from({ length: 20 }, (_, index) => `u${index}`);
  await addUsers(directory, ...names);
  const { line } = makeKeyLine();
  const results = await Promise.all(
    names.map((user, index) =>
      index % 2 === 0
        ? directory.keys.add({ user, tag: 'k', text: line })
        : directory.passes.issue({ user, scope: AGENT, lifeMs: HOUR_MS, keyLine: line, issuedBy: user }),
    ),
  );
  assert.equal(results.filter(({ kind }) => kind === 'ok').length, 1);
});

test('what ended is swept, and no user has more passes than the bound', async (t) => {
  const { directory, clock, store } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const first = await issued(directory, { lifeMs: HOUR_MS });
  clock.advance(HOUR_MS + BOUNDS.passKeepMs);
  const second = await issued(directory);
  assert.equal(await directory.passes.show(first.pass.id), undefined);
  assert.deepEqual((await store.list('pass')).map(({ key }) => key).toSorted().length, 2, 'a pass and its listing');
  must(await directory.passes.revoke(second.pass.id));
  assert.ok((await directory.passes.show(second.pass.id))?.revokedAt !== undefined, 'kept to be shown');
});

const WRONG: readonly (readonly [string, Partial<NewPass>, RegExp])[] = [
  ['no repository', { scope: { repositories: [], read: true } }, /--repo/],
  ['a repository outside', { scope: { repositories: ['../etc'], read: true } }, /no repository and no pattern/],
  ['nothing it may do', { scope: { repositories: ['a'] } }, /of no use/],
  ['a short refname', { scope: { repositories: ['a'], push: ['agent/*'] } }, /no full refname/],
  ['a ref with a blank', { scope: { repositories: ['a'], push: ['refs/heads/a b'] } }, /no full refname/],
  ['create-only and rewind', { scope: { ...AGENT, createOnly: true, rewind: true } }, /only creates/],
  ['rewind without push', { scope: { repositories: ['a'], read: true, rewind: true } }, /go with a ref pattern/],
  ['a range that is none', { scope: { ...AGENT, from: ['10.0.0.0/33'] } }, /range of addresses/],
  ['a mapped range', { scope: { ...AGENT, from: ['::ffff:10.0.0.0/104'] } }, /IPv4 address/],
  ['a purpose of two lines', { purpose: 'a\nb' }, /purpose/],
  ['no pushes', { pushesMax: 0 }, /between 1 and/],
  ['pushes without push', { scope: { repositories: ['a'], read: true }, pushesMax: 1 }, /goes with a ref pattern/],
  ['no end', { lifeMs: Number.POSITIVE_INFINITY }, /ends/],
  ['a life over the setting', { lifeMs: 31 * 24 * HOUR_MS }, /ends/],
  ['a private key', { keyLine: `-----BEGIN OPENSSH ${'private'.toUpperCase()} KEY-----` }, /PRIVATE/],
  ['a name with a blank', { name: 'a b' }, /pass name/],
  ['no such user', { user: 'nobody' }, /no user/],
];

test('a pass with something wrong is not issued, and the words say what', async (t) => {
  const { directory, store } = await openDirectory(t);
  await addUsers(directory, 'alice');
  for (const [what, wrong, reason] of WRONG) {
    const fresh = { user: 'alice', scope: AGENT, lifeMs: HOUR_MS, issuedBy: 'alice', ...wrong };
    assert.match(reasonOf(await directory.passes.issue(fresh)), reason, what);
  }
  assert.deepEqual(await store.list('pass'), []);
  must(await directory.users.add({ name: 'eve', email: 'e@x.org', realName: 'Eve' }));
  must(await directory.users.suspend('eve'));
  assert.match(
    reasonOf(await directory.passes.issue({ user: 'eve', scope: AGENT, lifeMs: 1000, issuedBy: 'a' })),
    /suspended/,
  );
  assert.match(reasonOf(parseLife('0s', HOUR_MS)), /at least a second/);
  assert.match(reasonOf(parseLife('2h', HOUR_MS)), /at most 1h/);
});

test('patterns are names and refnames with stars; those that rule the site are reached by name only', () => {
  for (const good of ['org/app', 'org/*', '*', 'a*/b-*', 'org/app.git'])
    assert.equal(parseRepositoryPattern(good).kind, 'ok', good);
  for (const bad of ['', '/', 'a//b', '../x', 'a b', '.x', 'a/', 'x'.repeat(300)])
    assert.equal(parseRepositoryPattern(bad).kind, 'refused', bad);
  for (const good of ['refs/heads/*', 'refs/heads/agent/*', 'refs/*', 'refs/tags/v*-rc'])
    assert.equal(parseRefPattern(good).kind, 'ok', good);
  for (const bad of ['*', 'heads/x', 'refs/heads/', 'refs/heads/a..b', 'refs/heads/.x', 'refs/heads/[a]'])
    assert.equal(parseRefPattern(bad).kind, 'refused', bad);
  assert.equal(coversRepository({ repositories: ['*'] }, 'org/app'), true);
  assert.equal(coversRepository({ repositories: ['*'] }, 'gatehouse-admin'), false);
  assert.equal(coversRepository({ repositories: ['g*'] }, 'gitolite-admin'), false);
  assert.equal(coversRepository({ repositories: ['gatehouse-admin'] }, 'gatehouse-admin'), true);
  assert.equal(coversRepository({ repositories: ['org/*'] }, 'organ/x'), false);
});

test('a range of addresses holds what it says, mapped addresses as IPv4, and nothing without an address', () => {
  const ranges = ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'].map((text) => must(parseCidr(text)));
  for (const inside of ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::1', '192.0.2.7'])
    assert.ok(isWithin(ranges, inside), inside);
  for (const outside of ['11.0.0.1', '2001:db9::1', '192.0.2.8', 'local', 'unknown', '', undefined, '::1'])
    assert.ok(!isWithin(ranges, outside), `${outside}`);
  assert.ok(isWithin([must(parseCidr('0.0.0.0/0'))], '203.0.113.9'));
  assert.ok(!isWithin([must(parseCidr('0.0.0.0/0'))], '2001:db8::1'));
  for (const bad of ['10.0.0.0/08', '10.0.0.0/', '10.0.0', 'fe80::1%eth0/64', '10.0.0.0/8/8', 'x/8'])
    assert.equal(parseCidr(bad).kind, 'refused', bad);
});

test('a refusal says what the pass allows', () => {
  const expiresAt = Date.UTC(2026, 0, 31, 14);
  const pass = passWith({ ...AGENT }, { expiresAt });
  const ask = (operation: string, refname?: string): string | undefined =>
    passRefusal(pass, { operation, repository: 'org/repo', refname });
  const may =
    'this pass may fetch, and push refs/heads/agent/* (create and fast-forward), of org/repo until 2026-01-31 14:00Z';
  assert.equal(describePass(pass), may);
  assert.equal(ask('create-ref', 'refs/heads/main'), `${may}; refs/heads/main is not among them`);
  assert.equal(ask('rewind-ref', 'refs/heads/agent/x'), `${may}; it does not rewind refs/heads/agent/x`);
  assert.equal(ask('update-ref', 'refs/heads/agent/x'), undefined);
  assert.equal(passRefusal(pass, { operation: 'read', repository: 'org/other' }), `${may}, nothing else`);
  const from = passWith({ ...AGENT, from: ['10.0.0.0/8'] }, { address: '192.0.2.1' });
  assert.equal(
    passRefusal(from, { operation: 'read', repository: 'org/repo' }),
    'this pass is for requests from 10.0.0.0/8, not from 192.0.2.1',
  );
});

test('a pass lets through nothing but what its scope names, whatever is asked', () => {
  const word = fc.constantFrom(
    'read',
    'write',
    'create-ref',
    'update-ref',
    'rewind-ref',
    'delete-ref',
    'configure',
    'administer',
    'create-repository',
    'destroy-repository',
    'rename-repository',
    'bless',
  );
  const refname = fc.option(
    fc.constantFrom('refs/heads/main', 'refs/heads/agent/x', 'refs/tags/v1', 'refs/heads/agent'),
    { nil: undefined },
  );
  const repository = fc.option(fc.constantFrom('org/repo', 'org/other', 'gatehouse-admin', 'x'), { nil: undefined });
  const action = fc.option(fc.constantFrom('whoami', 'sshkey', 'token', 'passissue', 'as', 'config_set'), {
    nil: undefined,
  });
  const scope = fc.record({
    repositories: fc.subarray(['org/repo', 'org/*', '*'], { minLength: 1 }),
    read: fc.boolean(),
    push: fc.subarray(['refs/heads/agent/*', 'refs/tags/*', 'refs/*']),
    createOnly: fc.boolean(),
    rewind: fc.boolean(),
    delete: fc.boolean(),
    from: fc.subarray(['10.0.0.0/8']),
  });
  const address = fc.option(fc.constantFrom('10.0.0.1', '192.0.2.1', 'local'), { nil: undefined });
  fc.assert(
    fc.property(
      scope,
      word,
      refname,
      repository,
      action,
      address,
      fc.boolean(),
      (asked, operation, ref, name, act, from, forPush) => {
        const parsed = parseScope(asked);
        if (parsed.kind === 'refused') return;
        const pass = passWith(parsed.value, from === undefined ? {} : { address: from });
        if (passRefusal(pass, { operation, action: act, repository: name, refname: ref, forPush }) !== undefined)
          return;
        if (asked.from.length > 0) assert.equal(from, '10.0.0.1');
        if (operation === 'administer') {
          assert.equal(act, 'whoami');
          return;
        }
        assert.ok(name !== undefined && name !== 'gatehouse-admin');
        assert.ok(name === 'org/repo' || asked.repositories.some((one) => one !== 'org/repo'));
        assert.ok(name !== 'x' || asked.repositories.includes('*'));
        if (operation === 'read') {
          assert.ok(asked.read || (forPush && asked.push.length > 0));
          return;
        }
        if (operation === 'write') {
          assert.ok(asked.push.length > 0);
          return;
        }
        assert.ok(['create-ref', 'update-ref', 'rewind-ref', 'delete-ref'].includes(operation), operation);
        assert.ok(ref !== undefined);
        const isMine = asked.push.some((one) => one === 'refs/*' || ref.startsWith(one.slice(0, -1)));
        assert.ok(isMine, `${ref} by ${asked.push.join(' ')}`);
        if (operation === 'update-ref') assert.ok(!asked.createOnly);
        if (operation === 'rewind-ref') assert.ok(asked.rewind);
        if (operation === 'delete-ref') assert.ok(asked.delete);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('pushes are counted by what is committed: of twenty at once exactly as many as the pass allows', async (t) => {
  const { store } = await openDirectory(t);
  const pushing = new PassPushes(store);
  const principal: Principal = {
    kind: 'user',
    name: 'alice' as never,
    account: 'person',
    email: '',
    realName: '',
    groups: new Set(),
    credential: passWith(AGENT, { pushesMax: 7 }),
  };
  const push = async (fails: boolean): Promise<boolean> => {
    const ticket = pushing.ticket(principal);
    assert.ok(ticket);
    return ticket.within(async () => {
      if ((await ticket.refusal()) !== undefined) return false;
      if (fails) return false;
      return (await store.transact(ticket.mark())).kind === 'committed';
    });
  };
  const done = await Promise.all(Array.from({ length: 20 }, (_, index) => push(index % 3 === 0)));
  assert.equal(done.filter(Boolean).length, 7);
  assert.equal(await pushing.count('id'), 7);
  assert.match((await pushing.ticket(principal)?.refusal()) ?? '', /may push 7 times, and did/);
});

function passWith(scope: Partial<PassCredential['scope']>, more: Partial<PassCredential> = {}): PassCredential {
  const none = { repositories: [], read: false, push: [], createOnly: false, rewind: false, delete: false, from: [] };
  return { kind: 'pass', id: 'id', name: 'n', purpose: '', scope: { ...none, ...scope }, expiresAt: 0, ...more };
}
