/** Copies: independent of their source, whole, and holding nothing that was not to be seen. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OBJECT_FORMATS } from '../../src/git/oid.ts';
import { commit, git, must, named, openCatalogue, reasonOf } from './fixture.ts';

for (const objectFormat of OBJECT_FORMATS) {
  test(`a ${objectFormat} copy holds every ref and object, shares no file, and outlives its source`, async (t) => {
    const { catalogue } = await openCatalogue(t);
    const source = must(
      await catalogue.create({ name: named('a'), owner: 'alice', objectFormat, description: 'The A' }),
    );
    must(await catalogue.setSetting(source, 'readers', 'staff'));
    must(await catalogue.setSetting(source, 'default-branch', 'trunk'));
    const packed = await commit(source.path, 'refs/heads/trunk', 'packed');
    await git(source.path, 'gc', '-q');
    const loose = await commit(source.path, 'refs/heads/topic', 'loose');
    await git(source.path, 'tag', '-a', '-m', 'tag', 'v1', loose);
    await git(source.path, 'update-ref', 'refs/notes/x', loose);
    await git(source.path, 'update-ref', 'refs/gatehouse/internal', loose);

    const copy = must(await catalogue.copy(source, { to: named('b'), owner: 'bob' }));

    assert.deepEqual([copy.owner, copy.description, copy.objectFormat], ['bob', 'The A', objectFormat]);
    assert.deepEqual(copy.settings, { 'copied-from': 'a', 'default-branch': 'trunk' }, 'nobody may read it yet');
    assert.equal(await git(copy.path, 'config', 'gatehouse.id'), copy.id);
    must(await catalogue.destroy(source));
    must(await catalogue.purge(source.id));
    assert.equal(await git(copy.path, 'fsck', '--full', '--strict'), '');
    assert.equal(await git(copy.path, 'rev-parse', 'HEAD', 'topic', 'v1^{}'), [packed, loose, loose].join('\n'));
    const refs = await git(copy.path, 'for-each-ref', '--format=%(refname)');
    assert.deepEqual(refs.split('\n'), ['refs/heads/topic', 'refs/heads/trunk', 'refs/notes/x', 'refs/tags/v1']);
    const packs = join(copy.path, 'objects', 'pack');
    for (const name of readdirSync(packs)) assert.equal(statSync(join(packs, name)).nlink, 1, name);
    assert.ok(!existsSync(join(copy.path, 'objects', 'info', 'alternates')));
  });
}

test('an empty repository is copied, with its default branch', async (t) => {
  const { catalogue } = await openCatalogue(t);
  const source = must(
    await catalogue.create({ name: named('a'), owner: 'alice', settings: { 'default-branch': 'x' } }),
  );
  const copy = must(await catalogue.copy(source, { to: named('b'), owner: 'bob' }));
  assert.equal(await git(copy.path, 'symbolic-ref', 'HEAD'), 'refs/heads/x');
  assert.equal(await git(copy.path, 'fsck'), '');
});

test('what the asker may not see, and what was pushed away, is not in the copy', async (t) => {
  const { catalogue } = await openCatalogue(t);
  const source = must(await catalogue.create({ name: named('a'), owner: 'alice' }));
  const open = await commit(source.path, 'refs/heads/main', 'open');
  const secret = await commit(source.path, 'refs/heads/secret', 'secret');
  const gone = await commit(source.path, 'refs/heads/gone', 'gone');
  await git(source.path, 'repack', '-adq');
  await git(source.path, 'update-ref', '-d', 'refs/heads/gone');
  const mayRead = (refname: string): boolean => refname !== 'refs/heads/secret';
  const copy = must(await catalogue.copy(source, { to: named('b'), owner: 'bob', mayRead }));
  assert.equal(await git(copy.path, 'cat-file', '-t', open), 'commit');
  for (const oid of [secret, gone]) await assert.rejects(git(copy.path, 'cat-file', '-t', oid), oid);
});

test('a copy that fails or is refused leaves neither name nor directory', async (t) => {
  const { catalogue, root } = await openCatalogue(t);
  const source = must(await catalogue.create({ name: named('a'), owner: 'alice' }));
  const oid = await commit(source.path, 'refs/heads/main', 'first');
  assert.match(reasonOf(await catalogue.copy(source, { to: named('A'), owner: 'bob' })), /in case only/);
  mkdirSync(join(source.path, 'objects', 'info'), { recursive: true });
  writeFileSync(join(source.path, 'objects', 'info', 'alternates'), '/etc\n');
  assert.match(reasonOf(await catalogue.copy(source, { to: named('b'), owner: 'bob' })), /borrows/);
  rmSync(join(source.path, 'objects', 'info', 'alternates'));
  rmSync(join(source.path, 'objects', oid.slice(0, 2), oid.slice(2)));
  await assert.rejects(catalogue.copy(source, { to: named('b'), owner: 'bob' }), 'a missing object is found');
  const aborted = { to: named('b'), owner: 'bob', signal: AbortSignal.abort() };
  await assert.rejects(catalogue.copy(source, aborted));
  assert.equal(await catalogue.find(named('b')), undefined);
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  assert.equal(names.filter((name) => name.endsWith('.git')).length, 1);
  assert.deepEqual(readdirSync(join(root, '.moving')), []);
});

/** git may lose an object directory to a repack that finds it empty: then it is asked again. */
async function commitBeside(path: string, name: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await commit(path, `refs/heads/${name}`, name);
      return;
    } catch (error) {
      if (attempt === 20 || !String(error).includes('unable to create temporary file')) throw error;
    }
  }
}

test('twenty copies while the source is pushed to and collected are all whole', async (t) => {
  const { catalogue } = await openCatalogue(t);
  const source = must(await catalogue.create({ name: named('a'), owner: 'alice' }));
  for (let count = 0; count < 5; count += 1) await commit(source.path, `refs/heads/b${count}`, `${count}`);
  const pushing = (async () => {
    for (let count = 0; count < 15; count += 1) await commitBeside(source.path, `p${count}`);
  })();
  const collecting = (async () => {
    // Behind the gate's back, so that no turn protects the copies.
    for (let count = 0; count < 5; count += 1) await git(source.path, 'repack', '-adq');
  })();
  const copies = [];
  for (let count = 0; count < 20; count += 1) {
    copies.push(must(await catalogue.copy(source, { to: named(`c${count}`), owner: 'bob' })));
  }
  await Promise.all([pushing, collecting]);
  for (const copy of copies) assert.equal(await git(copy.path, 'fsck', '--full', '--connectivity-only'), '');
});
