/** What follows a compile, next to the real gitolite: authorized_keys, git configuration, what git-daemon and gitweb serve. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { newTwins, NO_GITOLITE, type Twins } from '../twins.ts';

const BASE = 'repo gitolite-admin\n    RW+ = admin\nrepo testing\n    RW+ = @all\n';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcUIS47SFVib3yJlqOwvcrX5PH+CxglMj9MWWZzgI2a a comment';
const OTHER_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA4bKDVCT1xpdoOQnaq3xNHe6/gFEh8sOUZTYG16h5Sh';

async function compileSame(site: Twins, conf: string): Promise<void> {
  for (const home of [site.ours.home, site.realHome]) await writeFile(join(home, '.gitolite/conf/gitolite.conf'), conf);
  assert.equal((await site.same(['compile'])).code, 0);
  assert.equal((await site.same(['trigger', 'POST_COMPILE'])).code, 0);
}

async function sameFiles(site: Twins, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = `repositories/${name}.git`;
    assert.equal(configOf(site.ours.home, path), configOf(site.realHome, path), name);
    for (const file of ['git-daemon-export-ok', 'description']) await site.sameFile(`${path}/${file}`);
  }
  await site.sameFile('projects.list');
}

/** Sorted: gitolite sets keys in no order. */
function configOf(home: string, path: string): string {
  const listed = execFileSync('git', ['config', '--file', join(home, path, 'config'), '-l'], { encoding: 'utf8' });
  return listed.split('\n').sort().join('\n');
}

suite('what follows a compile, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('repositories are configured and published alike', async () => {
    await using site = await newTwins({ conf: BASE, settings: `$RC{GIT_CONFIG_KEYS} = '.*';` });
    await compileSame(
      site,
      `${BASE}
repo r1 r2
    RW = u1
    R = gitweb
    config foo.bar = baz
    config a.b.C = " leading blank"
    config x.y = @grp
    desc = "desc of %GL_REPO"
repo r3
    R = daemon
    owner = "o"
    config core.sharedRepository = 0660
    config Sec.Sub.Key = v
repo r4
    option umask = 0027
    R = daemon
repo home/CREATOR/..*
    C = u1
    RW+ = CREATOR
    R = READERS
    config a.creator = %GL_CREATOR
`,
    );
    const names = ['r1', 'r2', 'r3', 'r4', 'testing'];
    await sameFiles(site, names);
    await site.same(['perms', '-c', 'home/u1/y'], { user: 'u1', stdin: 'READERS gitweb daemon\n' });
    await sameFiles(site, ['home/u1/y']);
    await site.same(['perms', 'home/u1/y', '-', 'READERS', 'gitweb'], { user: 'u1' });
    await sameFiles(site, ['home/u1/y']);
    await compileSame(
      site,
      `${BASE}
repo r1 r2
    RW = u1
    config foo.bar = ""
    config a.b.C = plain
repo r3
    R = u1
`,
    );
    await sameFiles(site, [...names, 'home/u1/y']);
    for (const step of ['update-git-daemon-access-list', 'update-gitweb-access-list', 'update-git-configs', 'nosuch'])
      await site.same([`../triggers/post-compile/${step}`]);
  });

  test("repositories made at the same time are all on gitweb's list, also while a compile writes it anew", async () => {
    // A decision that waits for a program: others come between.
    const settings = `$RC{GROUPLIST_PGM} = '/bin/echo group-of';`;
    await using site = await newTwins({ conf: BASE, enable: ['create'], settings });
    const conf = `${BASE}repo w/..*\n    C = u1\n    RW+ = CREATOR\n    R = gitweb\n`;
    await compileSame(site, conf);
    const names = ['w/a', 'w/b', 'w/c', 'w/d'];
    for (const name of names) assert.equal((await site.own(['create', name], { user: 'u1' })).code, 0);
    const list = join(site.ours.home, 'projects.list');
    const step = '../triggers/post-compile/update-gitweb-access-list';
    for (const others of [[], [step], [step, step]]) {
      await writeFile(list, 'testing.git\n');
      const ended = await Promise.all([
        ...names.map((name) => site.own([step, 'POST_CREATE', name, 'u1', 'W'])),
        ...others.map((other) => site.own([other])),
      ]);
      for (const { code, stderr } of ended) assert.equal(code, 0, stderr);
      const lines = readFileSync(list, 'utf8').split('\n');
      assert.deepEqual(lines.sort(), ['', ...['testing', ...names].map((name) => `${name}.git`)]);
    }
  });

  test("a line of somebody's own stays on gitweb's list until the list is made anew", async () => {
    await using site = await newTwins({ conf: BASE, enable: ['create'] });
    await compileSame(site, `${BASE}repo w/..*\n    C = u1\n    RW+ = CREATOR\n    R = gitweb\n`);
    await site.both('sh', ['-c', 'echo "elsewhere.git some+body" >> projects.list; echo bare >> projects.list']);
    await site.same(['create', 'w/a'], { user: 'u1' });
    assert.match((await site.sameFile('projects.list')) ?? '', /^elsewhere\.git some\+body\nbare\nw\/a\.git\n$/m);
    await site.same(['../triggers/post-compile/update-gitweb-access-list']);
    assert.equal(await site.sameFile('projects.list'), 'testing.git\nw/a.git\n');
  });

  test('a list of projects that cannot be written is named', async () => {
    const settings = `$RC{GITWEB_PROJECTS_LIST} = '/nowhere/at/all';`;
    await using site = await newTwins({ conf: BASE, settings });
    const { code, stderr } = await site.own(['../triggers/post-compile/update-gitweb-access-list']);
    assert.equal(code, 25);
    assert.match(stderr, /^FATAL: cannot write the list of projects '\/nowhere\/at\/all'/);
  });

  test('groups are expanded, options and descriptions published, where the settings say so', async () => {
    const settings = `$RC{GIT_CONFIG_KEYS} = '.*'; $RC{EXPAND_GROUPS_IN_CONFIG} = 1;
      $RC{POST_COMPILE} = ['post-compile/update-git-configs', 'post-compile/update-description-file', 'post-compile/update-gitweb-daemon-from-options'];`;
    await using site = await newTwins({ conf: BASE, settings });
    await compileSame(
      site,
      `${BASE}@g = u1 u2\nrepo r1\n    RW = @all\n    config a.b = "@g, @h"\n    desc = "told"\nrepo r2\n    RW = @all\n    option gitweb = 1\n    option daemon = 1\n`,
    );
    await sameFiles(site, ['r1', 'r2', 'testing']);
  });

  test('keys get the same lines', async () => {
    await using site = await newTwins({ conf: BASE });
    const again = async (shell: string): Promise<void> => {
      await site.both('sh', ['-c', shell]);
      await site.same(['trigger', 'POST_COMPILE']);
      assert.equal(linesOf(site.ours.home), linesOf(site.realHome), shell);
    };
    await again('mkdir -p .gitolite/keydir/sub/deep');
    await again(`echo '${KEY}' > .gitolite/keydir/u1.pub; echo '${OTHER_KEY}' > .gitolite/keydir/sub/u2@home.pub`);
    await again(
      'cp .gitolite/keydir/u1.pub .gitolite/keydir/sub/deep/U3@a.b.pub; ln -s u1.pub .gitolite/keydir/link.pub',
    );
    await again('cat .gitolite/keydir/u1.pub .gitolite/keydir/sub/*.pub > .gitolite/keydir/two.pub');
    await again(`(echo '# mine'; echo '${OTHER_KEY}') >> .ssh/authorized_keys`);
    await again('cp .gitolite/keydir/u1.pub ".gitolite/keydir/a b.pub"');
    await site.both('sh', ['-c', 'rm ".gitolite/keydir/a b.pub"; echo garbage > .gitolite/keydir/bad.pub']);
    const { code, stderr } = await site.own(['trigger', 'POST_COMPILE']);
    assert.equal(code, 25);
    assert.match(stderr, /fingerprinting failed for 'keydir\/bad.pub': keydir\/bad.pub is not a public key file/);
    assert.equal(linesOf(site.ours.home), linesOf(site.realHome));
  });

  test('files of many keys are split', async () => {
    await using site = await newTwins({ conf: BASE, enable: ['ssh-authkeys-split'] });
    assert.equal((await site.own(['trigger', 'POST_COMPILE'])).stderr, '', 'a site without keys stays without');
    assert.equal(existsSync(join(site.ours.home, '.gitolite/keydir')), false);
    await site.both('sh', [
      '-c',
      `mkdir -p .gitolite/keydir/sub; (echo '${KEY}'; echo; echo '  ${OTHER_KEY}') > .gitolite/keydir/sub/u1.pub`,
    ]);
    for (const env of [{ GL_REPO: 'gitolite-admin' }, {}]) {
      await site.same(['trigger', 'POST_COMPILE'], { env });
      assert.equal(linesOf(site.ours.home), linesOf(site.realHome));
      await site.sameFile('.gitolite/keydir/__split_keys__/u1@1.pub');
      await site.sameFile('.gitolite/keydir/__split_keys__/u1@3.pub');
      await site.sameFile('.gitolite/keydir/u1.multi');
    }
  });
});

/** authorized_keys, but for where the programs lie. */
function linesOf(home: string): string {
  return readFileSync(join(home, '.ssh/authorized_keys'), 'utf8').replaceAll(/command="\S+\/gitolite-shell/g, 'SHELL');
}
