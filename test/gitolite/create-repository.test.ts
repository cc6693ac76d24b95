/** Repositories that users make: whose they are, whoever comes at the same time. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { createWild } from '../../src/gitolite/create-repository.ts';
import { newGround } from './ground.ts';

suite('a repository that users make', () => {
  test('is whose who was first, and is made once', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const runs = await Promise.all(['ada', 'bob', 'eve'].map((user) => ground.newRun({ env: { GL_USER: user } })));
    await Promise.all(runs.map(({ run }) => createWild(run, 'wild/one', run.env['GL_USER'] ?? '', 'W')));
    const creator = readFileSync(join(ground.home, 'repositories/wild/one.git/gl-creator'), 'utf8');
    assert.equal(creator, 'ada');
    assert.deepEqual(
      runs.map(({ stderr }) => stderr().split('Initialized').length - 1),
      [1, 0, 0],
    );
    const [first] = runs;
    const repository = await ground.site.repository((first ?? assert.fail()).run.rc, 'wild/one');
    assert.deepEqual([repository.creator, repository.exists, repository.isHooked], ['ada', true, true]);
  });

  test('has no name of a group, whatever the group lets its members do', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const conf = 'repo gitolite-admin\n    RW+ = admin\n@wild = wild/..*\nrepo @wild\n    C = ada\n    RW = CREATOR\n';
    writeFileSync(join(ground.home, '.gitolite/conf/gitolite.conf'), conf);
    await ground.gitolite(['compile']);
    const { code, stderr } = await ground.gitolite(['perms', '-c', '@wild', '+', 'READERS', 'eve'], {
      env: { GL_USER: 'ada' },
    });
    assert.equal(code, 25);
    assert.equal(stderr, "FATAL: '@wild' is a group's name, no repository's\n");
    assert.equal(existsSync(join(ground.home, 'repositories/@wild.git')), false);
  });

  test('runs what the settings list, with what they are to know', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const { run, stdout } = await ground.newRun();
    const triggers = { PRE_CREATE: ['say before'], POST_CREATE: ['say after'] };
    mkdirSync(join(ground.home, 'local/triggers'), { recursive: true });
    writeFileSync(join(ground.home, 'local/triggers/say'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
    const rc = { ...run.rc, localCode: join(ground.home, 'local'), values: { ...run.rc.values, ...triggers } };
    await createWild({ ...run, rc }, 'wild/one', 'ada', 'perms-c');
    assert.equal(stdout(), 'before PRE_CREATE wild/one ada perms-c\nafter POST_CREATE wild/one ada perms-c\n');
  });
});
