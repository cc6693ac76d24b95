/** What lies in a site's repositories, and which there are: remembered, and never out of date. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { isDiskName, RepositoryFiles, writeText } from '../../src/gitolite/disk.ts';
import { PhysicalRepositories } from '../../src/gitolite/physical.ts';
import { newGround } from './ground.ts';

/** Long after everything on disk was changed, so that what is read is remembered. */
const LATER = { now: () => Date.now() + 60_000 };

suite('files of a repository', () => {
  test('are read again once somebody changed them, however that was done', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const { run } = await ground.newRun();
    const files = new RepositoryFiles(LATER);
    const path = join(ground.home, 'repositories/testing.git');
    const look = (): readonly unknown[] => {
      const { creator, permissions, groups, isHooked, exists } = files.read(run.rc, 'testing');
      return [creator, permissions, groups?.join(' ') ?? '', isHooked, exists];
    };
    assert.deepEqual(look(), ['', '', '', true, true]);
    assert.deepEqual(look(), ['', '', '', true, true]);
    writeText(`${path}/gl-creator`, 'ada\n', run.rc);
    writeFileSync(`${path}/gl-perms`, 'READERS bob\n');
    assert.deepEqual(look(), ['ada', 'READERS bob\n', '', true, true]);
    writeFileSync(`${path}/gl-perms`, 'READERS eve and bob\n');
    writeFileSync(`${path}/gl-repo-groups`, 'BASE  @more');
    assert.deepEqual(look(), ['ada', 'READERS eve and bob\n', 'BASE @more', true, true]);
    rmSync(`${path}/gl-creator`);
    rmSync(`${path}/hooks/update`);
    assert.deepEqual(look(), ['', 'READERS eve and bob\n', 'BASE @more', false, true]);
    symlinkSync('/elsewhere/update', `${path}/hooks/update`);
    assert.equal(look()[3], false);
    renameSync(path, `${path}.away`);
    assert.deepEqual(look(), ['', '', '', false, false]);
  });

  test('are looked for under names only', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const { run } = await ground.newRun();
    mkdirSync(join(ground.home, 'outside.git'));
    for (const name of ['../outside', '@testing', 'test.*', 'testing/', 'x/../testing', 'testing.git', '', 'a\nb']) {
      assert.equal(isDiskName(name), false, name);
      assert.equal(new RepositoryFiles(LATER).read(run.rc, name).exists, false, name);
    }
  });
});

suite('the repositories on disk', () => {
  test('are listed again once one came, went or moved, at any depth', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const { run } = await ground.newRun();
    const physical = new PhysicalRepositories(LATER);
    const base = join(ground.home, 'repositories');
    const list = (): Promise<readonly string[]> => physical.list(run.rc);
    assert.deepEqual(await list(), ['gitolite-admin', 'testing']);
    mkdirSync(join(base, 'a/b/c.git/d.git'), { recursive: true });
    mkdirSync(join(base, 'tree/.git'), { recursive: true });
    assert.deepEqual(await list(), ['a/b/c', 'gitolite-admin', 'testing']);
    mkdirSync(join(base, 'a/b/e.git'));
    renameSync(join(base, 'testing.git'), join(base, 'a/testing.git'));
    assert.deepEqual(await list(), ['a/b/c', 'a/b/e', 'a/testing', 'gitolite-admin']);
    rmSync(join(base, 'a'), { recursive: true });
    assert.deepEqual(await list(), ['gitolite-admin']);
  });

  test('behind links to folders are listed where the settings follow them', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const { run } = await ground.newRun();
    mkdirSync(join(ground.home, 'more/one.git'), { recursive: true });
    symlinkSync('../more', join(ground.home, 'repositories/more'));
    symlinkSync('../more/one.git', join(ground.home, 'repositories/linked.git'));
    const names = ['gitolite-admin', 'linked', 'testing'];
    assert.deepEqual(await new PhysicalRepositories(LATER).list(run.rc), names);
    const rc = { ...run.rc, values: { ...run.rc.values, REPO_SYMLINKS: '-L' } };
    assert.deepEqual(await new PhysicalRepositories(LATER).list(rc), [...names, 'more/one'].sort());
  });
});
