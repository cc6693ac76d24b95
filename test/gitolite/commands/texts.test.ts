import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { newTwins, NO_GITOLITE } from '../twins.ts';

const CONF = `
include "options.conf"
repo gitolite-admin
    RW+ = admin
repo theirs
    RW = u1 u2
    R = u3
    option writer-is-owner = 1
    option umask = 0027
repo shut
    RW = u1
    R = u3
repo foo/..*
    C = u1
    RW+ = CREATOR
    RW = u2
    R = u3
    option user-configs = foo\\.bar baz.*
    option user-options = upstream\\..* my
    config foo.bar = x
`;
const ENABLE = ['create', 'readme', 'motd', 'config', 'option'];
const SETTINGS = "$RC{GIT_CONFIG_KEYS} = '.*';";
const OPTIONS = { conf: CONF, enable: ENABLE, settings: SETTINGS };

suite('texts and settings of a repository, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('desc, readme and motd', async () => {
    await using site = await newTwins(OPTIONS);
    await site.same(['desc', 'theirs'], { user: 'u3' });
    await site.same(['desc', 'theirs', 'ours', 'too'], { user: 'u2' });
    await site.same(['desc', 'theirs'], { user: 'u3' });
    await site.sameFile('repositories/theirs.git/description');
    for (const [name, user] of [
      ['theirs', 'u3'],
      ['shut', 'u1'],
      ['shut', 'u2'],
      ['nix', 'u1'],
      ['a/../b', 'u1'],
    ] as const)
      await site.same(['desc', name, 'text'], { user });
    await site.same(['desc', 'shut'], { user: 'u2' });
    await site.same(['desc', 'shut']);
    await site.same(['readme', 'theirs', 'set'], { user: 'u2', stdin: '<b>read</b>\n' });
    await site.same(['readme', 'theirs'], { user: 'u3' });
    await site.sameFile('repositories/theirs.git/README.html');
    await site.same(['readme', 'theirs', 'rm'], { user: 'u3' });
    await site.same(['readme', 'theirs', 'rm'], { user: 'u2' });
    await site.same(['readme', 'theirs'], { user: 'u3' });
    await site.sameUsage(['readme', 'theirs', 'x'], { user: 'u2' });
    await site.same(['motd', 'theirs', 'set'], { user: 'u2', stdin: 'good morning\n' });
    await site.same(['motd', '@all', 'set'], { user: 'u2', stdin: 'x\n' });
    await site.same(['motd', '@all', 'set'], { user: 'admin', stdin: 'the site\n' });
    assert.equal(await site.sameFile('.gitolite/gl-motd'), 'the site\n');
    assert.equal(await site.sameFile('repositories/theirs.git/gl-motd'), 'good morning\n');
    await site.same(['motd', 'theirs', 'rm'], { user: 'u2' });
    await site.same(['motd', '@all', 'rm'], { user: 'admin' });
    assert.equal(await site.sameFile('.gitolite/gl-motd'), undefined);
  });

  test('writable', async () => {
    await using site = await newTwins(OPTIONS);
    await site.same(['create', 'foo/a'], { user: 'u1' });
    for (const [args, user] of [
      [['foo/a', 'status'], 'u1'],
      [['foo/a', 'status'], 'u2'],
      [['foo/a', 'status'], 'u3'],
      [['foo/a', 'off', 'not', 'now'], 'u2'],
      [['foo/a', 'off', 'not', 'now'], 'u1'],
      [['foo/a', 'status'], 'u2'],
      [['foo/a', 'on'], 'u1'],
      [['foo/a', 'off'], 'u1'],
      [['foo/a', 'on'], 'admin'],
      [['@all', 'off', 'x'], 'u1'],
      [['@all', 'off', 'x'], 'admin'],
      [['foo/a', 'status'], 'u1'],
      [['nix', 'status'], 'u1'],
    ] as const)
      await site.same(['writable', ...args], { user, stdin: 'by hand\nand long\n' });
    await site.sameFile('.gitolite.down');
    await site.same(['writable', '@all', 'status']);
    await site.same(['writable', '@all', 'on']);
    await site.same(['writable', 'nix', 'off', 'x']);
    await site.same(['writable', 'shut', 'off'], { stdin: 'closed\n' });
    assert.equal(await site.sameFile('repositories/shut.git/.gitolite.down'), 'closed\n');
    await site.sameUsage(['writable', 'shut', 'x']);
    await site.sameUsage(['writable', 'shut']);
  });

  test('config and option', async () => {
    await using site = await newTwins(OPTIONS);
    const u1 = { user: 'u1' };
    await site.same(['create', 'foo/a'], u1);
    for (const [args, user] of [
      [['foo/a', '--add', 'baz.one', 'a', 'b'], 'u1'],
      [['foo/a', '--add', 'Baz.one', 'c'], 'u1'],
      [['foo/a', '--get-all', 'baz.one'], 'u3'],
      [['foo/a', '--unset-all', 'baz.one'], 'u2'],
      [['foo/a', '--unset-all', 'baz.one'], 'u1'],
      [['foo/a', '--unset-all', 'baz.one'], 'u1'],
      [['foo/a', '--add', 'core.hooksPath', 'x'], 'u1'],
      [['foo/a', '--list'], 'u4'],
      [['nix', '--list'], 'u4'],
    ] as const)
      await site.same(['config', ...args], { user });
    // Of the account's own configuration ours shows nothing.
    const list = ['config', 'foo/a', '--list'];
    const [real, own] = await Promise.all([site.real(list, { user: 'u3' }), site.own(list, { user: 'u3' })]);
    assert.deepEqual(own, { ...real, stdout: real.stdout.replace('init.defaultbranch=master\n', '') });
    await site.sameUsage(['config', 'foo/a', '--add', 'baz.one'], u1);
    await site.sameUsage(['config', 'foo/a', '--replace-all', 'baz.one', 'x'], u1);
    for (const args of [
      ['list'],
      ['add', 'upstream.nice', '10'],
      ['add', 'my', 'one'],
      ['add', 'my', 'two'],
      ['list'],
      ['add', 'umask', '0000'],
      ['del', 'upstream.nice'],
      ['del', 'upstream.nice'],
      ['list'],
    ])
      await site.same(['option', 'foo/a', ...args], u1);
    assert.equal(await site.sameFile('.gitolite/conf/options.conf'), 'repo foo/a\n    option my = two\n');
    await site.same(['git-config', '-r', 'foo/a', '.']);
    await site.same(['option', 'theirs', 'list'], { user: 'u2' });
    await site.sameUsage(['option', 'foo/a', 'add', 'my'], u1);
  });
});
