import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { newTwins, NO_GITOLITE } from '../twins.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo ours
    RW+ = u1
    RW = u2
    RW dev/ = u4
    R = u3
repo gone
    RW = u1
repo wild/CREATOR/..*
    C = u1
    RW = CREATOR
    option mirror.master = here
    option mirror.copies-1 = there far
`;
const ENABLE = [
  'lock',
  'newbranch',
  'symbolic-ref',
  'who-pushed',
  'sudo',
  'create',
  'mirror',
  'rsync',
  'htpasswd',
  'sskm',
];
const FILL = `
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd repositories/ours.git
tree=$(printf '100644 blob %s\\tfile.bin\\n' $(echo hello | git hash-object -w --stdin) | git mktree)
first=$(git commit-tree -m first $tree)
second=$(git commit-tree -m second -p $first $tree)
git branch master $second && git tag v1 $first
log=$(ls ../../.gitolite/logs/* | tail -1)
z=0000000000000000000000000000000000000000
printf '2026-01-02.03:04:05\\t1\\tupdate\\tours\\tu1\\tW\\trefs/heads/master\\t%s\\t%s\\trefs/.*\\n' $z $first >> $log
printf '2026-01-02.03:04:06\\t2\\tupdate\\t%s\\t(tester)\\tbypass\\trefs/heads/master\\t%s\\t%s\\n' $PWD $first $second >> $log
printf '2026-01-02.03:04:07\\t3\\tupdate\\tgone\\tu1\\tW\\trefs/heads/master\\t%s\\t%s\\trefs/.*\\n' $first $second >> $log
echo $first > ../../first; echo $second > ../../second
`;

suite('files, branches and history of a repository, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('lock', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    await site.both('sh', ['-c', FILL]);
    for (const [args, user] of [
      [['-l', 'ours', 'file.bin'], 'u1'],
      [['-l', 'ours', 'file.bin'], 'u2'],
      [['-l', 'ours', 'nix'], 'u2'],
      [['-u', 'ours', 'file.bin'], 'u2'],
      [['-l', 'ours', 'file.bin'], 'u3'],
      [['--break', 'ours', 'file.bin'], 'u2'],
      [['-ls', 'ours'], 'u2'],
      [['-u', 'ours', 'file.bin'], 'u1'],
      [['-l', 'ours', 'file.bin'], 'u2'],
      [['--break', 'ours', 'file.bin'], 'u1'],
      [['--break', 'ours', 'file.bin'], 'u1'],
      [['-l', 'ours', 'file.bin'], 'u2'],
      [['-ls', 'ours'], 'u1'],
    ] as const)
      await site.same(['lock', ...args], { user });
    const withoutTimes = (text: string | undefined): string | undefined =>
      text?.replaceAll(/\b1[0-9]{9}\b/g, 'SECONDS');
    const [own, real] = await site.files('repositories/ours.git/gl-locks');
    assert.equal(withoutTimes(own), withoutTimes(real));
    await site.sameUsage(['lock', '-l', 'ours'], { user: 'u1' });
    await site.sameUsage(['lock', '-x', 'ours'], { user: 'u1' });
  });

  test('newbranch, symbolic-ref and sudo', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    await site.both('sh', ['-c', FILL]);
    for (const [args, user] of [
      [['newbranch', 'ours', 'dev/one', 'master'], 'u4'],
      [['newbranch', 'ours', 'dev/one', 'master'], 'u4'],
      [['newbranch', 'ours', 'other', 'master'], 'u4'],
      [['newbranch', 'ours', 'dev/two', 'nix'], 'u4'],
      [['symbolic-ref', 'ours', 'HEAD'], 'u2'],
      [['symbolic-ref', 'ours.git', 'HEAD', 'refs/heads/dev/one'], 'u2'],
      [['symbolic-ref', 'ours', 'HEAD'], 'u3'],
      [['symbolic-ref', 'nix', 'HEAD'], 'u3'],
      [['sudo', 'u3', 'info'], 'admin'],
      [['sudo', 'u3', 'info'], 'u1'],
      [['sudo', 'u3', 'setup'], 'admin'],
    ] as const)
      await site.same(args, { user });
    await site.sameFile('repositories/ours.git/HEAD');
    await site.sameFile('repositories/ours.git/refs/heads/dev/one');
    await site.same(['sudo', 'u3', 'info']);
    await site.same(['symbolic-ref', 'ours', 'HEAD']);
    await site.sameUsage(['newbranch', 'ours', 'x'], { user: 'u1' });
    await site.sameUsage(['sudo', 'u1'], { user: 'admin' });
    const escape = await site.own(['newbranch', 'ours', '-D', 'dev/one'], { user: 'u1' });
    assert.match(escape.stderr, /not a valid branch name/);
  });

  test('who-pushed, and its logs', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    await site.both('sh', ['-c', FILL]);
    const [first = '', second = ''] = await Promise.all(
      ['first', 'second'].map(async (name) => (await site.sameFile(name))?.trim().slice(0, 9)),
    );
    for (const args of [
      ['ours', first],
      ['ours', second.toUpperCase()],
      ['--tip', 'ours', second],
      ['ours', 'abcdef0'],
      ['gone', second],
    ])
      await site.same(['who-pushed', ...args], { user: 'u1' });
    await site.same(['who-pushed', '--migrate']);
    const again = await site.own(['who-pushed', '--migrate']);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^4 repo\(s\) already have gl-log files\./);
    await site.same(['who-pushed', '--migrate', '--force']);
    await site.same(['who-pushed', 'ours', first], { user: 'u3' });
    await site.sameUsage(['who-pushed', 'ours', 'xyz'], { user: 'u3' });
  });

  test('list-dangling-repos', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    await site.same(['create', 'wild/u1/a'], { user: 'u1' });
    await site.same(['list-dangling-repos']);
    for (const home of [site.ours.home, site.realHome])
      await rename(join(home, 'repositories/gone.git'), join(home, 'repositories/left.git'));
    await site.same(['list-dangling-repos']);
  });

  test('mirror says what is known', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE, settings: "$RC{HOSTNAME} = 'here';" });
    await site.same(['create', 'wild/u1/a'], { user: 'u1' });
    await site.both('sh', ['-c', "printf 'then\\t1\\tfatal: no\\n' > repositories/wild/u1/a.git/gl-copy-far.status"]);
    for (const args of [
      ['list', 'master', 'wild/u1/a'],
      ['list', 'copies', 'wild/u1/a'],
      ['list', 'copies', 'ours'],
      ['list', 'x', 'ours'],
      ['x', 'y', 'ours'],
      ['status', 'all', 'wild/u1/a'],
      ['status', 'far', 'wild/u1/a.git'],
      ['status', 'there', 'wild/u1/a'],
      ['status', 'all', 'all'],
    ])
      await site.same(['mirror', ...args]);
    await site.same(['mirror', 'status', 'far', 'wild/u1/a'], { user: 'u3' });
    await site.same(['mirror', 'push', 'elsewhere', 'wild/u1/a'], { user: 'u3' });
    await site.sameUsage(['mirror', 'list', 'master', 'ours'], { user: 'u3' });
    await site.sameUsage(['mirror', 'push', 'x']);
  });

  test('who comes for a repository with copies hears of those that are behind, unless the site hushes it', async () => {
    for (const [settings, isTold] of [
      ["$RC{HOSTNAME} = 'here';", true],
      ["$RC{HOSTNAME} = 'far';", true],
      ["$RC{HOSTNAME} = 'here'; $RC{HUSH_MIRROR_STATUS} = 1;", false],
    ] as const) {
      await using site = await newTwins({ conf: CONF, enable: [...ENABLE, 'Mirroring'], settings });
      await site.same(['create', 'wild/u1/a'], { user: 'u1' });
      await site.both('sh', ['-c', "printf 'then\\t1\\tfatal: no\\n' > repositories/wild/u1/a.git/gl-copy-far.status"]);
      const asked = await site.same(['trigger', 'PRE_GIT', 'wild/u1/a', 'u1', 'R', 'any', 'git-upload-pack']);
      assert.equal(asked.stderr.includes("'wild/u1/a' to host 'far' failed"), isTold, settings);
      await site.same(['trigger', 'PRE_GIT', 'ours', 'u1', 'W', 'any', 'git-receive-pack']);
    }
  });

  test('what a server lacks is named', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    const empty = { user: 'u1', env: { PATH: '/nonexistent' } };
    const annex = await site.own(['git-annex-shell'], {
      ...empty,
      env: { ...empty.env, SSH_ORIGINAL_COMMAND: "git-annex-shell 'configlist' '/~/ours'" },
    });
    assert.equal(annex.stderr, 'FATAL: git-annex-shell is not installed on this server\n');
    await site.same(['svnserve'], { user: 'u1', env: { SSH_ORIGINAL_COMMAND: 'svnserve -x' } });
    await site.same(['htpasswd'], { user: 'u1' });
  });
});
