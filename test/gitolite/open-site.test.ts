/** A site with settings and programs of its own, next to the real gitolite. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { newTwins, NO_GITOLITE, type Twins } from './twins.ts';

const BASE = 'repo gitolite-admin\n    RW+ = admin\nrepo testing\n    RW+ = @all\n';
const LOCAL_CODE = '$RC{LOCAL_CODE} = "$ENV{HOME}/local";';

async function compileSame(site: Twins, conf: string): Promise<void> {
  for (const home of [site.ours.home, site.realHome]) await writeFile(join(home, '.gitolite/conf/gitolite.conf'), conf);
  await site.same(['compile']);
}

/** The same shell script on both. */
async function script(site: Twins, path: string, body: string): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf('/'));
  const text = `#!/bin/sh\n${body}\n`.replaceAll("'", "'\\''");
  await site.both('sh', ['-c', `mkdir -p ${folder}; printf '%s' '${text}' > ${path}; chmod +x ${path}`]);
}

suite('a site, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('asks its own program which groups a user is in, once a user', async () => {
    await using site = await newTwins({ conf: BASE, settings: '$RC{GROUPLIST_PGM} = "$ENV{HOME}/bin/groups x";' });
    await script(site, 'bin/groups', 'echo "$*" >> "$HOME/asked"; [ "$2" != u1 ] || echo g1 @g2');
    await compileSame(
      site,
      `${BASE}repo foo\n    RW = @g1\n    R = @nosuch\nrepo wild/..*\n    C = @g2\n    RW+ = CREATOR\n`,
    );
    await site.both('rm', ['-f', 'asked']);
    await site.same(['access', 'foo', 'u1', 'W']);
    await site.same(['access', 'foo', 'u2', 'W']);
    await site.same(['access', 'wild/x', 'u1', '^C']);
    await site.same(['list-memberships', '-u', 'u1']);
    await site.same(['list-memberships', '-u', 'u2']);
    await site.same(['access', '%', '%', 'W'], { stdin: 'foo u1\nfoo u2\ntesting u1\n' });
    await site.sameFile('asked');
  });

  test('runs commands and triggers of its own, and links its own hooks', async () => {
    await using site = await newTwins({ conf: BASE, settings: LOCAL_CODE });
    await script(site, 'local/hooks/common/post-receive', 'exit 0');
    await script(site, 'local/hooks/common/update', 'exit 0');
    await script(site, 'local/commands/mine', 'echo "mine $*"; exit 3');
    await script(site, 'local/triggers/own', 'echo "own $*"');
    await site.same(['setup', '-ho']);
    await compileSame(site, `${BASE}repo foo\n    RW = u1\n`);
    for (const hook of ['post-receive', 'update', 'pre-receive'])
      await site.both('sh', ['-c', `readlink repositories/foo.git/hooks/${hook} | sed "s,$HOME,~," > link-${hook}`]);
    for (const hook of ['post-receive', 'update', 'pre-receive']) await site.sameFile(`link-${hook}`);
    await site.same(['mine', 'a', 'b']);
    await site.same(['../triggers/own', 'a', 'b']);
  });

  test('lets its own program refuse a new repository, and then leaves everything as it was', async () => {
    const settings = `$RC{UMASK} = 0027; $RC{PRE_CREATE} = ['pre']; $RC{POST_CREATE} = ['post']; ${LOCAL_CODE}`;
    await using site = await newTwins({ conf: BASE, settings });
    await script(site, 'local/triggers/pre', 'echo "$* $GL_OPTION_X"');
    await script(site, 'local/triggers/post', 'echo "$* $GL_OPTION_X"');
    await compileSame(site, `${BASE}repo foo bar\n    RW = u1\n    option ENV.X = 7\n`);
    await site.sameFile('repositories/foo.git/HEAD');
    await script(site, 'local/triggers/pre', 'echo "no $*"; exit 9');
    await compileSame(site, `${BASE}repo foo bar baz\n    RW = u1 u2\n`);
    await site.same(['access', 'foo', 'u2', 'W']);
    await site.same(['list-phy-repos']);
  });

  test('has parts of its conf in other files', async () => {
    await using site = await newTwins({ conf: BASE, settings: `$RC{HOSTNAME} = 'frodo';` });
    const sub = '@sub = a b\nrepo @sub c\n RW = u1\n@x = q\nrepo @x\n R = u2\n';
    for (const home of [site.ours.home, site.realHome]) {
      await writeFile(join(home, '.gitolite/conf/sub.conf'), sub);
      await writeFile(join(home, '.gitolite/conf/more.conf'), 'repo host-%HOSTNAME\n RW = u1\n');
    }
    await compileSame(
      site,
      `${BASE}@sub = a b d\nsubconf "sub.conf"\ninclude "m*.conf"\ninclude "more.conf"\nrepo %HOSTNAME\n RW = u1\n`,
    );
    for (const line of `list-groups|list-repos|list-phy-repos|list-members @sub|list-members @sub.x|list-memberships -r a
      access a u1 W|access c u1 W|access -s a u1 W|access -s host-frodo u1 W`.split(/[|\n]/))
      await site.same(line.trim().split(' '));
  });
});
