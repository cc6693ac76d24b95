import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { SiteCatalogue } from '../../src/gitolite/site-catalogue.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { workspace } from '../support/workspace.ts';
import { newGround } from './ground.ts';

interface Place {
  readonly catalogue: SiteCatalogue;
  readonly path: (name: string) => string;
  readonly make: (name: string, ...options: readonly string[]) => void;
}

async function place(t: TestContext): Promise<Place> {
  const ground = await newGround();
  t.after(() => ground[Symbol.asyncDispose]());
  const store = await openSqliteStore({ path: join(workspace(t), 'store.db'), create: true });
  t.after(() => store.close());
  const rc = () => ground.site.rc({});
  const { repositoryBase } = await rc();
  const path = (name: string): string => join(repositoryBase, `${name}.git`);
  return {
    catalogue: new SiteCatalogue({ site: ground.site, rc, store, clock: systemClock, log: () => {} }),
    path,
    make(name, ...options) {
      execFileSync('git', ['init', '-q', '--bare', ...options, path(name)], { env: { ...process.env, ...ground.env } });
    },
  };
}

test('a repository is what lies at its name, with the object format of its configuration', async (t) => {
  const { catalogue, make } = await place(t);
  make('old');
  make('new', '--object-format=sha256');
  assert.equal((await catalogue.find('old'))?.objectFormat, 'sha1');
  assert.equal((await catalogue.find('new'))?.objectFormat, 'sha256');
  assert.equal(await catalogue.find('none'), undefined);
});

test('what the files beside it say is seen at the next look, and changes its version', async (t) => {
  const { catalogue, make, path } = await place(t);
  make('wild');
  const before = await catalogue.find('wild');
  writeFileSync(join(path('wild'), 'gl-creator'), 'ann');
  writeFileSync(join(path('wild'), 'gl-perms'), 'READERS bob\n');
  const after = await catalogue.find('wild');
  assert.equal(after?.owner, 'ann');
  assert.equal(after?.conf?.permissions, 'READERS bob\n');
  assert.equal(after?.id, before?.id);
  assert.notEqual(after?.version, before?.version);
});

test('an id is written once, beside what the configuration holds already', async (t) => {
  const { catalogue, make, path } = await place(t);
  make('one');
  writeFileSync(join(path('one'), 'config'), '[gitweb]\n\towner = ann # she\n', { flag: 'a' });
  const ids = await Promise.all(Array.from({ length: 8 }, async () => (await catalogue.find('one'))?.id));
  assert.equal(new Set(ids).size, 1);
  const config = readFileSync(join(path('one'), 'config'), 'utf8');
  assert.match(config, /owner = ann # she/);
  assert.equal(config.match(/\[gatehouse\]/g)?.length, 1);
});

test('a move keeps the id, a copy gets another, and so does the copy that is seen first', async (t) => {
  const { catalogue, make, path } = await place(t);
  make('one');
  const one = await catalogue.find('one');
  renameSync(path('one'), path('two'));
  assert.equal((await catalogue.find('two'))?.id, one?.id);
  assert.equal((await catalogue.byId(one?.id ?? ''))?.name, 'two');
  cpSync(path('two'), path('three'), { recursive: true });
  const three = await catalogue.find('three');
  assert.notEqual(three?.id, one?.id);
  assert.equal((await catalogue.find('two'))?.id, one?.id);
  // Nobody has seen the move when somebody asks for the id.
  renameSync(path('three'), path('four'));
  assert.equal((await catalogue.byId(three?.id ?? ''))?.name, 'four');
});

test('what is removed is gone, by name and by id', async (t) => {
  const { catalogue, make, path } = await place(t);
  make('one');
  const one = await catalogue.find('one');
  rmSync(path('one'), { recursive: true });
  assert.equal(await catalogue.find('one'), undefined);
  assert.equal(await catalogue.byId(one?.id ?? ''), undefined);
  make('one');
  assert.notEqual((await catalogue.find('one'))?.id, one?.id);
});

test('two names that lead to one place share its id, and the place is told without links', async (t) => {
  const { catalogue, make, path } = await place(t);
  make('one');
  symlinkSync(path('one'), path('link'));
  const [one, link] = [await catalogue.find('one'), await catalogue.find('link')];
  assert.equal(link?.id, one?.id);
  assert.equal(link?.path, one?.path);
  assert.equal(link?.name, 'link');
});

test('the list has what was pushed to through the gate, page by page in the order of names', async (t) => {
  const { catalogue, make, path } = await place(t);
  for (const name of ['c', 'a', 'b', 'unseen']) make(name);
  for (const name of ['c', 'a', 'b']) await catalogue.find(name);
  for (const name of ['c', 'b']) mkdirSync(join(path(name), 'gatehouse'));
  const first = await catalogue.list({ limit: 1 });
  assert.deepEqual(
    first.map(({ name }) => String(name)),
    ['b'],
  );
  const second = await catalogue.list({ limit: 1, after: 'b' });
  assert.deepEqual(
    second.map(({ name }) => String(name)),
    ['c'],
  );
  assert.deepEqual(await catalogue.list({ limit: 1, after: 'c' }), []);
});
