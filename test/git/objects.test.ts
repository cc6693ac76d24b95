import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import {
  bringsMerge,
  changedPaths,
  factsOf,
  isAncestor,
  listTree,
  type ObjectPlace,
  parentsOf,
  readBlob,
  typeOf,
} from '../../src/git/objects.ts';
import type { Oid } from '../../src/git/oid.ts';
import { addCommits, git, initBare, openGround, shareProcesses } from './ground.ts';

const open = shareProcesses();

async function openPlace(format: 'sha1' | 'sha256' = 'sha1'): Promise<ObjectPlace & AsyncDisposable> {
  const ground = await openGround();
  const gitDir = await initBare(join(ground.path, 'r.git'), format);
  return { processes: open.processes, gitDir, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
}

async function treeOf(gitDir: string, files: Readonly<Record<string, string>>): Promise<Oid> {
  const lines: string[] = [];
  for (const [path, text] of Object.entries(files)) {
    lines.push(`100644 blob ${await git(gitDir, ['hash-object', '-w', '--stdin'], text)}\t${path}`);
  }
  return (await git(gitDir, ['mktree', '-z'], lines.map((line) => `${line}\0`).join(''))) as Oid;
}

for (const format of ['sha1', 'sha256'] as const) {
  test(`factsOf answers many names in one process, in order (${format})`, async () => {
    await using place = await openPlace(format);
    const [first = '', second = ''] = await addCommits(place.gitDir, 2);
    const started = open.processes.started;
    const names = [second, 'f'.repeat(first.length), `${second}:file-1`, `${second}^{tree}`, first];
    const facts = await factsOf(place, names);
    assert.deepEqual(
      facts.map((one) => one?.type),
      ['commit', undefined, 'blob', 'tree', 'commit'],
    );
    assert.equal(open.processes.started, started + 1);
    assert.deepEqual(
      [...(await parentsOf(place, [second as Oid, first as Oid]))],
      [
        [second, [first]],
        [first, []],
      ],
    );
    assert.equal(await isAncestor(place, first as Oid, second as Oid), true);
    assert.equal(await isAncestor(place, second as Oid, first as Oid), false);
    assert.equal(await typeOf(place, first), 'commit');
    assert.deepEqual(await factsOf(place, []), []);
  });
}

test('bringsMerge tells whether a merge is among the commits of an update', async () => {
  await using place = await openPlace();
  const [first = '', second = ''] = await addCommits(place.gitDir, 2);
  const tree = await git(place.gitDir, ['rev-parse', `${second}^{tree}`]);
  const commit = async (...parents: readonly string[]): Promise<Oid> =>
    (await git(place.gitDir, ['commit-tree', '-m', 'x', ...parents.flatMap((oid) => ['-p', oid]), tree])) as Oid;
  const side = await commit(first);
  const merge = await commit(second, side);
  const after = await commit(merge);
  const none = '0'.repeat(first.length) as Oid;
  const blob = (await git(place.gitDir, ['hash-object', '-w', '--stdin'], 'x')) as Oid;
  assert.equal(await bringsMerge(place, second as Oid, after), true);
  assert.equal(await bringsMerge(place, merge, after), false);
  assert.equal(await bringsMerge(place, first as Oid, second as Oid), false);
  assert.equal(await bringsMerge(place, after, side), false);
  assert.equal(await bringsMerge(place, none, merge), false);
  assert.equal(await bringsMerge(place, merge, none), false);
  assert.equal(await bringsMerge(place, blob, merge), false);
});

test('a name with a line end cannot ask a second question', async () => {
  await using place = await openPlace();
  const isBadInput = (error: unknown): boolean => error instanceof Fault && error.code === 'bad-input';
  for (const name of ['HEAD\nrefs/heads/x', '', 'a\0b']) await assert.rejects(factsOf(place, [name]), isBadInput);
});

test('readBlob reads bytes as they are, up to a bound', async () => {
  await using place = await openPlace();
  const text = 'one\ntwo\n\n'.repeat(1_000);
  const oid = await git(place.gitDir, ['hash-object', '-w', '--stdin'], text);
  assert.equal(String(await readBlob(place, oid, 9_000)), text);
  const isBadInput = (error: unknown): boolean => error instanceof Fault && error.code === 'bad-input';
  await assert.rejects(readBlob(place, oid, 8_999), isBadInput);
  assert.equal(await readBlob(place, '1'.repeat(40), 10), undefined);
  const tree = await treeOf(place.gitDir, { a: 'x' });
  await assert.rejects(readBlob(place, tree, 1_000), isBadInput);
  assert.equal(String(await readBlob(place, `${tree}:a`, 1_000)), 'x');
});

test('changedPaths tells additions, changes, deletions and renames, whatever the names', async () => {
  await using place = await openPlace();
  const long = Array.from({ length: 100 }, (_, n) => `line ${n}`).join('\n');
  const oldTree = await treeOf(place.gitDir, { 'a\tb': '1', gone: 'gone', moved: long, same: 's', '-x': '1' });
  const newTree = await treeOf(place.gitDir, {
    'a\tb': '2',
    'new\nline': 'n',
    'moved ä': `${long}!`,
    same: 's',
    '-x': '2',
  });
  const changes = await changedPaths(place, oldTree, newTree);
  const shown = changes.map(({ status, path, oldPath }) => [status, path, ...(oldPath ? [oldPath] : [])]);
  assert.deepEqual(
    shown.sort((a, b) => (a.join('') < b.join('') ? -1 : 1)),
    [
      ['added', 'new\nline'],
      ['deleted', 'gone'],
      ['modified', '-x'],
      ['modified', 'a\tb'],
      ['renamed', 'moved ä', 'moved'],
    ],
  );
  assert.deepEqual(await changedPaths(place, newTree, newTree), []);
  const all = await changedPaths(place, undefined, newTree);
  assert.deepEqual(all.map(({ path }) => path).sort(), ['-x', 'a\tb', 'moved ä', 'new\nline', 'same']);
  assert(all.every(({ status, oldMode }) => status === 'added' && oldMode === '000000'));
});

test('listTree lists one level, all levels or one path', async () => {
  await using place = await openPlace();
  const inner = await treeOf(place.gitDir, { x: '1', y: '2' });
  const tree = await git(place.gitDir, ['mktree'], `040000 tree ${inner}\tdir\n`);
  assert.deepEqual(
    (await listTree(place, tree)).map(({ path, type }) => [path, type]),
    [['dir', 'tree']],
  );
  assert.deepEqual(
    (await listTree(place, tree, { recursive: true })).map(({ path }) => path),
    ['dir/x', 'dir/y'],
  );
  assert.deepEqual(
    (await listTree(place, tree, { prefix: 'dir/' })).map(({ path }) => path),
    ['dir/x', 'dir/y'],
  );
  assert.deepEqual(
    (await listTree(place, tree, { prefix: 'dir/x' })).map(({ path }) => path),
    ['dir/x'],
  );
  await assert.rejects(listTree(place, '1'.repeat(40)), (error) => error instanceof Fault && error.code === 'process');
});

test('what lies in a quarantine is seen through it only', async () => {
  await using place = await openPlace();
  await addCommits(place.gitDir, 1);
  const objectDirectory = join(place.gitDir, 'objects/incoming');
  await mkdir(objectDirectory);
  const run = { subcommand: 'hash-object', options: ['-w', '--stdin'], gitDir: place.gitDir, objectDirectory } as const;
  const hashing = await place.processes.start({ ...run, deadlineMs: 30_000 });
  hashing.stdin.end('quarantined');
  assert.equal((await hashing.exit).code, 0);
  const oid = await git('/', ['hash-object', '--stdin'], 'quarantined');
  assert.equal(await typeOf(place, oid), undefined);
  assert.equal(await typeOf({ ...place, objectDirectory }, oid), 'blob');
  assert.equal(await typeOf({ ...place, objectDirectory }, 'refs/heads/main'), 'commit');
});
