/** Pushes that share a turn in which something goes wrong: before, at or behind their commit point. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { Fault } from '../../src/base/fault.ts';
import type { Oid } from '../../src/git/oid.ts';
import { parseRefname } from '../../src/git/refname.ts';
import { Committer } from '../../src/receive/commit.ts';
import type { Committed } from '../../src/receive/commit-request.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { logDirectory, writeLogEntry } from '../../src/receive/log-entry.ts';
import { recover } from '../../src/receive/recovery.ts';
import { Update } from '../../src/receive/update.ts';
import { gitOk } from './site.ts';
import { lineOf, lines, names, open, packOf, ZERO, type Ground } from './turn-ground.ts';
import { changedStore } from './changed-store.ts';
import type { Store } from '../../src/store/store.ts';

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
  const wrapped = (store: Store): Store =>
    changedStore(store, {
      get: async (kind, key) => {
        if (isDown) throw new Fault('internal', 'store is down');
        return store.get(kind, key);
      },
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
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'rejected'],
  );
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
