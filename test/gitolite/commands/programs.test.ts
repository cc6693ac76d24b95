import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { newTwins, NO_GITOLITE, type Call, type Twins } from '../twins.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo ours
    RW+ = u1
    R = u2
    option bundle = 1
repo plain
    R = u1
repo wild/..*
    C = u1
    RW = CREATOR
    option mirror.copies = far
`;
const ENABLE = ['rsync', 'htpasswd', 'svnserve', 'git-annex-shell ua', 'mirror', 'create'];
const FILL = `
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd repositories/ours.git
git branch master $(git commit-tree -m first $(git mktree </dev/null))
touch ../../passwords
`;

/** Programs that a server may have, as scripts that say what they were called with. */
const PROGRAMS: Readonly<Record<string, string>> = {
  rsync: 'for file; do :; done; echo "$@"; git bundle list-heads "$file"',
  htpasswd: 'echo "password set" >&2',
  'git-annex-shell': 'echo "$@" "$GIT_ANNEX_SHELL_READONLY" "$GIT_ANNEX_SHELL_LIMITED"; cat',
  ssh: 'echo "fatal: nobody there" >&2; exit 255',
};

suite('doors to other programs, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('rsync makes a bundle and sends it', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    const env = await withPrograms(site);
    for (const [line, user] of [
      ['rsync --server --sender -vne.LsfxC . ours.bundle', 'u2'],
      ['rsync --server --sender . ours.git.bundle', 'u2'],
      ['rsync --server --sender -ve.LsfxC . ours.bundle', 'u3'],
      ['rsync --server --sender -ve.LsfxC . plain.bundle', 'u1'],
      ['rsync --server --sender -ve.LsfxC . nix.bundle', 'u1'],
    ] as const)
      await site.same(['rsync', 'x'], { user, env: { ...env, SSH_ORIGINAL_COMMAND: line } });
    const upload = { user: 'u1', env: { ...env, SSH_ORIGINAL_COMMAND: 'rsync --server -v . ours.bundle' } };
    const [own, real] = [await site.own(['rsync', 'x'], upload), await site.real(['rsync', 'x'], upload)];
    assert.deepEqual([own.code, own.stderr], [real.code, real.stderr]);
  });

  test('a bundle is made anew when what it holds was rewound, and not before', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE });
    const env = await withPrograms(site);
    const ask = { user: 'u1', env: { ...env, SSH_ORIGINAL_COMMAND: 'rsync --server --sender . ours.bundle' } };
    const first = await site.same(['rsync', 'x'], ask);
    const commit = (parents: string): string =>
      `${FILL.split('cd ')[0]} cd repositories/ours.git; git update-ref refs/heads/master $(git commit-tree -m more ${parents} master^{tree})`;
    await site.both('sh', ['-c', commit('-p master')]);
    assert.deepEqual(await site.same(['rsync', 'x'], ask), first);
    await site.both('sh', ['-c', commit('')]);
    assert.notDeepEqual(await site.same(['rsync', 'x'], ask), first);
  });

  test('git-annex-shell and svnserve get who came, and no more than that may do', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE, settings: "$RC{SVNSERVE} = 'echo svn %u';" });
    const env = await withPrograms(site);
    const annex = (line: string, user: string): Promise<unknown> =>
      site.same(['git-annex-shell'], { user, stdin: 'more', env: { ...env, SSH_ORIGINAL_COMMAND: line } });
    await annex("git-annex-shell 'configlist' '/~/ours'", 'u1');
    await annex("git-annex-shell 'sendkey' '/ours.git' 'key'", 'u2');
    await annex("git-annex-shell 'configlist' '/~/ours'", 'u3');
    await annex("git-annex-shell 'configlist' '/~/a..b'", 'u3');
    await site.same(['svnserve'], { user: 'u1', env: { ...env, SSH_ORIGINAL_COMMAND: 'svnserve -t' } });
  });

  test('htpasswd asks once and hands the password over', async () => {
    await using site = await newTwins({
      conf: CONF,
      enable: ENABLE,
      settings: '$RC{HTPASSWD_FILE} = "$ENV{HOME}/passwords";',
    });
    const env = await withPrograms(site);
    const ask = async (stdin: string): Promise<void> => {
      const call: Call = { user: 'u1', stdin, env };
      const [own, real] = [await site.own(['htpasswd'], call), await site.real(['htpasswd'], call)];
      assert.deepEqual([own.code, own.stderr], [real.code, real.stderr]);
      assert.match(own.stdout, /new htpasswd: $/);
    };
    await ask('secret\r\nmore\n');
    await ask('\n');
  });

  test('mirror notes a push that failed', async () => {
    await using site = await newTwins({ conf: CONF, enable: ENABLE, settings: "$RC{HOSTNAME} = 'here';" });
    const env = await withPrograms(site);
    await site.same(['create', 'wild/a'], { user: 'u1' });
    await site.same(['mirror', 'push', 'far', 'wild/a'], { user: 'u1', env: { ...env, GL_TID: '7' } });
    const [own, real] = await site.files('repositories/wild/a.git/gl-copy-far.status');
    const withoutTime = (text: string | undefined): string | undefined => text?.replaceAll(/^\S+\t\d*/gm, 'then');
    assert.equal(withoutTime(own), withoutTime(real));
    await site.same(['mirror', 'status', 'all', 'all']);
  });
});

/** The environment in which they are found. */
async function withPrograms(site: Twins): Promise<{ readonly PATH: string }> {
  await site.both('sh', ['-c', FILL]);
  const folder = join(site.ours.home, 'programs');
  await mkdir(folder);
  for (const [name, text] of Object.entries(PROGRAMS)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), 0o755);
  }
  return { PATH: `${folder}:${site.ours.env['PATH'] ?? ''}` };
}
