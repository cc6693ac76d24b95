/** `gitolite setup`, next to the real gitolite: what it makes, what it says, and what it makes good. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, lstat, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test, suite } from 'node:test';
import { newGround } from './ground.ts';
import { newTwins, NO_GITOLITE } from './twins.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcUIS47SFVib3yJlqOwvcrX5PH+CxglMj9MWWZzgI2a adm@somewhere';
const OTHER_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA4bKDVCT1xpdoOQnaq3xNHe6/gFEh8sOUZTYG16h5Sh other';

suite('setup, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('makes the same first commit, the same files and the same links', async () => {
    await using site = await newTwins({});
    await site.same(['setup', '-a', 'admin']);
    assert.equal(await head(site.ours.home), await head(site.realHome));
    assert.deepEqual(await everything(site.ours.home), await everything(site.realHome));
    await site.sameFile('.gitolite/conf/gitolite.conf');
    await site.sameFile('repositories/gitolite-admin.git/config');
    await site.sameFile('repositories/testing.git/git-daemon-export-ok');
    await site.sameFile('projects.list');
  });

  test('takes a key, then another one with a message, then nothing', async () => {
    await using site = await newTwins({});
    await site.both('sh', ['-c', `echo '${KEY}' > adm.pub; echo '${OTHER_KEY}' > adm@home.pub`]);
    await site.same(['setup', '-pk', 'adm.pub']);
    assert.equal(await head(site.ours.home), await head(site.realHome));
    await site.sameFile('.gitolite/keydir/adm.pub');
    await site.same(['setup', '--pubkey=adm@home.pub', '-m', 'another key']);
    await site.same(['setup']);
    assert.equal(await head(site.ours.home), await head(site.realHome));
    await site.sameFile('.gitolite/keydir/adm.pub');
    assert.deepEqual(lines(site.ours.home), lines(site.realHome));
    assert.deepEqual(await everything(site.ours.home), await everything(site.realHome));
  });

  test('refuses what is no key, in the same words', async () => {
    await using site = await newTwins({});
    await site.both('sh', ['-c', `echo '${KEY}' > adm.pub; cat adm.pub adm.pub > two.pub; echo hello > bad.pub`]);
    await site.same(['setup', '-a', 'admin']);
    for (const file of ['nosuch.pub', 'adm', 'two.pub', 'bad.pub']) await site.same(['setup', '-pk', file]);
    // The real one dies of the blank in another way.
    await site.both('cp', ['adm.pub', 'a dm.pub']);
    const before = await head(site.ours.home);
    assert.equal((await site.own(['setup', '-pk', 'a dm.pub'])).stderr, "FATAL: bad pubkey file 'a dm.pub'\n");
    assert.equal(await head(site.ours.home), before);
    await site.sameUsage(['setup', '-pk', 'adm.pub', '-a', 'admin']);
    await site.sameUsage(['setup', '-ho', '-a', 'admin']);
    await site.sameUsage(['setup', '-h']);
    await site.sameUsage(['setup', '--nosuch']);
  });

  test('commits a conf that was changed on the server, and makes what it names', async () => {
    await using site = await newTwins({});
    await site.same(['setup', '-a', 'admin']);
    await site.both('sh', ['-c', 'printf "repo foo bar/baz\\n    RW = u1\\n" >> .gitolite/conf/gitolite.conf']);
    await site.same(['setup', '-a', 'ignored']);
    assert.equal(await head(site.ours.home), await head(site.realHome));
    await site.same(['list-phy-repos']);
    assert.deepEqual(await everything(site.ours.home), await everything(site.realHome));
  });

  test('links hooks again that somebody changed, for imported repositories too', async () => {
    await using site = await newTwins({ conf: 'repo gitolite-admin\n    RW+ = admin\nrepo @all\n    RW = @all\n' });
    await site.both('sh', [
      '-c',
      `git init -q --bare repositories/imported.git; git init -q repositories/with-a-tree
       rm repositories/testing.git/hooks/update; echo changed > .gitolite/hooks/common/update`,
    ]);
    await site.same(['access', 'testing', 'u1', 'W']);
    await site.same(['access', 'imported', 'u1', 'W']);
    await site.same(['setup', '--hooks-only']);
    await site.same(['access', 'testing', 'u1', 'W']);
    await site.same(['access', 'imported', 'u1', 'W']);
    await site.same(['list-phy-repos']);
    assert.deepEqual(await everything(site.ours.home), await everything(site.realHome));
    assert.match(readFileSync(join(site.ours.home, '.gitolite/hooks/common/update'), 'utf8'), /^#!\/bin\/sh\n/);
  });

  test("needs an administrator's name or key the first time", async () => {
    await using site = await newTwins({});
    const { code, stderr } = await site.own(['setup']);
    assert.equal(code, 25);
    assert.equal(stderr, "FATAL: '-pk' or '-a' required; see 'gitolite setup -h' for more\n");
  });
});

suite('the hooks of a site', () => {
  test('refuse a push that goes around the gate, unless an administrator says so', async () => {
    await using site = await newSite('testing');
    site.git('commit', '-q', '--allow-empty', '-m', 'one');
    assert.throws(() => site.git('push', '-q', 'origin', 'HEAD:master'), /does not come through the gate/);
    site.bypass('push', '-q', 'origin', 'HEAD:master');
    assert.match(
      site.text('log'),
      /^[-\d.:]+\t77\tupdate\t\S+testing.git\t\(tester\)\tbypass\trefs\/heads\/master\t0{40}\t\w{40}\n$/,
    );
  });

  test('put in force what an administrator pushes around the gate', async () => {
    await using site = await newSite('gitolite-admin');
    site.write('work/conf/more.conf', 'repo more\n');
    site.git('add', '.');
    site.git('commit', '-q', '-m', 'more');
    site.bypass('push', '-q', 'origin', 'HEAD:elsewhere');
    assert.equal(site.text('called'), '');
    site.bypass('push', '-q', 'origin', 'HEAD:master');
    assert.equal(site.text('called'), 'compile\ntrigger POST_COMPILE\n');
    assert.equal(site.text('.gitolite/conf/more.conf'), 'repo more\n');
    site.write('work/local/hooks/common/pre-receive', '#!/bin/sh\n');
    site.git('add', '.');
    site.git('commit', '-q', '-m', 'a hook');
    site.bypass('push', '-q', 'origin', 'HEAD:master');
    assert.match(site.text('called'), /compile\nsetup --hooks-only\ntrigger POST_COMPILE\n$/);
    site.write('work/logs/x', '');
    site.git('add', '.');
    site.git('commit', '-q', '-m', 'logs');
    assert.match(
      site.bypass('push', 'origin', 'HEAD:master'),
      /FATAL: no files\/dirs called 'hooks' or 'logs' are allowed/,
    );
  });
});

interface Work extends AsyncDisposable {
  /** In a clone of the repository. @throws with what it said. */
  git(...args: readonly string[]): string;
  /** The same, as `gitolite push` has it. */
  bypass(...args: readonly string[]): string;
  write(path: string, text: string): void;
  /** Empty where there is none. */
  text(path: string): string;
}

/** A site, a clone of one of its repositories, and a `gitolite` that notes how it was called. */
async function newSite(repository: string): Promise<Work> {
  const ground = await newGround();
  const { home } = ground;
  await ground.gitolite(['setup', '-a', 'admin']);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), text, { mode: 0o755 });
  };
  const stub = `#!/bin/sh\n[ "$1" = query-rc ] && echo "$HOME/.gitolite" || echo "$*" >> "$HOME/called"\n`;
  write('bin/gitolite', stub);
  write('.gitconfig', '[user]\n\tname = a\n\temail = a@b\n');
  const env = { ...ground.env, PATH: `${home}/bin:${process.env['PATH'] ?? ''}` };
  const git = (args: readonly string[], cwd: string, more: Readonly<Record<string, string>> = {}): string => {
    const { status, stdout, stderr } = spawnSync('git', args, { cwd, env: { ...env, ...more }, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return stdout + stderr;
  };
  git(['clone', '-q', `repositories/${repository}.git`, 'work'], home);
  const bypass = { GL_BYPASS_ACCESS_CHECKS: '1', GL_LOGFILE: join(home, 'log'), GL_TID: '77' };
  return {
    git: (...args) => git(args, join(home, 'work')),
    bypass: (...args) => git(args, join(home, 'work'), bypass),
    write,
    text: (path) => (existsSync(join(home, path)) ? readFileSync(join(home, path), 'utf8') : ''),
    [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose](),
  };
}

function head(home: string): Promise<string> {
  const args = ['-C', join(home, 'repositories/gitolite-admin.git'), 'rev-parse', 'refs/heads/master'];
  return Promise.resolve(execFileSync('git', args, { encoding: 'utf8' }));
}

/** authorized_keys, but for where the programs lie. */
function lines(home: string): string {
  return readFileSync(join(home, '.ssh/authorized_keys'), 'utf8').replaceAll(/command="\S+\/gitolite-shell/g, 'SHELL');
}

/** What each program keeps for itself; and git's samples of hooks, which nobody runs and ours does not multiply. */
const OWN_FILES = /^\.gitolite\/conf\/(?:gitolite\.conf-compiled\.pm|rule_info|gitolite\.conf-in-force)$|\.sample$/;

/** Path -> type, mode, target of a link. */
async function everything(home: string): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const path of (await readdir(home, { recursive: true })).sort()) {
    const stat = await lstat(join(home, path));
    if (OWN_FILES.test(path)) continue;
    const target = stat.isSymbolicLink() ? await readlink(join(home, path)) : '';
    found[path] = `${stat.mode.toString(8)} ${target.replace(home, '~')}`;
  }
  return found;
}
