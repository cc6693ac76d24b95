/** `access`, `list-*`, `git-config`, `creator` and `owns`, next to the real gitolite. */
import assert from 'node:assert/strict';
import { test, suite } from 'node:test';
import { newTwins, NO_GITOLITE } from '../twins.ts';

const CONF = `
@staff = u3 u4
@admins = admin @staff
@repos = r1 r2 lib/r3
repo gitolite-admin
    RW+ = admin
repo testing
    RW+ = @all
repo @repos
    RW+ = @admins
    R = u1
    -  master = u2
    RW = u2
    desc = "a b"
    owner = me
repo r1
    option deny-rules = 1
    - = u5
    R = @all
    RWCD = u6
    RW VREF/COUNT/3 = u2
    - NAME/foo = u2
    config unset.key = ""
repo foo/..*
    C = @staff
    RW+ = CREATOR
    R = READERS u9
repo r[0-9]x
    RW = u1
repo only-options
    option y = 2
repo nothing-said
repo @all
    R = daemon gitweb
    option deny-rules = 1
`;

const SETTINGS = `$RC{GIT_CONFIG_KEYS} = '.*';`;

suite('what the conf says, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('access answers in the same words, with the same exit code', async () => {
    await using site = await newTwins({ conf: CONF, settings: SETTINGS });
    const questions = `
      r1 u2|r1 u2 W master|r1 u2 W x|-q r1 u2 W x|-q r1 u2 W master|r1 u5 R|testing u5 R|nosuch u5 R
      foo/u3/x u3 ^C|foo/u3/x u1 ^C|foo/u3/x u1 W|foo/u3/x u3 W|@repos u1 R|@repos u1 W|r1 @admins W|r1 @staff W
      r1 u2 X|r1 u2 W ba~d|r1 u2 W VREF/NAME/foox|r1 u2 W VREF/NAME/bar|r1 u6 C x|lib/r3 u3 C x|r1 u6 D x|lib/r3 u3 D x
      lib/r3 u3 M x|bad..x u3 M x|r1 bad~user R|r1/ u3 R|r1.git u3 R|only-options u3 R|nothing-said u3 R
      -q=5 r1 u2 W x|-q=0 r1 u2 W x|-q= r1 u2 W x|-q -q=0 r1 u2 W x|-s=0 r1 u2 W master|
      -s r1 u2 W master|-s r1 u2 W VREF/NAME/foo|-s r1 u5 R|-s r1 u2 ^C|-s foo/u1/z u1 W|-s -q r1 u5 R|-- r1 u2 R`;
    for (const question of questions.split(/[|\n]/).filter((one) => one.trim() !== ''))
      await site.same(['access', ...question.trim().split(' ')]);
    await site.same(['access', 'foo/u3/x', 'u3', '^C'], { user: 'u3' });
    // By their path from the directory of commands, too.
    for (const name of ['./access', '../commands/access', './nosuch', '../nosuch', '/etc/passwd'])
      await site.same([name, 'r1', 'u2', 'W']);
    for (const args of [[], ['r1'], ['-h', 'r1', 'u2']]) await site.sameUsage(['access', ...args]);
  });

  test('access, git-config answer for many', async () => {
    await using site = await newTwins({ conf: CONF, settings: SETTINGS });
    await site.same(['access', '%', 'u2', 'W', 'master'], { stdin: 'r1\nr2\nnosuch\nlib/r3\n' });
    await site.same(['access', '%', '%', 'R'], { stdin: 'r1 u1\nr2 u2\nnosuch u3\nlib/r3 daemon\n' });
    await site.same(['access', 'r1', '%', 'R'], { stdin: 'u1\nu5' });
    await site.same(['access', '%', 'u5', 'R'], { stdin: 'r1\nbad..\nr2\n' });
    await site.same(['access', '-q', '%', 'u5', 'R'], { stdin: 'r1\n' });
    await site.same(['access', '%', 'u5', 'R'], { stdin: 'größe\n' });
    await site.same(['git-config', '-r', '%', 'gitweb'], { stdin: 'r1\nr2\nnosuch\n' });
    await site.same(['git-config', '%', 'gitweb.description'], { stdin: 'r1\nr2\nnosuch\n' });
    await site.same(['git-config', '-r', 'r1', '%'], { stdin: 'gitweb\noption\n' });
    await site.same(['git-config', '-q', 'r1', '%'], { stdin: 'gitweb\noption\n' });
  });

  test('access reads permissions and refs as well, and answers as the real one does one by one', async () => {
    await using site = await newTwins({ conf: CONF, settings: SETTINGS });
    const asked = [
      'r1 u2 W x',
      'r1 u2 W refs/heads/master',
      'r1 u2 C any',
      'foo/u3/x u1 D y',
      'r1 u2 W VREF/NAME/foox',
    ];
    const single = await Promise.all(asked.map((line) => site.real(['access', ...line.split(' ')])));
    const said = await site.own(['access', '%', '%', '%', '%'], { stdin: `${asked.join('\n')}\n` });
    assert.equal(said.stderr, '');
    const rows = said.stdout.split('\n').map((line) => line.split('\t'));
    assert.deepEqual(rows[0]?.slice(0, 4), ['r1', 'u2', 'W', 'refs/heads/x']);
    const answers = rows.slice(0, -1).map((row) => row[4]);
    assert.deepEqual(
      answers,
      single.map(({ stdout }) => stdout.trimEnd()),
    );
    const some = await site.own(['access', 'r1', '%', '%', 'x'], { stdin: 'u2 W\nu2 nonsense\nu2 R\n' });
    assert.match(some.stdout, /^r1\tu2\tW\trefs\/heads\/x\t[^\t\n]+\n$/);
    assert.match(some.stderr, /^FATAL: invalid perm$/m);
  });

  test('the listers list the same', async () => {
    await using site = await newTwins({ conf: CONF, settings: SETTINGS });
    for (const line of `list-groups|list-repos|list-users|list-users r1|list-users ^foo|list-phy-repos|list-phy-repos x
      list-memberships -u u3|list-memberships -u admin|list-memberships -r r1|list-memberships -r foo/u3/x
      list-memberships -r nosuch|list-memberships -r r5x|list-memberships -r bad..name|list-memberships --user=u4
      list-memberships -u u3 -r r1|list-memberships -u u3 -x|list-memberships -u u3 -r 0|list-members @repos|list-members @admins|list-members @nosuch|list-members repos
      list-nosuch`.split(/[|\n]/))
      await site.same(line.trim().split(' '));
    for (const line of ['list-groups x', 'list-users -h', 'list-repos x', 'list-memberships', 'list-members'])
      await site.sameUsage(line.split(' '));
    for (const name of ['0', '']) await site.sameUsage(['list-memberships', '-u', name]);
  });

  test('list-users warns of a hundred repositories', async () => {
    const conf = Array.from({ length: 101 }, (_none, index) => `repo r${index}\n    RW = u${index}\n`).join('');
    await using site = await newTwins({ conf: `repo gitolite-admin\n    RW+ = admin\n${conf}` });
    const { stderr } = await site.same(['list-users']);
    assert.match(stderr, /WARNING: you have 10\d repos to check/);
    await site.same(['list-users', '^r1']);
  });

  test('git-config, creator and owns tell the same', async () => {
    await using site = await newTwins({ conf: CONF, settings: SETTINGS, enable: ['create'] });
    for (const line of `r1 gitweb.description|-n r1 gitweb.description|-q r1 gitweb.description|-q r1 gitweb.nosuch
      -r r1 .|-r r1 gitweb|-ev -r r1 .|-ev r1 unset.key|r1 unset.key|nosuch x|-r only-options .|-r foo/q .|bad..name x`.split(
      /[|\n]/,
    ))
      await site.same(['git-config', ...line.trim().split(' ')]);
    for (const line of ['git-config', 'git-config r1', 'git-config -h', 'owns', 'creator'])
      await site.sameUsage(line.split(' '));
    await site.same(['create', 'foo/u3/x'], { user: 'u3' });
    for (const args of [['foo/u3/x'], ['-n', 'foo/u3/x'], ['foo/u3/x', 'u3'], ['foo/u3/x', 'u1'], ['nosuch'], ['r1']])
      await site.same(['creator', ...args]);
    for (const user of ['u3', 'u1'])
      for (const name of ['foo/u3/x', 'r1', 'nosuch', 'bad..x']) await site.same(['owns', name], { user });
    await site.same(['owns', 'r1']);
    await site.sameFile('repositories/foo/u3/x.git/gl-creator');
  });

  test('roles, the host name and the config keys are those of the settings of who asks', async () => {
    await using site = await newTwins({ conf: CONF, enable: ['create'], settings: SETTINGS });
    await site.same(['create', 'foo/u3/x'], { user: 'u3' });
    await site.both('sh', [
      '-c',
      `echo '$rc{ROLES} = { TESTERS => 1 };' > more.rc; echo 'READERS u1' > repositories/foo/u3/x.git/gl-perms`,
    ]);
    await site.same(['access', 'foo/u3/x', 'u1', 'R']);
    const args = ['access', 'foo/u3/x', 'u1', 'R'];
    const said = [
      await site.own(args, { env: { G3T_RC: `${site.ours.home}/more.rc` } }),
      await site.real(args, { env: { G3T_RC: `${site.realHome}/more.rc` } }),
    ];
    for (const one of said)
      assert.deepEqual(one, {
        code: 1,
        stdout: 'R any foo/u3/x u1 DENIED by fallthru\n',
        stderr: "WARNING: role 'READERS' not allowed, ignoring\n",
      });
    await site.same(['access', 'foo/u3/x', 'u1', 'R']);
  });
});
