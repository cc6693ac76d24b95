/** Pushes that wait for one repository's turn commit together: each keeps its verdict, its line and its fate. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile, rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { OdbPool } from '../../src/git/odb/pool.ts';
import { parseOid, zeroOid, type Oid } from '../../src/git/oid.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import { parseRefname } from '../../src/git/refname.ts';
import { Committer, type CommitParts, type CommitStep } from '../../src/receive/commit.ts';
import type { Committed, CommitRequest } from '../../src/receive/commit-request.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { logDirectory, readLogEntry, writeLogEntry } from '../../src/receive/log-entry.ts';
import { recover } from '../../src/receive/recovery.ts';
import { createRefWriter } from '../../src/receive/ref-writer.ts';
import { parseState } from '../../src/receive/state.ts';
import { Update } from '../../src/receive/update.ts';
import { commitFile, git, gitOk, openSite, type Site } from './site.ts';

const ZERO = zeroOid('sha1');

interface Ground {
  readonly site: Site;
  readonly committer: Committer;
  readonly parts: CommitParts;
  readonly steps: CommitStep[];
  readonly tips: readonly Oid[];
  /** A commit of one push; not awaited, it waits behind those before it. */
  readonly push: (
    who: string,
    refs: readonly Wanted[],
    more?: Partial<CommitRequest>,
  ) => Promise<Committed | undefined>;
  /** How each ref of a push ended, after it. */
  readonly reasons: (who: string) => readonly (string | undefined)[];
  readonly generation: () => Promise<number>;
}

type Wanted = readonly [name: string, oldOid: Oid, newOid: Oid];

/** A committer of its own over a site's parts, on a repository that has the objects already. */
async function open(t: TestContext, change: Partial<CommitParts> = {}): Promise<Ground> {
  const site = await openSite(t);
  const tree = await site.workTree();
  const tips = [await commitFile(tree, 'a'), await commitFile(tree, 'b')].map(oid);
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/keep/objects');
  await site.receive.close();
  const odb = new OdbPool({ clock: systemClock });
  t.after(() => odb.close());
  const steps: CommitStep[] = [];
  const objects: Parameters<typeof createRefWriter>[1] = {
    clock: systemClock,
    durable: realDurable,
    objects: ({ path, objectFormat }) => odb.of(path, objectFormat),
  };
  const { onStep, ...others } = change;
  const parts: CommitParts = {
    store: site.store,
    refs: new RefCache({ processes: site.processes, odb }),
    refWriter: createRefWriter(site.processes, objects),
    durable: realDurable,
    journal: site.journal,
    log: { info() {}, warn() {}, error() {} },
    clock: systemClock,
    logEntriesKept: 64,
    onSettled: undefined,
    onChanged: undefined,
    onStep: (step) => {
      steps.push(step);
      return onStep?.(step);
    },
    ...others,
  };
  const committer = new Committer(parts);
  const known = new Map<string, readonly Update[]>();
  return {
    site,
    committer,
    parts,
    steps,
    tips,
    push(who, refs, more = {}) {
      const updates = refs.map(
        ([name, oldOid, newOid]) => new Update({ name, refname: parseRefname(name), oldOid, newOid }),
      );
      known.set(who, updates);
      return committer.commit({
        repository: site.repository,
        updates,
        atomic: false,
        objectDirectory: undefined,
        requestId: `request of ${who}`,
        principal: who,
        entry: () => lineOf(site, who, updates),
        sharesTurn: () => true,
        ...more,
      });
    },
    reasons: (who) => known.get(who)?.map(({ refusal }) => refusal?.reason) ?? [],
    generation: async () => parseState(await site.store.get('repository-state', site.repository.id)).generation,
  };
}

function lineOf({ repository }: Site, who: string, updates: readonly Update[]): JournalEntry {
  return {
    event: 'push',
    outcome: 'served',
    request: `request of ${who}`,
    transport: 'git',
    address: '127.0.0.1',
    principal: who,
    repository: repository.name,
    refs: updates.map(({ name, oldOid, newOid, refusal }) => ({
      name,
      old: oldOid,
      new: newOid,
      result: refusal?.reason ?? 'ok',
    })),
  };
}

function oid(text: string): Oid {
  const parsed = parseOid(text, 'sha1');
  assert.ok(parsed !== undefined);
  return parsed;
}

async function lines({ site }: Ground, event: string): Promise<readonly string[]> {
  const all = await site.journalLines();
  return all
    .filter((line) => line.event === event && line.principal !== 'alice')
    .map(({ principal, refs }) => `${principal}: ${refs?.map(({ name, result }) => `${name} ${result}`).join(', ')}`);
}

async function names({ site }: Ground): Promise<readonly string[]> {
  const all = (await site.refs()).split('\n').map((line) => line.split(' ')[1] ?? '');
  return all.filter((name) => name.startsWith('refs/heads/'));
}

test('pushes that wait for a turn share the next one, each with its line', async (t) => {
  const ground = await open(t);
  const { push, tips, steps, site } = ground;
  const [one = ZERO] = tips;
  const before = await ground.generation();
  const ends = await Promise.all(['a', 'b', 'c', 'd'].map((who) => push(who, [[`refs/heads/${who}`, ZERO, one]])));
  assert.equal(await ground.generation(), before + 2, 'the first alone, the others together');
  assert.equal(steps.filter((step) => step === 'committed').length, 2);
  assert.deepEqual(
    ends.map((end) => end?.updates.length),
    [1, 1, 1, 1],
  );
  assert.deepEqual(
    await names(ground),
    ['a', 'b', 'c', 'd'].map((who) => `refs/heads/${who}`),
  );
  const expected = ['a', 'b', 'c', 'd'].map((who) => `${who}: refs/heads/${who} ok`);
  assert.deepEqual(await lines(ground, 'push'), expected);
  const state = parseState(await site.store.get('repository-state', site.repository.id));
  const { pushers } = await readLogEntry(site.repository, state);
  assert.deepEqual(
    pushers.map(({ principal, refs }) => `${principal} ${refs}`),
    ['b 1', 'c 1', 'd 1'],
  );
  await gitOk(site.repository.path, 'fsck', '--strict');
});

test('a stale, a refused, a failed and an atomic push among those that share a turn take no other with them', async (t) => {
  const ground = await open(t);
  const { push, tips } = ground;
  const [one = ZERO, two = ZERO] = tips;
  await push('before', [['refs/heads/there', ZERO, one]]);
  const before = await ground.generation();
  const blocker = push('blocker', [['refs/heads/blocker', ZERO, one]]);
  const good = push('good', [['refs/heads/good', ZERO, one]]);
  const stale = push('stale', [
    ['refs/heads/there', two, one],
    ['refs/heads/own', ZERO, one],
  ]);
  const atomic = push(
    'atomic',
    [
      ['refs/heads/blocker', two, one],
      ['refs/heads/never', ZERO, one],
    ],
    { atomic: true },
  );
  const revoked: Promise<Committed | undefined> = push('revoked', [['refs/heads/revoked', ZERO, one]], {
    confirm: async () => {
      throw new Fault('aborted', 'key was revoked');
    },
  });
  const late = push('late', [['refs/heads/late', ZERO, two]]);
  const ends = await Promise.allSettled([blocker, good, stale, atomic, revoked, late]);
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
  assert.equal(await atomic, undefined);
  assert.match(ground.reasons('stale')[0] ?? '', /fetch first/);
  assert.equal(ground.reasons('stale')[1], undefined);
  assert.match(ground.reasons('atomic').join(), /fetch first,atomic push: refs\/heads\/blocker was refused/);
  assert.deepEqual(
    await names(ground),
    ['blocker', 'good', 'late', 'own', 'there'].map((name) => `refs/heads/${name}`),
  );
  assert.ok((await ground.generation()) < before + 5, 'they did not go one by one');
  const told = await lines(ground, 'push');
  assert.ok(
    told.some((line) => /^stale: refs\/heads\/there .*fetch first, refs\/heads\/own ok$/.test(line)),
    told.join('\n'),
  );
  assert.ok(!told.some((line) => /^(?:revoked|atomic):/.test(line)));
});

test('pushes to one ref, or to refs above and below each other, never share a turn: the later one is judged by the earlier', async (t) => {
  const ground = await open(t);
  const { push, tips, site } = ground;
  const [one = ZERO, two = ZERO] = tips;
  await Promise.all([
    push('blocker', [['refs/heads/blocker', ZERO, one]]),
    push('first', [['refs/heads/x', ZERO, one]]),
    push('rival', [['refs/heads/x', ZERO, two]]),
    push('below', [['refs/heads/x/y', ZERO, two]]),
    push('next', [['refs/heads/x', one, two]]),
  ]);
  assert.deepEqual(ground.reasons('first'), [undefined]);
  assert.match(ground.reasons('rival').join(), /exists already: fetch first/);
  assert.match(ground.reasons('below').join(), /refs\/heads\/x exists: both cannot be/);
  assert.deepEqual(ground.reasons('next'), [undefined]);
  assert.equal(await gitOk(site.repository.path, 'rev-parse', 'refs/heads/x'), two);
});

test('what may not share waits for a turn of its own, in its place', async (t) => {
  const ground = await open(t);
  const { push, tips, site } = ground;
  const [one = ZERO] = tips;
  const order: string[] = [];
  const onApplied = (who: string) => async (): Promise<void> => void order.push(who);
  const alone = { sharesTurn: () => false };
  const counted = { alongside: () => ({ checks: [], writes: [] }) };
  const make = (who: string, more: Partial<CommitRequest>): Promise<unknown> =>
    push(who, [[`refs/heads/${who}`, ZERO, one]], { ...more, onApplied: onApplied(who) });
  const before = await ground.generation();
  await Promise.all([
    make('a', {}),
    make('b', {}),
    make('c', alone),
    make('d', {}),
    make('e', {}),
    make('f', counted),
    make('g', {}),
    ground.committer.inTurn(site.repository.id, async () => void order.push('upkeep')),
  ]);
  assert.deepEqual(order, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'upkeep']);
  // a | b | c | d, e | f | g
  assert.equal(await ground.generation(), before + 6);
});

test('one that forwards elsewhere by the time its turn comes goes alone, and so do those with it', async (t) => {
  const ground = await open(t);
  const [one = ZERO] = ground.tips;
  let isMirror = false;
  let forwards = 0;
  const more: Partial<CommitRequest> = {
    sharesTurn: () => !isMirror,
    confirm: async () => {
      isMirror = true;
    },
    forward: async () => {
      forwards += 1;
      return undefined;
    },
  };
  const blocker = ground.push('a', [['refs/heads/a', ZERO, one]]);
  await Promise.all([
    blocker,
    ground.push('b', [['refs/heads/b', ZERO, one]], more),
    ground.push('c', [['refs/heads/c', ZERO, one]], more),
  ]);
  assert.equal(forwards, 2);
  assert.deepEqual(
    await names(ground),
    ['a', 'b', 'c'].map((name) => `refs/heads/${name}`),
  );
});

test('a ref that somebody beside the gate holds or changed fails its own push only, with packs kept until all are done', async (t) => {
  const ground = await open(t);
  const { push, tips, site } = ground;
  const [one = ZERO, two = ZERO] = tips;
  const lock = join(site.repository.path, 'refs/heads/held.lock');
  await push('before', [['refs/heads/old', ZERO, one]]);
  await writeFile(lock, '');
  const packs = await Promise.all(['p1', 'p2'].map((name) => packOf(site, name)));
  const seen: string[][] = [];
  const keeps = (): string[] =>
    readdirSync(join(site.repository.path, 'objects/pack')).filter((name) => name.endsWith('.keep'));
  const [p1, p2] = packs;
  assert.ok(p1 !== undefined && p2 !== undefined);
  const onApplied = async (): Promise<void> => void seen.push(keeps());
  const [, , held] = await Promise.allSettled([
    push('blocker', [['refs/heads/blocker', ZERO, one]]),
    push('p1', [['refs/heads/p1', ZERO, p1.tip]], { objectDirectory: p1.path, onApplied }),
    push('held', [['refs/heads/held', ZERO, one]]),
    push('p2', [['refs/heads/p2', ZERO, p2.tip]], { objectDirectory: p2.path, onApplied }),
    push('old', [['refs/heads/old', one, two]]),
  ]);
  await rm(lock);
  assert.equal(held.status, 'fulfilled');
  assert.match(ground.reasons('held').join(), /git refuses it: .*held\.lock/);
  assert.deepEqual(
    await names(ground),
    ['blocker', 'old', 'p1', 'p2'].map((name) => `refs/heads/${name}`),
  );
  assert.deepEqual(
    seen.map(({ length }) => length),
    [2, 2],
    'kept while others of the turn are under way',
  );
  assert.deepEqual(keeps(), []);
  assert.equal(readdirSync(logDirectory(site.repository.path)).length, await ground.generation());
  await gitOk(site.repository.path, 'fsck', '--strict');
});

/** A quarantine with one commit in a pack. */
async function packOf(site: Site, name: string): Promise<{ readonly path: string; readonly tip: Oid }> {
  const tree = await site.workTree();
  const tip = oid(await commitFile(tree, name));
  await gitOk(tree, 'repack', '-adq');
  const path = join(site.repository.path, 'gatehouse/incoming', name);
  await mkdir(join(path, 'pack'), { recursive: true });
  const from = join(tree, '.git/objects/pack');
  for (const file of readdirSync(from).filter((one) => /\.(?:pack|idx)$/.test(one)))
    await writeFile(join(path, 'pack', file), await readFile(join(from, file)));
  return { path, tip };
}

test('objects that cannot be moved in fail their own push only', async (t) => {
  const ground = await open(t);
  const [one = ZERO] = ground.tips;
  const pack = await packOf(ground.site, 'broken');
  const ends = await Promise.allSettled([
    ground.push('blocker', [['refs/heads/blocker', ZERO, one]]),
    ground.push('good', [['refs/heads/good', ZERO, one]]),
    ground.push('broken', [['refs/heads/broken', ZERO, pack.tip]], {
      objectDirectory: pack.path,
      // Gone between the sync of its bytes and its turn.
      confirm: () => rm(pack.path, { recursive: true }),
    }),
    ground.push('also', [['refs/heads/also', ZERO, one]]),
  ]);
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(
    await names(ground),
    ['also', 'blocker', 'good'].map((name) => `refs/heads/${name}`),
  );
});

test('a fault at any border fails whole pushes, and what was committed is made good with a line for each', async (t) => {
  for (const at of ['installed', 'logged', 'prepared', 'committed', 'applied', 'synced'] as const) {
    let turns = 0;
    let isBroken = true;
    const ground = await open(t, {
      onStep(step) {
        if (step === 'installed') turns += 1;
        if (step === at && turns >= 2 && isBroken) throw new Fault('internal', 'fault of the test');
      },
    });
    const [one = ZERO] = ground.tips;
    const ends = await Promise.allSettled(
      ['a', 'b', 'c'].map((who) => ground.push(who, [[`refs/heads/${who}`, ZERO, one]])),
    );
    isBroken = false;
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
      at,
    );
    await ground.push('d', [['refs/heads/d', ZERO, one]]);
    const isCommitted = at === 'committed' || at === 'applied' || at === 'synced';
    const expected = isCommitted ? ['a', 'b', 'c', 'd'] : ['a', 'd'];
    assert.deepEqual(
      await names(ground),
      expected.map((name) => `refs/heads/${name}`),
      at,
    );
    const recovered = isCommitted ? ['b: refs/heads/b ok', 'c: refs/heads/c ok'] : [];
    assert.deepEqual(await lines(ground, 'recover'), recovered, at);
    assert.deepEqual(ground.site.leftovers(), [], at);
  }
});

test('one whose journal line fails hears so, its neighbours hear of success, and the turn is made good', async (t) => {
  const ground = await open(t);
  const [one = ZERO] = ground.tips;
  const ends = await Promise.allSettled([
    ground.push('a', [['refs/heads/a', ZERO, one]]),
    ground.push('b', [['refs/heads/b', ZERO, one]]),
    ground.push('c', [['refs/heads/c', ZERO, one]], {
      entry: () => {
        throw new Fault('bad-input', 'journal entry is too long');
      },
    }),
  ]);
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  await ground.push('d', [['refs/heads/d', ZERO, one]]);
  assert.ok((await lines(ground, 'recover')).includes('c: refs/heads/c ok'));
});

test('a commit point of which nobody knows keeps what it may need, and fails all that shared it', async (t) => {
  let isDown = false;
  const wrapped = (store: CommitParts['store']): CommitParts['store'] => ({
    get: async (kind, key) => {
      if (isDown) throw new Fault('internal', 'store is down');
      return store.get(kind, key);
    },
    list: (kind, options) => store.list(kind, options),
    follow: (from, to, options) => store.follow(from, to, options),
    revision: () => store.revision(),
    watch: (options) => store.watch(options),
    close: () => store.close(),
    async transact(transaction) {
      const isShared = transaction.writes.some(({ kind }) => kind === 'repository-state') && (turns += 1) === 2;
      const result = await store.transact(transaction);
      if (!isShared) return result;
      isDown = true;
      throw new Fault('internal', 'answer was lost');
    },
  });
  let turns = 0;
  const plain = await open(t);
  const { site } = plain;
  const parts = { ...plain.parts, store: wrapped(site.store) };
  const committer = new Committer(parts);
  const [one = ZERO] = plain.tips;
  const pack = await packOf(site, 'unknown');
  const commit = (who: string, tip: Oid, objectDirectory?: string): Promise<Committed | undefined> => {
    const name = `refs/heads/${who}`;
    const updates = [new Update({ name, refname: parseRefname(name), oldOid: ZERO, newOid: tip })];
    const entry = (): JournalEntry => lineOf(site, who, updates);
    const about = { requestId: who, principal: who, atomic: false, repository: site.repository };
    return committer.commit({ ...about, updates, objectDirectory, entry, sharesTurn: () => true });
  };
  const first = commit('a', one);
  // Its quarantine is synced before it queues.
  await first;
  const hold = committer.inTurn(site.repository.id, () => Promise.resolve());
  const ends = await Promise.allSettled([hold, commit('b', one), commit('c', pack.tip, pack.path), commit('d', one)]);
  assert.ok(ends.slice(1).some(({ status }) => status === 'rejected'));
  isDown = false;
  const catalogue = { byId: async () => site.repository, list: async () => [site.repository] };
  const report = await recover(plain.parts, catalogue);
  assert.deepEqual(report.failed, []);
  assert.ok((await names(plain)).includes('refs/heads/b'));
  await gitOk(site.repository.path, 'fsck', '--strict');
});

test('start-up gives each of the pushes that committed together its line, and reads entries of one push from before', async (t) => {
  const ground = await open(t);
  const { site, tips, parts } = ground;
  const [one = ZERO, two = ZERO] = tips;
  const update = (name: string, oldOid: Oid, newOid: Oid) => {
    const refname = parseRefname(name);
    assert.ok(refname !== undefined);
    return { refname, oldOid, newOid };
  };
  await ground.push('before', [['refs/heads/strange', ZERO, two]]);
  const generation = (await ground.generation()) + 1;
  const updates = [
    update('refs/heads/a', ZERO, one),
    update('refs/heads/strange', ZERO, one),
    update('refs/heads/b', ZERO, two),
  ];
  const pushers = [
    { requestId: 'r1', principal: 'ann', refs: 2 },
    { requestId: 'r2', principal: 'ben', refs: 1 },
  ];
  await ground.committer.close();
  await writeLogEntry(realDurable, site.repository.path, {
    generation,
    txid: 'ab',
    prevTxid: 'cd',
    pushers,
    updates,
    packs: [],
  });
  await commitAs(ground, { generation, txid: 'ab' });
  const catalogue = { byId: async () => site.repository, list: async () => [site.repository] };
  assert.deepEqual(await recover(parts, catalogue), { transactions: 1, refsApplied: 2, refsStrange: 1, failed: [] });
  assert.deepEqual(await lines(ground, 'recover'), [
    'ann: refs/heads/a ok, refs/heads/strange left alone: changed beside the gate',
    'ben: refs/heads/b ok',
  ]);
  const recovered = (await site.journalLines()).filter(({ event }) => event === 'recover');
  assert.deepEqual(
    recovered.map(({ outcome }) => outcome),
    ['faulted', 'served'],
  );

  const old = { generation: generation + 1, txid: 'ef', prevTxid: 'ab', requestId: 'r3', principal: 'eve', packs: [] };
  const path = join(logDirectory(site.repository.path), `${String(generation + 1).padStart(16, '0')}-ef.json`);
  await writeFile(path, JSON.stringify({ ...old, updates: [update('refs/heads/c', ZERO, one)] }));
  await commitAs(ground, old);
  assert.equal((await recover(parts, catalogue)).refsApplied, 1);
  assert.ok((await lines(ground, 'recover')).includes('eve: refs/heads/c ok'));

  // Whose the second ref is, nobody says.
  const short = {
    ...old,
    generation: generation + 2,
    txid: 'aa',
    pushers: [{ requestId: 'r', principal: 'p', refs: 1 }],
  };
  const unclear = join(logDirectory(site.repository.path), `${String(short.generation).padStart(16, '0')}-aa.json`);
  await writeFile(unclear, JSON.stringify({ ...short, updates }));
  await commitAs(ground, short);
  assert.deepEqual((await recover(parts, catalogue)).failed, ['r']);
});

async function commitAs(
  { site }: Ground,
  { generation, txid }: { readonly generation: number; readonly txid: string },
): Promise<void> {
  const keys = { key: site.repository.id, put: { generation, txid } };
  await site.store.transact({
    writes: [
      { kind: 'repository-state', ...keys },
      { kind: 'pending', ...keys },
    ],
  });
}

test('real pushes at once, some of them rivals: each is whole or absent', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const base = await commitFile(tree, 'base');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', 'main:shared');
  const next = await commitFile(tree, 'next');
  const rivals = [3, 7, 8];
  const pushed = await Promise.all(
    Array.from({ length: 16 }, (_, index) => {
      const more = rivals.includes(index) ? ['--atomic', `${next}:refs/heads/shared`] : ['--no-atomic'];
      return git(tree, 'push', ...more.slice(0, 1), site.gitUrl, `${next}:refs/heads/n${index}`, ...more.slice(1));
    }),
  );
  const refs = await site.refs();
  for (const [index, { code }] of pushed.entries())
    assert.equal(new RegExp(`^${next} refs/heads/n${index}$`, 'm').test(refs), code === 0, `${index}`);
  assert.equal(pushed.filter(({ code }) => code === 0).length, 14);
  assert.match(refs, new RegExp(`${next} refs/heads/shared`));
  assert.ok(!refs.includes(`${base} refs/heads/shared`));
  assert.deepEqual(site.leftovers(), []);
  await gitOk(site.repository.path, 'fsck', '--strict');
});
