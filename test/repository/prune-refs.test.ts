/** Loose refs that upkeep removes, while others change, delete and lock refs beside it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pruneLooseRefs } from '../../src/repository/prune-refs.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { commit, git, must, named, openCatalogue, type Fixture } from './fixture.ts';

interface Kept extends Fixture {
  readonly repository: Repository;
  readonly path: string;
  /** What upkeep said. */
  readonly said: readonly string[];
  readonly roll: () => Promise<void>;
}

async function keep(t: TestContext): Promise<Kept> {
  const fixture = await openCatalogue(t);
  const repository = must(await fixture.catalogue.create({ name: named('kept'), owner: 'root1' }));
  const said: string[] = [];
  const roll = async (): Promise<void> =>
    must(await fixture.catalogue.roll({ repository, tell: (line) => void said.push(line) }));
  return { ...fixture, repository, path: repository.path, said, roll };
}

test('only what stands in packed-refs with the same value goes', async (t) => {
  const { repository, path } = await keep(t);
  const old = await commit(path, 'refs/heads/same', 'one');
  for (const refname of ['refs/heads/changed', 'refs/heads/held', 'refs/heads/deep/down/below', 'refs/custom/one'])
    await git(path, 'update-ref', refname, old);
  await git(path, 'pack-refs', '--all', '--no-prune');
  const changed = await commit(path, 'refs/heads/changed', 'two');
  await git(path, 'update-ref', 'refs/heads/later', old);
  await git(path, 'symbolic-ref', 'refs/heads/symbolic', 'refs/heads/same');
  writeFileSync(join(path, 'refs/heads/held.lock'), '');
  // A link to a directory is not followed, whatever lies there.
  mkdirSync(join(path, 'elsewhere'));
  writeFileSync(join(path, 'elsewhere/down'), `${old}\n`);
  symlinkSync(join(path, 'elsewhere'), join(path, 'refs/heads/link'));
  writeFileSync(
    join(path, 'packed-refs'),
    `${readFileSync(join(path, 'packed-refs'), 'utf8')}${old} refs/heads/link/down\n`,
  );
  assert.equal(await pruneLooseRefs(repository), true);
  const isLoose = (refname: string): boolean => existsSync(join(path, refname));
  for (const refname of ['refs/heads/same', 'refs/heads/deep', 'refs/custom/one'])
    assert.equal(isLoose(refname), false, refname);
  for (const refname of [
    'refs/heads/changed',
    'refs/heads/later',
    'refs/heads/symbolic',
    'refs/heads/held',
    'refs/heads',
  ])
    assert.equal(isLoose(refname), true, refname);
  assert.ok(existsSync(join(path, 'refs/heads/held.lock')));
  assert.ok(existsSync(join(path, 'elsewhere/down')));
  assert.equal(await git(path, 'rev-parse', 'refs/heads/same'), old);
  assert.equal(await git(path, 'rev-parse', 'refs/heads/changed'), changed);
});

test('a lock that a killed gate left goes with the next upkeep, and nobody else’s does', async (t) => {
  const { path, roll, said } = await keep(t);
  const oid = await commit(path, 'refs/heads/mine', 'one');
  await git(path, 'update-ref', 'refs/heads/theirs', oid);
  writeFileSync(join(path, 'refs/heads/mine.lock'), 'gatehouse upkeep\n');
  writeFileSync(join(path, 'refs/heads/theirs.lock'), `${oid}\n`);
  await roll();
  assert.equal(existsSync(join(path, 'refs/heads/mine.lock')), false);
  assert.ok(existsSync(join(path, 'refs/heads/theirs.lock')));
  assert.deepEqual(said, []);
  await commit(path, 'refs/heads/mine', 'two');
});

test('rolls beside changes and deletions lose no ref, bring none back, and do not complain', async (t) => {
  const { path, roll, said } = await keep(t);
  const first = await commit(path, 'refs/heads/base', 'one');
  const second = await commit(path, 'refs/heads/base', 'two');
  const lanes = { isOver: false };
  const lane = async (number: number): Promise<void> => {
    const refname = `refs/heads/lane/${number}`;
    // The same value again after a deletion: what was packed before proves nothing about it.
    for (const value of [first, second, undefined, first, undefined, first, undefined, second, undefined, second]) {
      await (value === undefined ? git(path, 'update-ref', '-d', refname) : git(path, 'update-ref', refname, value));
      const found = await git(path, 'for-each-ref', '--format=%(objectname)', refname);
      assert.equal(found, value ?? '', refname);
    }
  };
  const rolling = (async () => {
    while (!lanes.isOver) await roll();
  })();
  try {
    await Promise.all([0, 1, 2, 3].map((number) => lane(number)));
  } finally {
    lanes.isOver = true;
    await rolling;
  }
  await roll();
  const all = await git(path, 'for-each-ref', '--format=%(objectname) %(refname)', 'refs/heads/lane');
  assert.deepEqual(
    all.split('\n'),
    [0, 1, 2, 3].map((number) => `${second} refs/heads/lane/${number}`),
  );
  assert.deepEqual(said, []);
});

test('a ref that was deleted and made again while others were pruned is not taken for the packed one', async (t) => {
  const { repository, path } = await keep(t);
  const oid = await commit(path, 'refs/heads/b0', 'one');
  const names = Array.from({ length: 2_000 }, (_none, index) => `b${index}`).toSorted();
  for (const name of names) writeFileSync(join(path, 'refs/heads', name), `${oid}\n`);
  await git(path, 'pack-refs', '--all', '--no-prune');
  const packed = readFileSync(join(path, 'packed-refs'), 'utf8').split('\n');
  let pruned: readonly string[] = [];
  const pruning = { isOver: false };
  const ended = pruneLooseRefs(repository).finally(() => (pruning.isOver = true));
  while (!pruning.isOver && pruned.length === 0) {
    await new Promise(setImmediate);
    const loose = new Set(readdirSync(join(path, 'refs/heads')));
    if (loose.size === names.length) continue;
    pruned = names.filter((name) => !loose.has(name));
    // All that are loose still go from packed-refs, and have new loose files with the old value.
    const rest = packed.filter((line) => !loose.has(line.slice(line.lastIndexOf('/') + 1)));
    writeFileSync(join(path, 'packed-refs.new'), rest.join('\n'));
    renameSync(join(path, 'packed-refs.new'), join(path, 'packed-refs'));
  }
  assert.equal(await ended, true);
  assert.ok(pruned.length > 0 && pruned.length < names.length, `${pruned.length} were pruned before the change`);
  assert.equal((await git(path, 'for-each-ref', '--format=%(refname)')).split('\n').length, names.length);
});

test('without packed-refs, or where they cannot be read as such, nothing goes', async (t) => {
  const { repository, path } = await keep(t);
  const oid = await commit(path, 'refs/heads/main', 'one');
  assert.equal(await pruneLooseRefs(repository), true);
  assert.ok(existsSync(join(path, 'refs/heads/main')));
  writeFileSync(join(path, 'packed-refs'), `${oid} refs/heads/main\nhalf a li`);
  await assert.rejects(pruneLooseRefs(repository), /malformed/);
  assert.ok(existsSync(join(path, 'refs/heads/main')));
});
