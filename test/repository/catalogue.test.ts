/** The life of repositories on a real disk, with git as the witness. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OBJECT_FORMATS } from '../../src/git/oid.ts';
import { BOUNDS } from '../../src/base/bounds.ts';
import { commit, git, must, named, openCatalogue, reasonOf, type Fixture } from './fixture.ts';

/** Every bare repository on disk below the root, wherever it lies. */
function onDisk(root: string): readonly string[] {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => /(?:^|\/)[0-9a-f]{32}\.git$/.test(name)).toSorted();
}

async function addRepository(fixture: Fixture, name: string, owner = 'alice') {
  return must(await fixture.catalogue.create({ name: named(name), owner }));
}

for (const objectFormat of OBJECT_FORMATS) {
  test(`a new ${objectFormat} repository is what git itself would have made`, async (t) => {
    const { catalogue, data } = await openCatalogue(t);
    const repository = must(await catalogue.create({ name: named('team/api'), owner: 'alice', objectFormat }));
    const { path } = repository;
    assert.equal(await git(path, 'fsck', '--strict'), '');
    assert.equal(await git(path, 'rev-parse', '--is-bare-repository', '--show-object-format'), `true\n${objectFormat}`);
    assert.equal(await git(path, 'symbolic-ref', 'HEAD'), 'refs/heads/main');
    const witness = join(data, 'witness.git');
    await git(data, 'init', '-q', '--bare', '--template=', `--object-format=${objectFormat}`, witness);
    for (const key of ['core.bare', 'core.filemode', 'core.repositoryformatversion']) {
      assert.equal(await git(path, 'config', key), await git(witness, 'config', key), key);
    }
    const directories = readdirSync(witness, { recursive: true, encoding: 'utf8' });
    for (const name of directories.filter((name) => !name.startsWith('branches'))) {
      assert.ok(existsSync(join(path, name)), name);
    }
    const oid = await commit(path, 'refs/heads/main', 'first');
    const clone = join(data, 'clone');
    await git(data, 'clone', '-q', path, clone);
    assert.equal(await git(clone, 'rev-parse', 'HEAD'), oid);
    assert.equal(await git(clone, 'rev-parse', '--abbrev-ref', 'HEAD'), 'main');
    assert.equal(await git(path, 'config', 'gatehouse.id'), repository.id);
    assert.equal(await git(path, 'config', 'gatehouse.name'), 'team/api');
    assert.equal(await git(path, 'config', 'gatehouse.owner'), 'alice');
  });
}

test('names nest beside each other; one that differs in case only, or is there, is refused', async (t) => {
  const fixture = await openCatalogue(t);
  const { catalogue } = fixture;
  const inner = await addRepository(fixture, 'a/b');
  const outer = await addRepository(fixture, 'a');
  assert.equal((await catalogue.find(named('a')))?.id, outer.id);
  assert.equal((await catalogue.find(named('a/b')))?.id, inner.id);
  assert.equal(await catalogue.find(named('A')), undefined);
  assert.match(
    reasonOf(await catalogue.create({ name: named('A/b'), owner: 'bob' })),
    /whose name differs from A\/b in case only$/,
  );
  assert.match(reasonOf(await catalogue.create({ name: named('a'), owner: 'bob' })), /already a repository a$/);
  assert.match(reasonOf(await catalogue.rename(inner, named('A'))), /in case only/);
  assert.match(reasonOf(await catalogue.rename(inner, named('a'))), /already/);
  assert.equal(must(await catalogue.rename(inner, named('A/B'))).name, 'A/B', 'its own case may change');
});

test('of fifty creations of one name at once one wins, and no directory is left over', async (t) => {
  const { catalogue, root } = await openCatalogue(t);
  const names = Array.from({ length: 50 }, (_, index) => named(index % 2 === 0 ? 'team/api' : 'Team/API'));
  const results = await Promise.all(names.map((name) => catalogue.create({ name, owner: 'alice' })));
  const winners = results.filter((result) => result.kind === 'ok');
  assert.equal(winners.length, 1);
  assert.equal(onDisk(root).length, 1);
  assert.deepEqual(readdirSync(join(root, '.moving')), []);
});

test('two processes that create one name at once leave one repository and one directory', async (t) => {
  const first = await openCatalogue(t);
  const { Catalogue } = await import('../../src/repository/catalogue.ts');
  const { systemClock } = await import('../../src/base/clock.ts');
  const { store, processes, root } = first;
  const second = new Catalogue({ store, processes, root, clock: systemClock });
  for (let round = 0; round < 5; round += 1) {
    const name = named(`r${round}`);
    const results = await Promise.all([first.catalogue, second].map((each) => each.create({ name, owner: 'alice' })));
    assert.deepEqual(results.map((result) => result.kind).toSorted(), ['ok', 'refused']);
  }
  assert.equal(onDisk(root).length, 5);
});

test('a rename moves no file, keeps what is set and tells the configuration', async (t) => {
  const fixture = await openCatalogue(t);
  const { catalogue, store } = fixture;
  const before = await addRepository(fixture, 'old/name');
  must(await catalogue.setSetting(before, 'readers', 'staff'));
  must(await catalogue.setRules(before, 'allow "x" anybody\n'));
  writeFileSync(
    join(before.path, 'config'),
    `${readFileSync(join(before.path, 'config'), 'utf8')}[site]\n\town = kept\n`,
  );
  const after = must(await catalogue.rename(before, named('new')));
  assert.equal(after.path, before.path);
  assert.deepEqual(after.settings, { readers: ['staff'] });
  assert.equal(after.rules, 'allow "x" anybody\n');
  assert.equal(await catalogue.find(named('old/name')), undefined);
  assert.deepEqual(await catalogue.find(named('new')), after);
  assert.equal(await git(after.path, 'config', 'gatehouse.name'), 'new');
  assert.equal(await git(after.path, 'config', 'site.own'), 'kept');
  assert.equal((await git(after.path, 'config', '--get-all', 'gatehouse.id')).split('\n').length, 1);
  assert.deepEqual(
    (await store.list('repository-fold')).map((entry) => entry.key),
    ['new'],
  );
});

test('the admin repository keeps its name and stays', async (t) => {
  const fixture = await openCatalogue(t);
  const admin = await addRepository(fixture, 'gatehouse-admin');
  assert.match(reasonOf(await fixture.catalogue.rename(admin, named('x'))), /keeps its name/);
  assert.match(reasonOf(await fixture.catalogue.rename(admin, named('Gatehouse-Admin'))), /keeps its name/);
  assert.match(reasonOf(await fixture.catalogue.destroy(admin)), /stays/);
  assert.equal((await fixture.catalogue.find(named('gatehouse-admin')))?.id, admin.id);
});

test('a destroyed repository is out of reach, comes back whole under any free name, and can be purged', async (t) => {
  const fixture = await openCatalogue(t);
  const { catalogue, root, store } = fixture;
  const made = await addRepository(fixture, 'team/api');
  const oid = await commit(made.path, 'refs/heads/main', 'kept');
  must(await catalogue.setSetting(made, 'public', 'on'));
  must(await catalogue.setRules(made, 'rules\n'));
  const buried = must(await catalogue.destroy(made, { by: 'root' }));
  assert.deepEqual([buried.name, buried.owner, buried.destroyedBy], ['team/api', 'alice', 'root']);
  assert.equal(await catalogue.find(named('team/api')), undefined);
  assert.equal(await catalogue.byId(made.id), undefined);
  assert.ok(!existsSync(made.path), 'whoever still has the path finds nothing');
  assert.deepEqual(
    (await catalogue.graveyard()).map((each) => each.id),
    [made.id],
  );
  assert.match(reasonOf(await catalogue.destroy(made)), /meanwhile/);

  await addRepository(fixture, 'TEAM/api');
  assert.match(reasonOf(await catalogue.restore(made.id)), /in case only/);
  assert.ok(!existsSync(made.path), 'a refused restoration leaves it in the graveyard');
  const back = must(await catalogue.restore(made.id, named('team/old')));
  assert.deepEqual(
    [back.name, back.settings, back.rules, back.path],
    ['team/old', { public: 'yes' }, 'rules\n', made.path],
  );
  assert.equal(await git(back.path, 'rev-parse', 'main'), oid);
  assert.equal(await git(back.path, 'config', 'gatehouse.name'), 'team/old');
  assert.match(reasonOf(await catalogue.restore(made.id)), /no such/);

  assert.match(reasonOf(await catalogue.purge(made.id)), /no such/, 'the living are not purged');
  must(await catalogue.destroy(back));
  must(await catalogue.purge(made.id));
  assert.equal(onDisk(root).length, 1);
  assert.deepEqual(await store.list('repository-rules'), []);
  assert.equal((await store.list('repository-owner')).length, 1);
  assert.match(reasonOf(await catalogue.restore(made.id)), /no such/);
});

test('destroy with a version refuses what changed since', async (t) => {
  const fixture = await openCatalogue(t);
  const made = await addRepository(fixture, 'a');
  must(await fixture.catalogue.setDescription(made, 'changed'));
  assert.match(reasonOf(await fixture.catalogue.destroy(made, { version: made.version })), /changed meanwhile/);
  assert.ok(existsSync(made.path));
});

test('settings, description, owner, default branch and rules are changed one at a time, whoever else does', async (t) => {
  const fixture = await openCatalogue(t);
  const { catalogue } = fixture;
  const made = await addRepository(fixture, 'a');
  const groups = Array.from({ length: 40 }, (_, index) => `g${index}`);
  const results = await Promise.all(groups.map((group) => catalogue.setSetting(made, 'readers.*', group)));
  assert.ok(results.every((result) => result.kind === 'ok'));
  assert.deepEqual(
    Array.from((await catalogue.byId(made.id))?.settings['readers'] ?? []).toSorted(),
    groups.toSorted(),
  );
  assert.match((await catalogue.setSetting(made, 'writer', 'x')).warning ?? '', /writers/);
  must(await catalogue.setSetting(made, 'description', 'The API'));
  must(await catalogue.setSetting(made, 'owner', 'bob'));
  must(await catalogue.setSetting(made, 'default-branch', 'trunk'));
  const now = await catalogue.byId(made.id);
  assert.deepEqual([now?.description, now?.owner], ['The API', 'bob']);
  assert.equal(await git(made.path, 'symbolic-ref', 'HEAD'), 'refs/heads/trunk');
  assert.equal(await git(made.path, 'config', 'gatehouse.owner'), 'bob');
  must(await catalogue.setSetting(made, 'default-branch', undefined));
  assert.equal(await git(made.path, 'symbolic-ref', 'HEAD'), 'refs/heads/main');
  must(await catalogue.setRules(made, 'one\n'));
  assert.equal((await catalogue.find(named('a')))?.rules, 'one\n');
  must(await catalogue.setRules(made, 'two\n'));
  assert.equal((await catalogue.find(named('a')))?.rules, 'two\n');
  must(await catalogue.setRules(made, undefined));
  assert.equal((await catalogue.find(named('a')))?.rules, undefined);
  assert.match(reasonOf(await catalogue.setRules(made, 'x'.repeat(BOUNDS.repositoryRulesBytesMax + 1))), /at most/);
  assert.match(reasonOf(await catalogue.setDescription(made, 'a\nb')), /one line/);
  assert.match(reasonOf(await catalogue.setOwner(made, 'a/../b')), /user name/);
});

test('an owner who is not there is refused at creation, hand-over and restoration', async (t) => {
  const fixture = await openCatalogue(t, {
    ownerCheck: async (owner) => (owner === 'alice' ? 'anybody' : undefined),
  });
  const made = await addRepository(fixture, 'a');
  assert.match(reasonOf(await fixture.catalogue.create({ name: named('b'), owner: 'bob' })), /no user bob/);
  assert.match(reasonOf(await fixture.catalogue.setOwner(made, 'bob')), /no user bob/);
  must(await fixture.catalogue.destroy(made));
  assert.match(reasonOf(await fixture.catalogue.restore(made.id, undefined, 'bob')), /no user bob/);
  assert.equal(must(await fixture.catalogue.restore(made.id)).owner, 'alice');
  assert.equal(onDisk(fixture.root).length, 1);
});

test('everything of one owner is handed to another, and the configuration says so', async (t) => {
  const fixture = await openCatalogue(t);
  const { catalogue } = fixture;
  const kept = await addRepository(fixture, 'a');
  const destroyed = await addRepository(fixture, 'b');
  const other = await addRepository(fixture, 'c', 'alice2');
  must(await catalogue.destroy(destroyed));
  await catalogue.handOver({ from: 'alice', to: 'bob' });
  assert.equal((await catalogue.byId(kept.id))?.owner, 'bob');
  assert.equal((await catalogue.buried(destroyed.id))?.owner, 'bob');
  assert.equal((await catalogue.byId(other.id))?.owner, 'alice2');
  assert.equal(await git(kept.path, 'config', 'gatehouse.owner'), 'bob');
});

test('repositories are listed in the order of names, by page and by prefix', async (t) => {
  const fixture = await openCatalogue(t);
  for (const name of ['b', 'a', 'a/z', 'team/api', 'team/web', 'teams']) await addRepository(fixture, name);
  const { catalogue } = fixture;
  const names = async (options: Parameters<typeof catalogue.list>[0]): Promise<readonly string[]> =>
    (await catalogue.list(options)).map((repository) => repository.name);
  assert.deepEqual(await names({}), ['a', 'a/z', 'b', 'team/api', 'team/web', 'teams']);
  assert.deepEqual(await names({ limit: 2 }), ['a', 'a/z']);
  assert.deepEqual(await names({ after: 'a/z', limit: 2 }), ['b', 'team/api']);
  assert.deepEqual(await names({ prefix: 'team/' }), ['team/api', 'team/web']);
  const all: string[] = [];
  for await (const repository of catalogue.all({ prefix: 't' })) all.push(repository.name);
  assert.deepEqual(all, ['team/api', 'team/web', 'teams']);
});

test('gc, fsck and count-objects tell what git says; fsck refuses a damaged repository', async (t) => {
  const fixture = await openCatalogue(t);
  const { catalogue } = fixture;
  const repository = await addRepository(fixture, 'a');
  const oid = await commit(repository.path, 'refs/heads/main', 'first');
  const lines: string[] = [];
  const upkeep = { repository, tell: (line: string) => void lines.push(line) };
  must(await catalogue.gc(upkeep));
  assert.ok(lines.includes('in-pack: 2') && lines.includes('count: 0'), lines.join('\n'));
  assert.equal(await git(repository.path, 'rev-parse', 'main'), oid);
  must(await catalogue.fsck(upkeep));
  must(await catalogue.countObjects(upkeep));
  const loose = await commit(repository.path, 'refs/heads/main', 'second');
  const { chmodSync } = await import('node:fs');
  const file = join(repository.path, 'objects', loose.slice(0, 2), loose.slice(2));
  chmodSync(file, 0o644);
  writeFileSync(file, 'damaged');
  assert.match(reasonOf(await catalogue.fsck(upkeep)), /fsck ended with/);
});
