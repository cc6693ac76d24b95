/**
 * Tokens that are known while nothing is written: what was proved before is taken for proved without a look, and never
 * where a write, told of or not, might say otherwise.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { Directory } from '../../src/identity/directory.ts';
import { makeSecret } from '../../src/identity/secret.ts';
import { keepReads } from '../../src/store/kept-reads.ts';
import type { Kind, Store } from '../../src/store/store.ts';
import { addUsers, must, openDirectory, type Fixture } from './fixture.ts';

const DAY_MS = 86_400_000;

interface Watched extends Pick<Fixture, 'directory' | 'clock'> {
  /** Called before each read of the directory's is answered. */
  onGet: (kind: Kind, key: string) => Promise<void> | void;
  gets: number;
  beforeCommit: () => Promise<void> | void;
  /** Called after a commit, before the directory hears of it. */
  afterCommit: () => Promise<void> | void;
}

/** Alice's directory over a store that keeps reads. */
async function open(t: TestContext): Promise<Watched> {
  const { store: inner, clock } = await openDirectory(t);
  const kept = keepReads({
    ...bound(inner),
    async transact(transaction) {
      await watched.beforeCommit();
      const result = await inner.transact(transaction);
      await watched.afterCommit();
      return result;
    },
  });
  const store: Store = {
    ...bound(kept),
    get standing() {
      return kept.standing;
    },
    async get(kind, key) {
      watched.gets += 1;
      const stored = await kept.get(kind, key);
      await watched.onGet(kind, key);
      return stored;
    },
  };
  const directory = new Directory({ store, clock });
  const watched: Watched = {
    directory,
    clock,
    gets: 0,
    onGet: () => {},
    beforeCommit: () => {},
    afterCommit: () => {},
  };
  await addUsers(directory, 'alice');
  return watched;
}

function bound(store: Store): Store {
  return {
    get: (kind, key) => store.get(kind, key),
    list: (kind, options) => store.list(kind, options),
    follow: (from, to, options) => store.follow(from, to, options),
    transact: (transaction) => store.transact(transaction),
    revision: () => store.revision(),
    watch: (options) => store.watch(options),
    close: () => store.close(),
  };
}

async function tokenOf({ directory }: Watched, name: string, expires?: string): Promise<string> {
  const more = expires === undefined ? {} : { expires };
  return must(await directory.tokens.create({ user: 'alice', name, ...more })).secret;
}

/** Somebody whose token was shown once. */
async function proved(t: TestContext) {
  const own = await open(t);
  const secret = await tokenOf(own, 'ci');
  await own.directory.byToken(secret);
  return { own, directory: own.directory, secret };
}

test('while nothing is written, a known token and its principal cost no read', async (t) => {
  const own = await open(t);
  const secret = await tokenOf(own, 'ci');
  // The first use is written down; the second reads what that left.
  await own.directory.byToken(secret);
  const first = await own.directory.byToken(secret);
  own.gets = 0;
  const again = await own.directory.byToken(secret);
  assert.ok(again !== undefined && again === first);
  assert.equal(await own.directory.current(again), again);
  assert.equal(own.gets, 0);
  // Nor does one that is wrong in its secret part only: both are compared alike.
  const { id } = makeSecret(own.clock);
  assert.equal(await own.directory.byToken(secret.replace(/^ght_.{12}/, `ght_${id}`)), undefined);
});

test('whatever is written about it counts at once', async (t) => {
  const own = await open(t);
  const { directory } = own;
  const changes: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['revoked', () => directory.tokens.revoke({ user: 'alice', name: 'revoked' })],
    ['suspended', () => directory.users.suspend('alice')],
  ];
  for (const [name, change] of changes) {
    const secret = await tokenOf(own, name);
    await directory.byToken(secret);
    const principal = await directory.byToken(secret);
    assert.ok(principal !== undefined && (await directory.current(principal)) === principal);
    await change();
    assert.equal(await directory.current(principal), undefined, name);
    assert.equal(await directory.byToken(secret), undefined, name);
  }
});

test('a new group counts at once', async (t) => {
  const { directory, secret } = await proved(t);
  const principal = await directory.byToken(secret);
  assert.ok(principal !== undefined);
  must(await directory.groups.add({ name: 'staff', description: 'Staff' }));
  must(await directory.groups.addUser('staff', 'alice'));
  const now = await directory.current(principal);
  assert.ok(now?.kind === 'user' && [...now.groups].includes('staff' as never));
});

test('a token that expires is refused, with nothing written', async (t) => {
  const own = await open(t);
  const secret = await tokenOf(own, 'short', '2d');
  await own.directory.byToken(secret);
  own.clock.advance(DAY_MS);
  await own.directory.byToken(secret);
  const principal = await own.directory.byToken(secret);
  assert.ok(principal !== undefined && (await own.directory.current(principal)) === principal);
  own.clock.advance(DAY_MS);
  assert.equal(await own.directory.current(principal), undefined);
  assert.equal(await own.directory.byToken(secret), undefined);
});

for (const slow of ['token', 'user', 'meta'] satisfies Kind[]) {
  test(`what was read of a ${slow} before a suspension, and answered after it, is not taken for true later`, async (t) => {
    const own = await open(t);
    const { directory } = own;
    const secret = await tokenOf(own, 'ci');
    await directory.byToken(secret);
    // Something is written, so that all is looked up anew; one of the looks is slower than the next write.
    await addUsers(directory, 'bob');
    let hasWaited = false;
    own.onGet = async (kind) => {
      if (kind !== slow || hasWaited) return;
      hasWaited = true;
      own.onGet = () => {};
      must(await directory.users.suspend('alice'));
    };
    const principal = await directory.byToken(secret);
    assert.ok(hasWaited);
    if (principal !== undefined) assert.equal(await directory.current(principal), undefined);
    assert.equal(await directory.byToken(secret), undefined);
  });
}

test('what was proved while a revocation was on its way is proved anew after it', async (t) => {
  const { own, directory, secret } = await proved(t);
  const seen: unknown[] = [];
  own.beforeCommit = async () => {
    own.beforeCommit = () => {};
    for (let count = 0; count < 2; count += 1) seen.push(await directory.byToken(secret));
  };
  must(await directory.tokens.revoke({ user: 'alice', name: 'ci' }));
  const [, principal] = seen;
  assert.ok(principal !== undefined, 'it was good until then');
  assert.equal(await directory.current(principal as never), undefined);
  assert.equal(await directory.byToken(secret), undefined);
});

test('while a revocation is on its way, and after one of which nobody knows the end, nothing is taken for proved', async (t) => {
  const { own, directory, secret } = await proved(t);
  const principal = await directory.byToken(secret);
  assert.ok(principal !== undefined);
  const seen: unknown[] = [];
  own.afterCommit = async () => {
    seen.push(await directory.current(principal), await directory.byToken(secret));
    throw new Fault('corrupt', 'the disk did not say');
  };
  await assert.rejects(directory.tokens.revoke({ user: 'alice', name: 'ci' }), /did not say/);
  seen.push(await directory.current(principal), await directory.byToken(secret));
  assert.deepEqual(seen, [undefined, undefined, undefined, undefined]);
});
