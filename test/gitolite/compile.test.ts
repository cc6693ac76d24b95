/** `gitolite compile`, next to the real gitolite: what it says of a conf, makes, and leaves in force. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { newGround, type Ground } from './ground.ts';
import { newTwins, NO_GITOLITE, type Twins } from './twins.ts';

const BASE = 'repo gitolite-admin\n    RW+ = admin\nrepo testing\n    RW+ = @all\n';

async function compileSame(site: Twins, conf: string): Promise<void> {
  for (const home of [site.ours.home, site.realHome]) await writeFile(join(home, '.gitolite/conf/gitolite.conf'), conf);
  await site.same(['compile']);
}

suite('compile, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('says the same of what is wrong', async () => {
    await using site = await newTwins({ conf: BASE });
    for (const more of [
      '@g = @nosuch',
      'repo foo\n RW = bad!user',
      'repo fo~o\n RW=u1',
      'repo foo\n RW ba!d = u',
      'repo foo\n config a.b = c',
      'repo foo\n option a.b = c;d',
      '@bad!g = x',
      '@g = ba!d',
      'include x.conf',
      'subconf "x.txt"',
      'include "rule_info"',
      'include "rule_[i]*"',
    ])
      await compileSame(site, `${BASE}${more}\n`);
    await site.same(['compile', 'now']);
    await site.same(['list-phy-repos']);
  });

  test('reads a line that is no UTF-8 as Latin-1, and others as they are', async () => {
    await using site = await newGround();
    assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
    const conf = Buffer.concat([
      Buffer.from(`${BASE}repo old\n    option maker = `),
      Buffer.from('Größe\n', 'latin1'),
      Buffer.from('    option text = größer\n    RW = u1\n', 'utf8'),
    ]);
    await writeFile(join(site.home, '.gitolite/conf/gitolite.conf'), conf);
    assert.equal((await site.gitolite(['compile'])).code, 0);
    const { stdout } = await site.gitolite(['git-config', '-r', 'old', '.']);
    assert.equal(stdout, 'old\tgitolite-options.maker\tGröße\nold\tgitolite-options.text\tgrößer\n');
    await writeFile(
      join(site.home, '.gitolite/conf/gitolite.conf'),
      Buffer.from(`${BASE}repo fö\n RW = u\n`, 'latin1'),
    );
    assert.match((await site.gitolite(['compile'])).stderr, /^FATAL: bad reponame 'fö'$/m);
  });

  test('makes nothing where a name leads elsewhere, and leaves in force what was', async () => {
    await using site = await newTwins({ conf: `${BASE}repo before\n    RW = u1\n` });
    for (const name of ['x/../../outside', 'a..b', 'deep/', 'b.git/c', 'd.git.git', '0'])
      await compileSame(site, `${BASE}repo ${name}\n    RW = u1\n`);
    await compileSame(site, `${BASE}@g = x/../../outside\nrepo @g\n    RW = u1\n`);
    await site.same(['list-repos']);
    await site.same(['list-phy-repos']);
    await site.same(['access', 'before', 'u1', 'W', 'any']);
    for (const home of [site.ours.home, site.realHome]) assert.equal(existsSync(join(home, 'outside.git')), false);
  });

  test('warns of the same, and makes the same', async () => {
    await using site = await newTwins({ conf: BASE });
    for (const more of [
      'repo foo\n R master = u1',
      'repo foo\n RW = @nosuch',
      'hello world',
      'repo foo.git\n RW = u1',
      'include "x.conf"',
      'include "*.nosuch"',
      'repo foo\n RW+DC = u1\n RWM = u2\n -M = u3',
      'repo foo\n RW = READERS NOROLE',
      'repo @nosuchgroup\n RW = u1',
      '@x = a b\nrepo @x\n RW = u1\n',
      '=begin testconf\nrepo hidden\n RW=u1\n=end\nrepo shown\n RW = u1',
      'repo options/only\n option k = v',
      'repo nothing/said',
      'repo zz/..*\n RW = u1',
      'repo @all\n RW = @all',
    ])
      await compileSame(site, `${BASE}${more}\n`);
    await site.same(['list-phy-repos']);
    await site.same(['list-repos']);
  });

  test('makes again what was removed by hand, and hooks what was put there by hand', async () => {
    await using site = await newTwins({ conf: `${BASE}repo foo imported\n    RW = u1\n` });
    await site.both('sh', [
      '-c',
      'rm -rf repositories/foo.git repositories/imported.git; git init -q --bare repositories/imported.git',
    ]);
    await site.same(['access', 'imported', 'u1', 'W']);
    await site.same(['compile']);
    await site.same(['access', 'imported', 'u1', 'W']);
    await site.same(['list-phy-repos']);
    await site.sameFile('repositories/imported.git/config');
  });

  test('skips sugar that is not there', async () => {
    await using site = await newTwins({ conf: BASE, settings: `$RC{SYNTACTIC_SUGAR} = ['macros', 'nosuch'];` });
    await compileSame(site, `${BASE}macro m\n    RW %1 = %2\nend\nrepo foo\n    m x u1\n`);
    await site.same(['access', 'foo', 'u1', 'W', 'x']);
  });

  test('writes template data to the repositories', async () => {
    await using site = await newTwins({ conf: BASE });
    await compileSame(
      site,
      `${BASE}repo @BASE
    RW = WRITERS
    R = READERS
@lib = x y
=begin template-data
  repo a b\\
 c = BASE   PERS
    READERS = u1   u2
#comment

    WRITERS = u3
repo @lib @nosuch z.* = BASE
 bad~line
    READERS = @all
    FOO = u7
 junk
repo nothing = BASE
=end
repo after
    RW = u1
`,
    );
    for (const name of ['a', 'b', 'c', 'x', 'y'])
      for (const file of ['gl-perms', 'gl-repo-groups', 'gl-creator'])
        await site.sameFile(`repositories/${name}.git/${file}`);
    await site.same(['access', 'a', 'u1', 'R']);
    await site.same(['access', 'x', 'u1', 'W']);
    await site.same(['list-memberships', '-r', 'a']);
    await site.same(['compile-template-data']);
  });
});

suite('compile', () => {
  test('leaves what was in force where the conf is wrong, for a gate that starts later, too', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    const conf = join(ground.home, '.gitolite/conf/gitolite.conf');
    await writeFile(conf, `${BASE}repo foo\n    RW = u1\n`);
    await ground.gitolite(['compile']);
    await writeFile(conf, `${BASE}repo foo\n    RW = u2\n    RW = bad!user\n`);
    const { code, stderr } = await ground.gitolite(['compile']);
    assert.equal(code, 25);
    assert.equal(stderr, "FATAL: bad username 'bad!user'\nconf/gitolite.conf:7: RW = bad!user\n");
    await writeFile(conf, `${BASE}repo foo\n    RW = u3\n`);
    const answers = async (site: Ground): Promise<readonly number[]> => [
      (await site.gitolite(['access', '-q', 'foo', 'u1', 'W'])).code,
      (await site.gitolite(['access', '-q', 'foo', 'u2', 'W'])).code,
      (await site.gitolite(['access', '-q', 'foo', 'u3', 'W'])).code,
    ];
    assert.deepEqual(await answers(ground), [0, 1, 1]);
    assert.deepEqual(await answers(await ground.reopen()), [0, 1, 1]);
  });

  test('two compiles at once run one after the other', async () => {
    await using ground = await newGround();
    await ground.gitolite(['setup', '-a', 'admin']);
    await writeFile(join(ground.home, '.gitolite/conf/gitolite.conf'), `${BASE}repo foo\n    RW = u1\n`);
    const ended = await Promise.all([ground.gitolite(['compile']), ground.gitolite(['compile'])]);
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0],
    );
    assert.equal(ended.filter(({ stderr }) => stderr.includes('foo.git')).length, 1);
  });
});
