/** Crashes at any moment, marks left behind, a store that is older than the disk, and one that is lost. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { Catalogue } from '../../src/repository/catalogue.ts';
import { Layout } from '../../src/repository/layout.ts';
import { foldName } from '../../src/repository/name.ts';
import { ownerKey } from '../../src/repository/ownership.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';
import { commit, git, must, named, openCatalogue } from './fixture.ts';

function directoriesIn(root: string): readonly string[] {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => /(?:^|\/)[0-9a-f]{32}\.git$/.test(name)).toSorted();
}

/** Store and disk say the same, entry by entry. */
async function assertConsistent(catalogue: Catalogue, store: Store, root: string): Promise<void> {
  const expected: string[] = [];
  const owned: string[] = [];
  const names = new Map<string, string>();
  for await (const repository of catalogue.all()) {
    const { id, name, owner, path } = repository;
    expected.push(join(id.slice(0, 2), id.slice(2, 4), `${id}.git`));
    owned.push(ownerKey(owner, id));
    names.set(foldName(name), id);
    assert.equal(await git(path, 'config', 'gatehouse.name'), name);
    assert.equal(await git(path, 'config', 'gatehouse.owner'), owner);
    const branch = repository.settings['default-branch'] ?? 'main';
    assert.equal(await git(path, 'symbolic-ref', 'HEAD'), `refs/heads/${String(branch)}`);
    assert.equal(await git(path, 'fsck', '--full', '--no-dangling'), '');
  }
  for (const buried of await catalogue.graveyard()) {
    expected.push(join('.graveyard', `${buried.id}.git`));
    owned.push(ownerKey(buried.owner, buried.id));
    assert.equal(await git(join(root, '.graveyard', `${buried.id}.git`), 'fsck', '--full', '--no-dangling'), '');
  }
  assert.equal((await store.list('repository')).length, names.size, 'each record has its name');
  const folds = await store.list('repository-fold');
  assert.deepEqual(
    folds.map((fold) => fold.key),
    [...names.keys()].toSorted(),
  );
  assert.deepEqual(
    (await store.list('repository-owner')).map((entry) => entry.key),
    owned.toSorted(),
  );
  assert.deepEqual(directoriesIn(root), expected.toSorted(), 'no directory too many, none missing');
  assert.deepEqual(readdirSync(join(root, '.moving')), []);
}

test('after kill -9 at any step of a life, store and disk agree again', { timeout: 180_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'gatehouse-crash-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const root = join(data, 'repositories');
  // Where to kill: spread over the steps of three lives that run at once.
  for (const [round, steps] of [1, 2, 4, 7, 11, 16, 23, 29].entries()) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-child.ts'), data, `${round}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
    });
    const ended = once(child, 'exit');
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    let seen = 0;
    for await (const _ of createInterface({ input: child.stdout })) {
      seen += 1;
      if (seen === steps) child.kill('SIGKILL');
    }
    const [, signal] = await ended;
    assert.equal(signal, 'SIGKILL', said);
    await recoverAndCheck(data, root);
  }
});

async function recoverAndCheck(data: string, root: string): Promise<void> {
  const store = await openSqliteStore({ path: join(data, 'gatehouse.db') });
  const processes = await startGitProcesses({ isolation: 'off' });
  try {
    const lost: string[] = [];
    const log = (text: string): void => void (text.startsWith('settle') || lost.push(text));
    const catalogue = new Catalogue({ store, processes, root, clock: systemClock, log });
    await catalogue.recover();
    assert.deepEqual(lost, [], 'nothing had to be put aside');
    await assertConsistent(catalogue, store, root);
    assert.equal(await catalogue.recover(), 0);
  } finally {
    await processes.close();
    await store.close();
  }
}

/** As a crash would leave it: the mark is there, the disk is not where the store says. */
async function crashed(t: TestContext) {
  const fixture = await openCatalogue(t);
  const layout = new Layout(fixture.root);
  const made = must(await fixture.catalogue.create({ name: named('a'), owner: 'alice' }));
  const oid = await commit(made.path, 'refs/heads/main', 'first');
  return { ...fixture, layout, made, oid };
}

test('a destruction that was committed and not carried out is carried out', async (t) => {
  const { catalogue, store, layout, made, root } = await crashed(t);
  must(await catalogue.destroy(made));
  renameSync(layout.grave(made.id), made.path);
  await layout.mark({ id: made.id, why: 'destroy' });
  assert.equal(await catalogue.recover(), 1);
  assert.ok(!existsSync(made.path));
  await assertConsistent(catalogue, store, root);
});

test('a restoration that was not committed is undone', async (t) => {
  const { catalogue, store, layout, made, root } = await crashed(t);
  must(await catalogue.destroy(made));
  await layout.mark({ id: made.id, why: 'restore' });
  renameSync(layout.grave(made.id), made.path);
  await catalogue.recover();
  await assertConsistent(catalogue, store, root);
  assert.equal(must(await catalogue.restore(made.id)).path, made.path);
});

test('half a directory of a creation or a purge is removed', async (t) => {
  const { catalogue, store, layout, root } = await crashed(t);
  const half = 'ab'.repeat(16);
  mkdirSync(join(layout.home(half), 'objects', 'pack'), { recursive: true });
  await layout.mark({ id: half, why: 'create' });
  const rest = 'cd'.repeat(16);
  mkdirSync(join(layout.grave(rest), 'objects', '12'), { recursive: true });
  writeFileSync(join(layout.grave(rest), 'objects', '12', 'x'), '');
  await layout.mark({ id: rest, why: 'purge' });
  assert.equal(await catalogue.recover(), 2);
  await assertConsistent(catalogue, store, root);
});

test('data that no record claims is put aside, never removed', async (t) => {
  const { catalogue, layout, made, root, logged } = await crashed(t);
  // A store from an older backup: it has never heard of this repository.
  for (const why of ['create', 'destroy', 'describe'] as const) {
    const id = `${why.length}`.repeat(32).slice(0, 32);
    mkdirSync(dirname(layout.home(id)), { recursive: true });
    cpSync(made.path, layout.home(id), { recursive: true });
    await layout.mark({ id, why });
  }
  assert.equal(await catalogue.recover(), 3);
  const kept = readdirSync(join(root, '.lost'));
  assert.equal(kept.length, 3, kept.join());
  for (const name of kept) assert.match(await git(join(root, '.lost', name), 'log', '--oneline', 'main'), /first/);
  assert.ok(logged.includes('put a repository without a record aside'));
});

test('a mark that is none, and a mark for what is settled, change nothing', async (t) => {
  const { catalogue, store, layout, made, root } = await crashed(t);
  for (const name of ['x', `${'0'.repeat(32)}.nothing`, '../../x.create'.replaceAll('/', '_')]) {
    writeFileSync(join(root, '.moving', name), '');
  }
  for (const why of ['create', 'copy', 'purge', 'restore', 'head'] as const) await layout.mark({ id: made.id, why });
  assert.equal(await catalogue.recover(), 5);
  assert.equal(await git(made.path, 'log', '--format=%s', 'main'), 'first');
  for (const name of readdirSync(join(root, '.moving'))) rmSync(join(root, '.moving', name));
  await assertConsistent(catalogue, store, root);
});

test('rebuild brings back names, owners and the graveyard, reports what it cannot, and opens nothing', async (t) => {
  const before = await openCatalogue(t);
  const living = must(
    await before.catalogue.create({ name: named('team/api'), owner: 'alice', objectFormat: 'sha256' }),
  );
  must(await before.catalogue.setSetting(living, 'public', 'yes'));
  const destroyed = must(await before.catalogue.create({ name: named('old'), owner: 'bob' }));
  must(await before.catalogue.destroy(destroyed));
  const twin = must(await before.catalogue.create({ name: named('twin'), owner: 'bob' }));
  const nameless = must(await before.catalogue.create({ name: named('nameless'), owner: 'bob' }));
  writeFileSync(
    join(nameless.path, 'config'),
    '[core]\n\tbare = true\n[gatehouse]\n\tid = other\n\tname = ../x\n\towner = a\n',
  );

  const after = await openCatalogue(t);
  cpSync(before.root, after.root, { recursive: true });
  must(await after.catalogue.create({ name: named('TWIN'), owner: 'alice' }));
  const report = await after.catalogue.rebuild();
  assert.deepEqual(
    report.adopted.map((each) => [each.id, each.name, each.owner, each.objectFormat]),
    [[living.id, 'team/api', 'alice', 'sha256']],
  );
  assert.deepEqual(report.buried, [destroyed.id]);
  assert.equal(report.problems.length, 2);
  assert.ok(report.problems.some((problem) => problem.includes(twin.id) && problem.includes('in case only')));
  assert.ok(report.problems.some((problem) => problem.includes(nameless.id)));
  assert.deepEqual((await after.catalogue.find(named('team/api')))?.settings, {}, 'not public');
  assert.equal(must(await after.catalogue.restore(destroyed.id)).name, 'old');
  const again = await after.catalogue.rebuild();
  assert.deepEqual([again.adopted, again.buried, again.problems.length], [[], [], 2]);
});
