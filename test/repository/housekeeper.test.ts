/** Upkeep that nobody asked for: what it leaves of a repository, and what it does where it fails. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { conditionOf } from '../../src/repository/condition.ts';
import { Housekeeper, HOUSEKEEPING_LIMITS, type HousekeepingLimits } from '../../src/repository/housekeeper.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { commit, git, must, named, openCatalogue, type Fixture } from './fixture.ts';

interface Kept extends Fixture {
  readonly housekeeper: Housekeeper;
  /** Resolves when upkeep has ended so many times since the start. */
  ended(times: number): Promise<readonly string[]>;
  readonly clock: { aheadMs: number };
  readonly machine: { isBusy: boolean };
}

async function keep(t: TestContext, limits: Partial<HousekeepingLimits> = {}): Promise<Kept> {
  const fixture = await openCatalogue(t);
  const { store, catalogue } = fixture;
  const clock = { aheadMs: 0 };
  const machine = { isBusy: false };
  const outcomes: string[] = [];
  let onEnd = (): void => {};
  const housekeeper = new Housekeeper({
    store,
    clock: { ...systemClock, now: () => systemClock.now() + clock.aheadMs },
    repositories: { byId: (id) => catalogue.byId(id), all: () => catalogue.all() },
    upkeep: { roll: (upkeep) => catalogue.roll(upkeep), gc: (upkeep) => catalogue.gc(upkeep) },
    isBusy: () => machine.isBusy,
    log: { info() {}, warn() {} },
    metrics: {
      upkeep(kind, outcome) {
        outcomes.push(`${kind} ${outcome}`);
        onEnd();
      },
    },
    limits: { ...HOUSEKEEPING_LIMITS, quietMs: 1, ...limits },
  });
  t.after(() => housekeeper.close());
  return {
    ...fixture,
    housekeeper,
    clock,
    machine,
    async ended(times) {
      while (outcomes.length < times) await new Promise<void>((resolve) => (onEnd = resolve));
      // What is remembered is written right after.
      while ((await housekeeper.status()).running.length > 0) await new Promise(setImmediate);
      return outcomes;
    },
  };
}

/** A repository with so many packs of one commit each, on so many branches. */
async function untidy({ catalogue }: Fixture, packs: number): Promise<Repository> {
  const repository = must(await catalogue.create({ name: named('untidy'), owner: 'root1' }));
  for (let index = 0; index < packs; index += 1) {
    await commit(repository.path, `refs/heads/b${index}`, `commit ${index}`);
    await git(repository.path, 'repack', '-dq');
  }
  return repository;
}

test('many packs become few, with one bitmap, and lose nothing', async (t) => {
  const kept = await keep(t, { packsMax: 8 });
  const repository = await untidy(kept, 24);
  const before = await git(repository.path, 'rev-list', '--all', '--objects');
  assert.equal((await conditionOf(repository.path)).packs, 24);
  kept.housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(1), ['roll done']);
  const after = await conditionOf(repository.path);
  assert.ok(after.packs <= 5, `${after.packs} packs`);
  assert.equal(after.hasBitmap, true);
  assert.equal(after.looseRefs, 0);
  assert.equal(await git(repository.path, 'rev-list', '--all', '--objects'), before);
  await git(repository.path, 'fsck', '--full', '--strict');
  await git(repository.path, 'multi-pack-index', 'verify');
  const record = await kept.housekeeper.record(repository.id);
  assert.ok(record.rolledAt !== undefined && record.failures === 0);
});

test('a repository in order is left alone, however often it is pushed to', async (t) => {
  const kept = await keep(t, { packsMax: 8, looseRefsMax: 4, pushesMax: 1 });
  const tidy = await untidy(kept, 2);
  const other = must(await kept.catalogue.create({ name: named('other'), owner: 'root1' }));
  for (let index = 0; index < 6; index += 1) await commit(other.path, `refs/heads/b${index}`, `commit ${index}`);
  for (const { id } of [tidy, tidy, tidy, other]) kept.housekeeper.note(id);
  // One at a time: when the other one, which is due for its loose refs, is done, the first was looked at.
  assert.deepEqual(await kept.ended(1), ['roll done']);
  assert.equal((await kept.housekeeper.record(tidy.id)).rolledAt, undefined);
  assert.notEqual((await kept.housekeeper.record(other.id)).rolledAt, undefined);
});

test('a push to a kept pack is not rolled away', async (t) => {
  const kept = await keep(t, { packsMax: 4 });
  const repository = await untidy(kept, 10);
  const packs = join(repository.path, 'objects', 'pack');
  const pack = readdirSync(packs).find((name) => name.endsWith('.pack')) ?? '';
  writeFileSync(join(packs, pack.replace('.pack', '.keep')), 'gatehouse txid\n');
  kept.housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(1), ['roll done']);
  assert.ok(readdirSync(packs).includes(pack));
});

test('locks that a killed git left do not stop upkeep for ever', async (t) => {
  const kept = await keep(t, { packsMax: 4 });
  const repository = await untidy(kept, 8);
  await git(repository.path, 'commit-graph', 'write', '--reachable', '--split');
  for (const lock of [
    'gc.pid',
    'objects/info/commit-graphs/commit-graph-chain.lock',
    'objects/pack/multi-pack-index.lock',
  ])
    writeFileSync(join(repository.path, lock), '');
  for (const lock of ['packed-refs.lock', 'packed-refs.new']) {
    writeFileSync(join(repository.path, lock), '');
    utimesSync(join(repository.path, lock), 0, 0);
  }
  kept.housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(1), ['roll done']);
});

test('what fails is shown with its reason, tried again later, and forgotten once it works', async (t) => {
  const kept = await keep(t, { packsMax: 4, pushesMax: 1 });
  const { housekeeper, clock } = kept;
  const repository = await untidy(kept, 8);
  const packs = join(repository.path, 'objects', 'pack');
  const victim = join(packs, readdirSync(packs).find((name) => name.endsWith('.pack')) ?? '');
  const whole = readFileSync(victim);
  const broken = Buffer.from(whole);
  broken.fill(0xff, 12, 40);
  chmodSync(victim, 0o644);
  writeFileSync(victim, broken);
  housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(1), ['roll failed']);
  const { failing } = await housekeeper.status();
  assert.equal(failing.length, 1);
  assert.equal(failing[0]?.id, repository.id);
  assert.match(failing[0]?.reason ?? '', /^git repack ended with \d+; .*/);
  assert.doesNotMatch(failing[0]?.reason ?? '', new RegExp(repository.path), 'no path of this machine');
  // At once again: not yet.
  housekeeper.note(repository.id);
  clock.aheadMs += HOUSEKEEPING_LIMITS.retryMs + 1;
  writeFileSync(victim, whole);
  housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(2), ['roll failed', 'roll done']);
  assert.deepEqual((await housekeeper.status()).failing, []);
});

test('everything is packed anew and old garbage dropped where the last time is long ago', async (t) => {
  const kept = await keep(t, { packsMax: 4, pushesMax: 1 });
  const repository = await untidy(kept, 8);
  kept.housekeeper.note(repository.id);
  await kept.ended(1);
  kept.clock.aheadMs += HOUSEKEEPING_LIMITS.gcEveryMs + 1;
  for (let index = 0; index < 8; index += 1) {
    await commit(repository.path, `refs/heads/c${index}`, `later ${index}`);
    await git(repository.path, 'repack', '-dq');
  }
  kept.housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(2), ['roll done', 'gc done']);
  assert.equal((await conditionOf(repository.path)).packs, 1);
});

test('what nobody pushes to is found by looking at all', async (t) => {
  const kept = await keep(t, { packsMax: 4 });
  await untidy(kept, 8);
  kept.housekeeper.begin();
  assert.deepEqual(await kept.ended(1), ['roll done']);
});

test('requests go first, but not for ever', async (t) => {
  const kept = await keep(t, { packsMax: 4, yieldMs: 50 });
  const repository = await untidy(kept, 8);
  kept.machine.isBusy = true;
  kept.housekeeper.note(repository.id);
  assert.deepEqual(await kept.ended(1), ['roll done']);
});

test('with no task allowed nothing is done', async (t) => {
  const kept = await keep(t, { tasksMax: 0, packsMax: 1 });
  const repository = await untidy(kept, 3);
  kept.housekeeper.begin();
  kept.housekeeper.note(repository.id);
  const status = await kept.housekeeper.status();
  assert.deepEqual([status.isOn, status.noted, status.queued], [false, 0, 0]);
});

test('upkeep that is given up at any moment loses nothing, and the next one succeeds', async (t) => {
  const fixture = await openCatalogue(t);
  const repository = await untidy(fixture, 12);
  const before = await git(repository.path, 'rev-list', '--all', '--objects');
  const tell = (): void => {};
  for (const ms of [1, 5, 15, 30, 60, 120]) {
    const signal = AbortSignal.timeout(ms);
    // Given up, or done in time.
    await fixture.catalogue.roll({ repository, tell, signal }).catch(() => undefined);
    assert.equal(await git(repository.path, 'rev-list', '--all', '--objects'), before, `given up after ${ms} ms`);
  }
  // A git that did not end in time was killed, and its lock stays until it is old.
  for (const lock of ['packed-refs.lock', 'packed-refs.new'])
    if (existsSync(join(repository.path, lock))) utimesSync(join(repository.path, lock), 0, 0);
  must(await fixture.catalogue.roll({ repository, tell }));
  await git(repository.path, 'fsck', '--full', '--strict');
  assert.equal(await git(repository.path, 'rev-list', '--all', '--objects'), before);
});
