import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { newTwins, NO_GITOLITE } from '../twins.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo testing
    RW+ = @all
repo foo/CREATOR/..*
    C = u1 u2
    RW+ = CREATOR
    option default.roles-1 = READERS @all
`;
const ENABLE = ['create', 'fork', 'D', 'set-default-roles'];

suite('fork and D, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('copies a repository with its history, and says where from', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    await site.same(['fork', 'testing', 'foo/u1/empty'], { user: 'u1' });
    await site.both('sh', ['-c', FILL]);
    await site.same(['fork', 'testing', 'foo/u1/full'], { user: 'u1' });
    for (const file of ['gl-creator', 'gl-forked-from', 'gl-perms', 'HEAD', 'packed-refs', 'description'])
      await site.sameFile(`repositories/foo/u1/full.git/${file}`);
    await site.both('git', ['-C', 'repositories/foo/u1/full.git', 'config', 'remote.origin.url']);
    await site.both('git', ['-C', 'repositories/foo/u1/full.git', 'fsck', '--strict']);
    const hooks = await Promise.all(
      [site.ours.home, site.realHome].map((home) => readdir(join(home, 'repositories/foo/u1/full.git/hooks'))),
    );
    assert.deepEqual(hooks[0]?.sort(), hooks[1]?.sort());
    await site.same(['access', 'foo/u1/full', 'u5', 'R']);
    await site.same(['info', '-lc'], { user: 'u1' });
  });

  test('refuses in the same words', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    await site.same(['create', 'foo/u1/a'], { user: 'u1' });
    for (const [from, to, user] of [
      ['foo/u1/nix', 'foo/u1/b', 'u1'],
      ['gitolite-admin', 'foo/u1/b', 'u1'],
      ['foo/u1/a', 'foo/u2/b', 'u1'],
      ['foo/u1/a', 'foo/u1/a', 'u1'],
      ['foo/u1/a', 'foo/u1/..', 'u1'],
      ['foo/u1/a^', 'foo/u1/b', 'u1'],
    ] as const)
      await site.same(['fork', from, to], { user });
    await site.same(['fork', 'testing', 'foo/u1/b']);
    await site.sameUsage(['fork'], { user: 'u1' });
  });

  test('throws away, lists, gives back and removes', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE, settings: "$RC{TRASH_SUFFIX} = 'then';" });
    const u1 = { user: 'u1' };
    for (const name of ['a', 'b/c', 'd']) await site.same(['create', `foo/u1/${name}`], u1);
    for (const args of [
      ['rm', 'foo/u1/a'],
      ['unlock', 'foo/u1/a'],
      ['lock', 'foo/u1/a'],
      ['rm', 'foo/u1/a'],
      ['unlock', 'foo/u1/a'],
      ['rm', 'foo/u1/a'],
      ['rm', 'foo/u1/a'],
      ['trash', 'foo/u1/b/c'],
      ['list-trash'],
      ['trash', 'foo/u1/d'],
      ['list-trash'],
      ['restore', 'foo/u1/b/c'],
      ['restore', 'foo/u1/nix/then'],
      ['restore', 'foo/u1/b/c/then'],
      ['list-trash'],
      ['trash', 'testing'],
      ['unlock', '../x'],
      ['zz', 'foo/u1/d'],
    ])
      await site.same(['D', ...args], u1);
    await site.same(['D', 'list-trash'], { user: 'u2' });
    await site.same(['D', 'restore', 'foo/u1/d/then'], { user: 'u2' });
    await site.same(['list-phy-repos']);
    await site.same(['D', 'rm', 'x']);
    // The real one takes such a way out of the trash can.
    const escape = await site.own(['D', 'restore', '../foo/u1/b/c.git'], u1);
    assert.equal(escape.stderr, "'../foo/u1/b/c.git' is not yours!\n");
    await site.sameUsage(['D', 'rm'], u1);
  });

  test('a site may forbid removal', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE, settings: '$RC{D_DISABLE_RM} = 1;' });
    await site.same(['create', 'foo/u1/a'], { user: 'u1' });
    for (const verb of ['unlock', 'rm', 'lock']) await site.same(['D', verb, 'foo/u1/a'], { user: 'u1' });
  });
});

const FILL = `
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd repositories/testing.git
commit=$(git commit-tree -m first $(git write-tree)) && git branch master $commit && git tag v1 $commit
`;
