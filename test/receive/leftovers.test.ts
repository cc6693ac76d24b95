/** Starts that do not look through the repositories: what a crash left is gone before it matters, and nothing else goes. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { parseOid, zeroOid, type Oid } from '../../src/git/oid.ts';
import { parseRefname, type Refname } from '../../src/git/refname.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { writeLogEntry } from '../../src/receive/log-entry.ts';
import { openQuarantine } from '../../src/receive/quarantine.ts';
import { Catalogue } from '../../src/repository/catalogue.ts';
import { check, readRefs } from '../soak/crash-check.ts';
import { pipelineTarget } from '../soak/crash-target.ts';
import { HOLD_ALL, roomyHolding } from './hold-ground.ts';
import { commitFile, git, gitOk, openSite, startSite, type Site } from './site.ts';

function refname(text: string): Refname {
  const parsed = parseRefname(text);
  assert.ok(parsed);
  return parsed;
}

function oid(text: string): Oid {
  const parsed = parseOid(text, 'sha1');
  assert.ok(parsed, text);
  return parsed;
}

const LITTER = [
  'objects/pack/pack-12.keep',
  'refs/heads/main.lock',
  'refs/heads/next.lock',
  'packed-refs.lock',
  'packed-refs.new',
  'HEAD.lock',
];

/** What a gate leaves that is killed between taking git's locks and its commit point. */
async function litter({ repository }: Pick<Site, 'repository'>, tip: Oid): Promise<void> {
  await writeLogEntry(realDurable, repository.path, {
    generation: 2,
    txid: 'ef',
    prevTxid: 'ab',
    pushers: [{ requestId: 'lost', principal: 'alice', refs: 2 }],
    updates: [
      { refname: refname('refs/heads/main'), oldOid: tip, newOid: zeroOid('sha1') },
      { refname: refname('refs/heads/next'), oldOid: zeroOid('sha1'), newOid: tip },
    ],
    packs: ['pack-12'],
  });
  await mkdir(join(repository.path, 'gatehouse/incoming/left/objects/pack'), { recursive: true });
  for (const file of LITTER) await writeFile(join(repository.path, file), 'gatehouse x\n');
}

function littered({ repository }: Pick<Site, 'repository'>): readonly string[] {
  const log = readdirSync(join(repository.path, 'gatehouse/log')).filter((name) => name.endsWith('-ef.json'));
  const files = [...LITTER, 'gatehouse/incoming/left'].filter((file) => existsSync(join(repository.path, file)));
  return [...files, ...log];
}

/** A site with one pushed branch, killed in the middle of the next push, and started again without a sweep. */
async function killed(t: TestContext): Promise<{ readonly site: Site; readonly tree: string; readonly tip: Oid }> {
  const before = await openSite(t);
  const tree = await before.workTree();
  const tip = oid(await commitFile(tree, 'a'));
  await gitOk(tree, 'push', '-q', before.gitUrl, 'main');
  await before.close();
  await litter(before, tip);
  const site = await startSite({ root: before.root, isSwept: false });
  t.after(() => site.close());
  return { site, tree, tip };
}

test('a start looks into no repository: readers see what they saw, and the first push finds no lock in its way', async (t) => {
  const { site, tree, tip } = await killed(t);
  assert.equal(littered(site).length, LITTER.length + 2, 'the start took none of it away');
  assert.equal((await git(tree, 'ls-remote', site.gitUrl)).stdout, `${tip}\trefs/heads/main\n`);
  const foreign = join(site.repository.path, 'objects/pack/pack-34.keep');
  await writeFile(foreign, 'an administrator keeps this\n');
  const next = await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', '--atomic', site.gitUrl, 'main', 'main:refs/heads/next');
  assert.deepEqual(littered(site), []);
  assert.equal(await site.refs(), `${next} refs/heads/main\n${next} refs/heads/next`);
  assert.ok(existsSync(foreign));
  assert.equal((await git(site.repository.path, 'fsck', '--strict')).code, 0);
});

test('upkeep and the sweep find no lock of a dead gate in their way either', async (t) => {
  const { site, tip } = await killed(t);
  const { store, processes, receive, repository } = site;
  const root = join(site.root, 'repositories');
  const makeGood = (asked: typeof repository): Promise<void> => receive.makeGood(asked);
  const catalogue = new Catalogue({ store, processes, root, clock: systemClock, makeGood });
  assert.deepEqual(await catalogue.gc({ repository, tell: () => {} }), { kind: 'ok', value: undefined });
  assert.deepEqual(littered(site), []);
  // Once is enough: whatever comes to lie there from now on may be of this process's own pushes.
  await litter(site, tip);
  const swept = await receive.sweep();
  assert.deepEqual(swept, { repositories: 1, quarantines: 0, entries: 0, areas: 0 });
  assert.equal(littered(site).length, LITTER.length + 2);
});

test('the sweep clears repositories to which nobody pushes, says how much, and ends when the gate closes', async (t) => {
  const { site } = await killed(t);
  assert.deepEqual(await site.receive.sweep(), { repositories: 1, quarantines: 1, entries: 1, areas: 0 });
  assert.deepEqual(littered(site), []);
  void site.receive.sweep();
  await site.receive.close();
});

test('a sweep beside running pushes takes nothing of theirs', async (t) => {
  let site: Site | undefined;
  let swept = 0;
  const sweep = async (): Promise<void> => {
    await site?.receive.sweep();
    swept += 1;
  };
  const sweeps: Promise<void>[] = [];
  const opened = await openSite(t, {
    isSwept: false,
    parts: {
      // In the repository's turn the sweep has to wait; it must not wait for ever, nor the push for it.
      onCommitStep: () => void sweeps.push(sweep()),
      steps: [{ name: 'sweeping', check: async () => (await sweep(), []) }],
    },
  });
  site = opened;
  await using quarantine = await openQuarantine(opened.repository.path, systemClock);
  const tree = await opened.workTree();
  for (const name of ['a', 'b']) {
    await commitFile(tree, name);
    await gitOk(tree, 'push', '-q', opened.gitUrl, 'main');
  }
  await Promise.all(sweeps);
  assert.ok(swept > 8, `${swept} sweeps`);
  assert.ok(existsSync(quarantine.objectDirectory), 'one that is in use stays');
  assert.equal((await git(opened.repository.path, 'fsck', '--strict')).code, 0);
});

for (const [point, isCommitted] of [
  ['logged', false],
  ['prepared', false],
  ['committed', true],
] as const) {
  test(`killed at "${point}" and started without a sweep, refs are whole at once, and the same refs can be pushed`, async (t) => {
    const { root, tree, before, after } = await killAt(t, point);
    const site = await startSite({ root, isSwept: false });
    t.after(() => site.close());
    assert.deepEqual(await readRefs(site.repository.path), isCommitted ? after : before);
    const next = await commitFile(tree, 'c');
    const names = [...after.keys()];
    await gitOk(tree, 'push', '-q', site.gitUrl, ...names.map((name) => `main:${name}`));
    const wanted = new Map(names.map((name) => [name, next]));
    const { repository } = site;
    await site.journal.sync();
    const journalDirectory = join(root, 'journal');
    const found = await check({
      repositoryPath: repository.path,
      journalDirectory,
      before: wanted,
      after: wanted,
      isAcknowledged: true,
    });
    assert.deepEqual(found.problems, []);
  });
}

/** A pipeline in a process of its own that dies at a border of its second push. */
async function killAt(t: TestContext, dieAt: string) {
  const site = await openSite(t);
  const { root } = site;
  const tree = await site.workTree();
  const names = ['refs/heads/main', 'refs/heads/w/1', 'refs/heads/w/2'];
  const first = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, ...names.map((name) => `main:${name}`));
  await site.close();
  const second = await commitFile(tree, 'b');
  const server = await pipelineTarget(t, root).start({ dieAt });
  assert.notEqual((await git(tree, 'push', '-q', server.url, ...names.map((name) => `main:${name}`))).code, 0);
  await server.ended;
  const [before, after] = [first, second].map((tip) => new Map(names.map((name) => [name, tip])));
  assert.ok(before !== undefined && after !== undefined);
  return { root, tree, before, after };
}

/** Ends the process in the middle of writing a file that begins so: the file is there, and empty. */
const DIES_WRITING = `
  import { writeFileSync } from 'node:fs';
  import promises from 'node:fs/promises';
  import { syncBuiltinESMExports } from 'node:module';
  const { writeFile } = promises;
  promises.writeFile = (path, data, options) => {
    if (!String(data).startsWith('gatehouse ')) return writeFile(path, data, options);
    writeFileSync(path, '', options);
    process.kill(process.pid, 'SIGKILL');
  };
  syncBuiltinESMExports();
`;

test('killed while it says whose a kept pack is, a gate leaves no pack kept for ever', async (t) => {
  const site = await openSite(t);
  const { root, repository } = site;
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  await site.close();
  await rm(join(repository.path, 'gatehouse/keep'));
  await commitFile(tree, 'b');
  const server = await pipelineTarget(t, root, DIES_WRITING).start();
  assert.notEqual((await git(tree, 'push', '-q', server.url, 'main')).code, 0);
  await server.ended;
  const again = await startSite({ root });
  t.after(() => again.close());
  assert.equal(again.recovery.quarantines, 1);
  const kept = readdirSync(join(repository.path, 'objects/pack')).filter((name) => name.endsWith('.keep'));
  assert.deepEqual(kept, []);
  await gitOk(tree, 'push', '-q', again.gitUrl, 'main');
  assert.match(readFileSync(join(repository.path, 'gatehouse/keep'), 'utf8'), /^gatehouse /);
});

test('a sweep leaves the objects of a push that is just being held, and of one whose record seemed to fail', async (t) => {
  let fails = false;
  let site: Site | undefined;
  const opened = await openSite(t, { decide: HOLD_ALL });
  const { root } = opened;
  await opened.close();
  const held = await startSite({
    root,
    isSwept: false,
    decide: HOLD_ALL,
    parts: {
      holding: roomyHolding(() => held),
      durable: {
        ...realDurable,
        async syncDirectory(path) {
          await realDurable.syncDirectory(path);
          // The area is there, its record is not.
          if (path.endsWith('gatehouse/held')) await site?.receive.sweep();
        },
      },
      metrics: {
        push: () => {},
        held: () => {
          if (fails) throw new Error('after the record');
        },
      },
    },
  });
  site = held;
  t.after(() => held.close());
  const area = join(held.repository.path, 'gatehouse/held');
  const tree = await held.workTree();
  await commitFile(tree, 'a');
  assert.match((await git(tree, 'push', held.gitUrl, 'main')).stderr, /held for approval as (\w+)/);
  assert.equal(readdirSync(area).length, 1);
  fails = true;
  await commitFile(tree, 'b');
  await git(tree, 'push', held.gitUrl, 'main:refs/heads/other');
  assert.equal((await held.store.list('held')).length, 2);
  await mkdir(join(area, 'nobodys2/objects'), { recursive: true });
  assert.equal((await held.receive.sweep()).areas, 1);
  assert.deepEqual(
    readdirSync(area).toSorted(),
    (await held.store.list('held')).map(({ key }) => key),
  );
});
