/** Many repositories like one, half of them made on another thread. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SkeletonMaker } from '../../src/gitolite/skeleton-maker.ts';
import { Skeleton } from '../../src/gitolite/skeleton.ts';
import { workspace } from '../support/workspace.ts';

const UMASK = 0o077;

function ground(t: TestContext): { readonly root: string; readonly skeleton: Skeleton } {
  const root = workspace(t);
  const first = join(root, 'first');
  mkdirSync(join(first, 'refs/heads'), { recursive: true });
  writeFileSync(join(first, 'HEAD'), 'ref: refs/heads/main\n');
  writeFileSync(join(first, 'config'), '[core]\n');
  const skeleton = Skeleton.of(first);
  assert.ok(skeleton);
  return { root, skeleton };
}

function names(root: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_none, index) => join(root, `deep/${index % 7}/r${index}.git`));
}

for (const count of [3, 128, 401])
  test(`${count} repositories are made like the first`, async (t) => {
    const { root, skeleton } = ground(t);
    await using maker = new SkeletonMaker(skeleton);
    const paths = names(root, count);
    await maker.make(paths, { umask: UMASK });
    for (const path of paths) {
      assert.deepEqual(readdirSync(path, { recursive: true }).map(String).sort(), [
        'HEAD',
        'config',
        'refs',
        'refs/heads',
      ]);
      assert.equal(readFileSync(join(path, 'HEAD'), 'utf8'), 'ref: refs/heads/main\n');
      assert.equal(statSync(path).mode & 0o777, 0o700);
    }
    assert.equal(statSync(join(root, 'deep')).mode & 0o777, 0o700, 'directories above them as well');
  });

test('where one cannot be made it says so, whichever thread it was for', async (t) => {
  for (const bad of [0, 200]) {
    const { root, skeleton } = ground(t);
    await using maker = new SkeletonMaker(skeleton);
    const paths = names(root, 201);
    mkdirSync(join(root, `deep/${bad % 7}`), { recursive: true });
    writeFileSync(paths[bad] ?? '', 'in the way');
    await assert.rejects(maker.make(paths, { umask: UMASK }), { code: 'EEXIST' });
  }
});
