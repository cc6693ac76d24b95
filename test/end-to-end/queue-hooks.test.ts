/** A site's hook that asks its own gate, which has one place for work: the push that the hook runs for does not hold it. */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Account, OWN_PROGRAMS } from '../support/account.ts';

/** What is pushed to the one goes to the other before it is taken: as a mirror is kept by hand. */
const HOOK = (shell: string): string => `#!/bin/sh
read old new ref
case $GL_REPO in backup) exit 0 ;; esac
export SITE_USER=admin SITE_SHELL=${shell} GIT_SSH=$HOME/bridge GIT_SSH_VARIANT=simple
git push -q site:backup $new:$ref 2>&1
`;

const BRIDGE = `#!/bin/sh
shift
unset GIT_DIR GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_QUARANTINE_PATH
SSH_CONNECTION='192.0.2.7 40000 192.0.2.1 22' SSH_ORIGINAL_COMMAND="$*" exec "$SITE_SHELL" "$SITE_USER"
`;

test(
  'a hook pushes to the gate that runs it, though one push at a time has a place',
  { timeout: 60_000 },
  async (t) => {
    const site = new Account(t, OWN_PROGRAMS);
    site.put('.gitolite/gatehouse/gatehouse.toml', '[limits]\nwork-max = 1\n');
    assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
    const path = (name: string): string => join(site.home, 'repositories', name);
    for (const [file, text] of [
      [join(site.home, 'bridge'), BRIDGE],
      [path('testing.git/hooks/pre-receive'), HOOK(site.programs.shell)],
    ] as const) {
      site.put(file, text);
      chmodSync(file, 0o755);
    }
    const conf = 'repo gitolite-admin testing backup\n    RW+ = admin\n';
    const admin = join(site.work, 'admin');
    const ok = async (args: readonly string[], cwd = admin): Promise<string> => {
      const { code, stdout, stderr } = await site.git('admin', args, { cwd });
      assert.equal(code, 0, stderr);
      return stdout;
    };
    await ok(['clone', '-q', 'site:gitolite-admin', admin], site.work);
    site.put(join(admin, 'conf/gitolite.conf'), conf);
    await ok(['commit', '-qam', 'conf']);
    await ok(['push', '-q', 'origin', 'HEAD:master']);
    await ok(['push', '-q', 'site:testing', 'HEAD:refs/heads/main']);
    for (const name of ['testing', 'backup'])
      assert.match(await ok(['ls-remote', `site:${name}`]), /refs\/heads\/main\n/);
  },
);
