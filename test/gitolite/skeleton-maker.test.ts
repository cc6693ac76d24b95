/** Many repositories like one, made on two threads. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SkeletonMaker } from '../../src/gitolite/skeleton-maker.ts';
import { Skeleton, type NewRepository } from '../../src/gitolite/skeleton.ts';
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

/** Every third has no sentinel. */
function repositories(root: string, count: number): readonly NewRepository[] {
  return Array.from({ length: count }, (_none, index) => ({
    path: join(root, `deep/${index % 7}/r${index}.git`),
    sentinel: index % 3 === 0 ? undefined : `of ${index}`,
  }));
}

for (const count of [3, 128, 401])
  test(`${count} repositories are made like the first`, async (t) => {
    const { root, skeleton } = ground(t);
    await using maker = new SkeletonMaker(skeleton);
    const wanted = repositories(root, count);
    let calls = 0;
    await maker.make(wanted, { umask: UMASK }, () => {
      calls += 1;
    });
    assert.equal(calls, 1);
    for (const { path, sentinel } of wanted) {
      assert.deepEqual(readdirSync(path, { recursive: true }).map(String).sort(), [
        'HEAD',
        'config',
        ...(sentinel === undefined ? [] : ['gl-conf']),
        'refs',
        'refs/heads',
      ]);
      assert.equal(readFileSync(join(path, 'HEAD'), 'utf8'), 'ref: refs/heads/main\n');
      assert.equal(statSync(path).mode & 0o777, 0o700);
      if (sentinel === undefined) continue;
      assert.equal(readFileSync(join(path, 'gl-conf'), 'utf8'), sentinel);
      assert.equal(statSync(join(path, 'gl-conf')).mode & 0o777, 0o600);
    }
    assert.equal(statSync(join(root, 'deep')).mode & 0o777, 0o700, 'directories above them as well');
  });

test('where one cannot be made it says so, whichever thread it was for', async (t) => {
  for (const bad of [0, 200]) {
    const { root, skeleton } = ground(t);
    await using maker = new SkeletonMaker(skeleton);
    const wanted = repositories(root, 201);
    mkdirSync(join(root, `deep/${bad % 7}`), { recursive: true });
    writeFileSync(wanted[bad]?.path ?? '', 'in the way');
    await assert.rejects(maker.make(wanted, { umask: UMASK }), { code: 'EEXIST' });
  }
});
