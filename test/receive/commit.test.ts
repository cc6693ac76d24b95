/** The commit protocol: concurrency, changes beside the gate, failures at every border, and recovery. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { parseOid, zeroOid, type Oid } from '../../src/git/oid.ts';
import { parseRefname, type Refname } from '../../src/git/refname.ts';
import { COMMIT_STEPS, type CommitStep } from '../../src/receive/commit.ts';
import { logDirectory, readLogEntry, writeLogEntry } from '../../src/receive/log-entry.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { parseState } from '../../src/receive/state.ts';
import type { Store } from '../../src/store/store.ts';
import { converse, EMPTY_PACK, pkt, ZERO } from './raw-client.ts';
import { ALLOW, commitFile, git, gitOk, openSite, PRINCIPAL, startSite, type Site } from './site.ts';
import { changedStore } from './changed-store.ts';

function oid(text: string): Oid {
  const parsed = parseOid(text, 'sha1');
  assert.ok(parsed !== undefined);
  return parsed;
}

function refname(text: string): Refname {
  const parsed = parseRefname(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

test('thirty-two pushes to different refs at once all succeed', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const head = await commitFile(tree, 'a');
  const names = Array.from({ length: 32 }, (_, index) => `refs/heads/n${index}`);
  const results = await Promise.all(names.map((name) => git(tree, 'push', site.gitUrl, `main:${name}`)));
  assert.deepEqual(results.map(({ code, stderr }) => (code === 0 ? '' : stderr)).join(''), '');
  const expected = names.map((name) => `${head} ${name}`).sort();
  assert.deepEqual((await site.refs()).split('\n').sort(), expected);
  assert.equal((await site.journalLines()).length, 32);
  const state = await site.store.get('repository-state', site.repository.id);
  // Those that waited for the same turn committed together.
  assert.ok(parseState(state).generation <= 32);
  assert.deepEqual(site.leftovers(), []);
  await gitOk(site.repository.path, 'fsck', '--strict');
});

test('of eight pushes to one ref at once exactly one wins', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const base = await commitFile(tree, 'base');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const rivals: string[] = [];
  for (let index = 0; index < 8; index += 1) {
    await gitOk(tree, 'checkout', '-q', '-B', `r${index}`, base);
    rivals.push(await commitFile(tree, `f${index}`));
  }
  const results = await Promise.all(rivals.map((rival) => git(tree, 'push', site.gitUrl, `${rival}:refs/heads/main`)));
  assert.equal(results.filter(({ code }) => code === 0).length, 1);
  const winner = rivals[results.findIndex(({ code }) => code === 0)];
  assert.equal(await site.refs(), `${winner} refs/heads/main`);
  for (const { code, stderr } of results) if (code !== 0) assert.match(stderr, /fetch first/);
});

test('of eight pushes that each update one ref of their own and one of all, each own ref is updated', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const base = await commitFile(tree, 'base');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      converse(site, [
        pkt(`${ZERO} ${base} refs/heads/own${index}\0report-status`),
        pkt(`${ZERO} ${base} refs/heads/shared`),
        '0000',
        EMPTY_PACK,
      ]),
    ),
  );
  assert.equal((await site.refs()).split('\n').length, 10);
});

test('a ref changed by git beside the gate between reading and locking makes that push stale only', async (t) => {
  let meddle: (() => Promise<void>) | undefined;
  const site = await openSite(t, { parts: { onCommitStep: (step) => (step === 'logged' ? meddle?.() : undefined) } });
  const tree = await site.workTree();
  const first = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', 'main:other');
  const foreign = await gitOk(tree, 'commit-tree', '-m', 'Foreign', '-p', first, `${first}^{tree}`);
  await gitOk(tree, 'push', '-q', site.repository.path, `${foreign}:refs/keep/foreign`);
  meddle = async () => {
    meddle = undefined;
    await gitOk(site.repository.path, 'update-ref', 'refs/heads/main', foreign, first);
  };
  const second = await commitFile(tree, 'b');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main', 'main:other');
  assert.notEqual(code, 0);
  assert.match(stderr, /main \(the ref has changed since you fetched: fetch first\)/);
  assert.match(await site.refs(), new RegExp(`${foreign} refs/heads/main\n${second} refs/heads/other`));
  assert.deepEqual(site.leftovers(), []);
  assert.deepEqual(readdirSync(logDirectory(site.repository.path)).length, 2);
});

test('a ref that git cannot lock is refused with its reason, the others are updated', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const first = await commitFile(tree, 'a');
  const lock = join(site.repository.path, 'refs/heads/locked.lock');
  await writeFile(lock, '');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main:locked', 'main:free');
  await rm(lock);
  assert.notEqual(code, 0);
  assert.match(stderr, /locked \(git refuses it: .*locked\.lock/);
  assert.equal(await site.refs(), `${first} refs/heads/free`);
  assert.deepEqual(site.leftovers(), []);
});

test('a packed ref is deleted for good', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const first = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', 'main:gone');
  await gitOk(site.repository.path, 'pack-refs', '--all', '--prune');
  await gitOk(tree, 'push', '-q', site.gitUrl, ':gone');
  assert.equal(await site.refs(), `${first} refs/heads/main`);
});

test('a ref that has a log is left to git, which adds to it', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const first = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const log = join(site.repository.path, 'logs/refs/heads/main');
  await mkdir(dirname(log), { recursive: true });
  await writeFile(log, '');
  const second = await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  assert.match(readFileSync(log, 'utf8'), new RegExp(`^${first} ${second} Gatehouse `));
  assert.deepEqual(site.leftovers(), []);
});

test('a push to a branch in packed-refs, its deletion and its return go without a git that writes refs', async (t) => {
  const started: string[] = [];
  const site = await openSite(t, {
    wrapProcesses: (processes) => ({
      start(spec) {
        started.push(spec.subcommand);
        return processes.start(spec);
      },
      get started() {
        return processes.started;
      },
      close: () => processes.close(),
    }),
  });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', 'main:deep/er/gone');
  await gitOk(site.repository.path, 'pack-refs', '--all', '--prune');
  const second = await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', ':deep/er/gone');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:deep');
  assert.equal(await site.refs(), `${second} refs/heads/deep\n${second} refs/heads/main`);
  assert.ok(!started.includes('update-ref'), started.join());
  await gitOk(site.repository.path, 'fsck', '--strict');
});

test('a fault before the commit point leaves everything as it was, and the next push is not disturbed', async (t) => {
  for (const at of ['installed', 'logged', 'prepared'] as const) {
    let failing: CommitStep | undefined;
    const onCommitStep = (step: CommitStep): void => {
      if (step === failing) throw new Fault('internal', 'fault of the test');
    };
    const site = await openSite(t, { parts: { onCommitStep } });
    const tree = await site.workTree();
    await commitFile(tree, 'a');
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
    const before = await site.refs();
    await commitFile(tree, 'b');
    failing = at;
    const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main');
    assert.notEqual(code, 0);
    assert.match(stderr, /gatehouse: internal error \(request request-\d+\)/);
    assert.equal(await site.refs(), before);
    failing = undefined;
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
    assert.deepEqual(site.leftovers(), [], at);
    await gitOk(site.repository.path, 'fsck', '--strict');
  }
});

test('a fault after the commit point is made good by the next push, with a journal line', async (t) => {
  for (const at of ['committed', 'applied', 'synced'] as const) {
    let failing: CommitStep | undefined;
    const onCommitStep = (step: CommitStep): void => {
      if (step === failing) throw new Fault('internal', 'fault of the test');
    };
    const site = await openSite(t, { parts: { onCommitStep } });
    const tree = await site.workTree();
    const first = await commitFile(tree, 'a');
    failing = at;
    const { code } = await git(tree, 'push', site.gitUrl, 'main', 'main:two', 'main:three');
    assert.notEqual(code, 0);
    failing = undefined;
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main:four');
    const names = ['four', 'main', 'three', 'two'].map((name) => `${first} refs/heads/${name}`);
    assert.equal(await site.refs(), names.join('\n'), at);
    const events = (await site.journalLines()).map(({ event, outcome }) => `${event} ${outcome}`);
    assert.ok(events.includes('recover served'), events.join());
    assert.deepEqual(site.leftovers(), [], at);
  }
});

test('a lost answer of the commit point is read back', async (t) => {
  let lose = 0;
  const wrap = (store: Store): Store =>
    changedStore(store, {
      async transact(transaction) {
        const isCommit = transaction.writes.some(({ kind }) => kind === 'repository-state');
        if (isCommit && lose === 1) throw new Fault('internal', 'lost before');
        const result = await store.transact(transaction);
        if (isCommit && lose === 2) throw new Fault('internal', 'lost after');
        return result;
      },
    });
  const inner = await openSite(t);
  const root = inner.root;
  await inner.close();
  const { openSqliteStore } = await import('../../src/store/sqlite.ts');
  const store = wrap(await openSqliteStore({ path: join(root, 'gatehouse.db') }));
  t.after(() => store.close());
  const site = await startSite({ root, parts: { store } });
  t.after(() => site.close());
  const tree = join(root, 'tree');
  await gitOk(root, 'init', '-q', '-b', 'main', tree);
  const first = await commitFile(tree, 'a');
  lose = 1;
  assert.notEqual((await git(tree, 'push', site.gitUrl, 'main')).code, 0);
  assert.equal(await site.refs(), '');
  lose = 2;
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  assert.equal(await site.refs(), `${first} refs/heads/main`);
});

test('a repository destroyed during its push takes nothing', async (t) => {
  const site: Site = await openSite(t, {
    parts: {
      onCommitStep: async (step) => {
        if (step === 'prepared') await site.catalogue.destroy(site.repository);
      },
    },
  });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main');
  assert.notEqual(code, 0);
  assert.match(stderr, /repository is gone/);
});

test('start-up replays what was committed, leaves refs changed beside the gate alone, and removes leftovers', async (t) => {
  const before = await openSite(t);
  const tree = await before.workTree();
  const first = oid(await commitFile(tree, 'a'));
  const second = oid(await commitFile(tree, 'b'));
  await gitOk(
    tree,
    'push',
    '-q',
    before.gitUrl,
    'main',
    'main~1:refs/heads/old',
    'main~1:refs/heads/moved',
    'main:refs/tags/t',
  );
  const { root, repository } = before;
  const update = (name: string, oldOid: Oid, newOid: Oid) => ({ refname: refname(name), oldOid, newOid });
  const zero = zeroOid('sha1');
  const pushers = [{ requestId: 'lost', principal: 'alice', refs: 5 }];
  const pending = { generation: 2, txid: 'ab', prevTxid: 'cd', pushers, packs: [] };
  await writeLogEntry(realDurable, repository.path, {
    ...pending,
    updates: [
      update('refs/heads/old', first, second),
      update('refs/heads/moved', zero, second),
      update('refs/heads/new', zero, first),
      update('refs/tags/t', second, zero),
      // In place when the gate was killed; its lock was not given back yet.
      update('refs/heads/main', first, second),
    ],
  });
  await writeLogEntry(realDurable, repository.path, {
    ...pending,
    generation: 3,
    txid: 'ef',
    pushers: [{ requestId: 'lost', principal: 'alice', refs: 1 }],
    updates: [update('refs/heads/never', zero, first)],
    packs: ['pack-12'],
  });
  const incoming = join(repository.path, 'gatehouse/incoming/left/objects');
  await mkdir(incoming, { recursive: true });
  const locks = ['refs/heads/never', 'refs/heads/old', 'refs/heads/main', 'refs/tags/t', 'packed-refs', 'HEAD'];
  const litter = ['objects/pack/pack-12.keep', ...locks.map((name) => `${name}.lock`)];
  for (const file of litter) await writeFile(join(repository.path, file), 'gatehouse x\n');
  const foreign = join(repository.path, 'objects/pack/pack-34.keep');
  await writeFile(foreign, 'an administrator keeps this\n');
  const value = { generation: 2, txid: 'ab' };
  await before.receive.close();
  const keys = { key: repository.id, put: value };
  await before.store.transact({
    writes: [
      { kind: 'repository-state', ...keys },
      { kind: 'pending', ...keys },
    ],
  });
  await before.close();

  const site = await startSite({ root });
  t.after(() => site.close());
  assert.deepEqual(site.recovery, {
    transactions: 1,
    refsApplied: 3,
    refsStrange: 1,
    failed: [],
    repositories: 1,
    quarantines: 1,
    entries: 1,
    areas: 0,
  });
  const expected = [`${second} refs/heads/main`, `${first} refs/heads/moved`, `${first} refs/heads/new`];
  assert.equal(await site.refs(), [...expected, `${second} refs/heads/old`].join('\n'));
  assert.ok(!existsSync(dirname(incoming)));
  for (const file of litter) assert.ok(!existsSync(join(repository.path, file)), file);
  assert.ok(existsSync(foreign));
  const line = (await site.journalLines()).at(-1);
  assert.equal(line?.event, 'recover');
  assert.equal(line?.outcome, 'faulted');
  assert.equal(await site.store.get('pending', repository.id), undefined);
  assert.equal((await site.receive.recover()).transactions, 0);
});

test('a pending transaction without its log entry is reported, and pushes fail instead of guessing', async (t) => {
  const before = await openSite(t);
  const tree = await before.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', before.gitUrl, 'main');
  const keys = { key: before.repository.id, put: { generation: 2, txid: 'ab' } };
  await before.receive.close();
  await before.store.transact({
    writes: [
      { kind: 'repository-state', ...keys },
      { kind: 'pending', ...keys },
    ],
  });
  await before.close();
  const site = await startSite({ root: before.root });
  t.after(() => site.close());
  assert.deepEqual(site.recovery.failed, ['r']);
  assert.ok(site.logged.some(({ level }) => level === 'error'));
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main:x');
  assert.notEqual(code, 0);
  assert.match(stderr, /internal error/);
});

test('pending transactions leave the store soon, log entries and kept packs too', async (t) => {
  const site = await openSite(t, { parts: { limits: { logEntriesKept: 4 } } });
  const tree = await site.workTree();
  for (let index = 0; index < 9; index += 1) {
    await commitFile(tree, `f${index}`);
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  }
  await site.receive.close();
  assert.deepEqual(await site.store.list('pending'), []);
  assert.ok(readdirSync(logDirectory(site.repository.path)).length <= 6);
  assert.deepEqual(site.leftovers(), []);
});

test("the gate's own commit takes the same way, all or nothing", async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  const first = oid(await commitFile(tree, 'a'));
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const { repository, receive } = site;
  const zero = zeroOid('sha1');
  const one = { refname: refname('refs/heads/one'), oldOid: zero, newOid: first };
  const committed = await receive.commit({ repository, principal: PRINCIPAL, updates: [one] });
  assert.equal(committed.kind, 'committed');
  const two = { ...one, refname: refname('refs/heads/two') };
  const refused = await receive.commit({ repository, principal: PRINCIPAL, updates: [two, one] });
  assert.deepEqual(refused, { kind: 'refused', reason: 'the ref exists already: fetch first' });
  assert.equal(await site.refs(), `${first} refs/heads/main\n${first} refs/heads/one`);
  const entry = await readLogEntry(
    repository,
    committed.kind === 'committed' ? committed : { generation: 0, txid: '' },
  );
  assert.deepEqual(entry.updates, [one]);
});

test('paths reach the policy where a rule asks for them', async (t) => {
  const seen: unknown[] = [];
  const site = await openSite(t, {
    needsPaths: true,
    decide({ operation, ref }) {
      seen.push({ operation, changed: ref?.changed, start: ref?.startTree, target: ref?.targetTree });
      return ALLOW;
    },
  });
  const tree = await site.workTree();
  await commitFile(tree, 'dir/a', 'one\ntwo\nthree\n');
  await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:topic');
  await gitOk(tree, 'mv', 'dir/a', 'dir/c');
  await gitOk(tree, 'rm', '-q', 'b');
  await commitFile(tree, 'd');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:topic');
  await gitOk(tree, 'push', '-q', site.gitUrl, ':topic');
  const none = { added: [], deleted: [], modified: [], renamed: [] };
  assert.deepEqual(seen, [
    { operation: 'create-ref', changed: { ...none, added: ['b', 'dir/a'] }, start: [], target: ['b', 'dir'] },
    {
      operation: 'update-ref',
      changed: { ...none, added: ['d'], deleted: ['b'], renamed: ['dir/a', 'dir/c'] },
      start: ['b', 'dir'],
      target: ['d', 'dir'],
    },
    { operation: 'delete-ref', changed: { ...none, deleted: ['d', 'dir/c'] }, start: ['d', 'dir'], target: [] },
  ]);
});

test('every border of the protocol is passed in order', async (t) => {
  const steps: CommitStep[] = [];
  const site = await openSite(t, { parts: { onCommitStep: (step) => void steps.push(step) } });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  assert.deepEqual(steps, COMMIT_STEPS);
});
