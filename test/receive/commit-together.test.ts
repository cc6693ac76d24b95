/** Pushes that wait for one repository's turn commit together: each keeps its verdict, its line and its fate. */
import assert from 'node:assert/strict';
import { writeFile, rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import type { Committed, CommitRequest } from '../../src/receive/commit-request.ts';
import { logDirectory, readLogEntry } from '../../src/receive/log-entry.ts';
import { parseState } from '../../src/receive/state.ts';
import { commitFile, git, gitOk, openSite } from './site.ts';
import { lines, names, open, packOf, ZERO } from './turn-ground.ts';

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
