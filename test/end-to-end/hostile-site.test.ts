/**
 * A gitolite site under attack by its own users: who may push, who has a key, who may change a part of the conf, and who
 * comes by the web. Each does what would get past the rules, into files that are not theirs, or in everybody's way.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, lstatSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Account, OWN_PROGRAMS } from '../support/account.ts';
import { run, suiteScope, type Ended } from '../support/workspace.ts';

const CONF = `
repo gitolite-admin
    RW+                      = admin
    RW                       = lee
    RW VREF/NAME/conf/teams/ = lee
    -  VREF/NAME/            = lee

repo shared/secret
    option deny-rules = 1
    RW+ = ann
    -   = @all

repo shared/..*
    C   = @all
    RW+ = CREATOR
    RW  = WRITERS
    R   = READERS @all

repo parts
    RW+                      = ann
    -   VREF/NAME/secret/    = bob
    -   VREF/NAME_NC/private = bob
    -   VREF/lock            = bob
    RW+                      = bob

subconf "teams/*.conf"

=begin template-data
repo shared/../../../outside shared/victim//inside = @base
    READERS = bob
=end
`;

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUzRC2eIBQd4VpC6Zr4L0Db3x5j2m5K0o3m7F3Q2xYk admin\n';
const MIB = 1024 * 1024;

describe('a gitolite site under attack', { timeout: 180_000 }, () => {
  const scope = suiteScope();
  let account: Account;

  before(
    async () => {
      account = new Account(scope, OWN_PROGRAMS);
      account.put('admin.pub', KEY);
      ok(await account.gitolite(['setup', '-pk', 'admin.pub']));
      account.put('.gitolite/conf/gitolite.conf', CONF);
      const settings = readFileSync(join(account.home, '.gitolite.rc'), 'utf8');
      account.put(
        '.gitolite.rc',
        settings
          .replace(/# '(D|fork|create)'/g, `'$1'`)
          .replace(/# (LOCAL_CODE +=> +"\$ENV\{HOME\}\/local")/, '$1')
          .replace(
            /^( *)'ssh-authkeys',/m,
            `$1'ssh-authkeys',\n$1'show-env',\n$1'symbolic-ref',\n$1'lock',\n$1'config',`,
          ),
      );
      account.put('local/commands/show-env', '#!/bin/sh\nenv\n');
      chmodSync(join(account.home, 'local/commands/show-env'), 0o755);
      ok(await account.gitolite(['compile']));
      ok(await account.git('ann', ['ls-remote', 'site:shared/victim']));
      const tree = await work('ann', 'shared/secret', 'secret');
      account.put(join(tree, 'file'), 'text\n');
      await push('ann', tree);
    },
    { timeout: 120_000 },
  );
  after(() => scope.close());

  function ok(ended: Ended): Ended {
    assert.equal(ended.code, 0, ended.stderr);
    return ended;
  }

  async function work(user: string, name: string, folder: string): Promise<string> {
    const tree = join(account.work, folder);
    ok(await account.git(user, ['clone', '-q', `site:${name}`, tree]));
    return tree;
  }

  /** Everything in the tree, as a commit on master. */
  async function push(user: string, tree: string): Promise<Ended> {
    ok(await account.git(user, ['add', '-A'], { cwd: tree }));
    ok(await account.git(user, ['commit', '-qm', 'a change'], { cwd: tree }));
    return account.git(user, ['push', '-q', 'origin', 'HEAD:refs/heads/master'], { cwd: tree });
  }

  /** What a web server runs for a URL of a command. */
  function web(user: string | undefined, command: string, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const [verb = '', ...words] = command.split(' ');
    const told = {
      REQUEST_METHOD: 'GET',
      REQUEST_URI: `/${verb}`,
      PATH_INFO: `/${verb}`,
      QUERY_STRING: words.join('+'),
    };
    const who = user === undefined ? {} : { REMOTE_USER: user };
    return run(OWN_PROGRAMS.shell, [], {
      cwd: account.home,
      env: { ...account.env, GITOLITE_HTTP_HOME: account.home, ...told, ...who, ...env },
    });
  }

  test('another spelling of a name is no way past the rules of that name', async () => {
    for (const name of ['shared/secret', 'shared//secret', 'shared/./secret', 'shared/secret/.']) {
      const ended = await account.git('bob', ['ls-remote', `site:${name}`]);
      assert.notEqual(ended.code, 0, name);
      assert.equal(ended.stdout, '', name);
    }
    assert.equal(existsSync(join(account.home, 'repositories/shared/secret')), false);
  });

  test('no fork lies in another repository', async () => {
    for (const name of ['shared/victim.git/refs/heads/evil,', 'shared/victim,/..', 'shared//fork']) {
      const ended = await account.ssh('bob', `fork shared/victim ${name}`);
      assert.equal(ended.code, 1, name);
      assert.match(ended.stderr, /already exists or you are not allowed to create it/);
    }
    assert.equal(existsSync(join(account.home, 'repositories/shared/victim.git/refs/heads/evil,.git')), false);
  });

  test('who comes without a name is not the account itself', async () => {
    const ssh = { SSH_CONNECTION: '192.0.2.7 40000 192.0.2.1 22', SSH_ORIGINAL_COMMAND: 'writable @all off no' };
    const ended = await run(OWN_PROGRAMS.shell, [], { cwd: account.home, env: { ...account.env, ...ssh } });
    assert.notEqual(ended.code, 0);
    await web(undefined, 'writable @all off no');
    assert.equal(existsSync(join(account.home, '.gitolite.down')), false);
  });

  test('a name from the web is no word of the forced command', async () => {
    const rc = join(account.home, '.gitolite.rc');
    const settings = readFileSync(rc, 'utf8');
    account.put(rc, settings.replace("'show-env',", "'show-env', 'Shell ann',"));
    for (const user of ['-s', '-s ann', '-c', 'a\nb', '../ann']) {
      const { stdout } = await web(user, 'echo leaked');
      assert.match(stdout, /FATAL: invalid user/, JSON.stringify(user));
      assert.doesNotMatch(stdout, /^leaked/m);
    }
    account.put(rc, settings);
  });

  test("a page of another site cannot send Git's requests by a command's URL", async () => {
    const ended = await web('ann', "git-receive-pack 'shared/victim'");
    assert.match(ended.stdout, /FATAL: unknown git\/gitolite command/);
  });

  test('what a client sets in its environment steers neither the gate nor git', async () => {
    const log = join(account.home, 'stolen-log');
    account.put('evil.rc', '$RC{UNSAFE_PATT} = "x";\n%RC = ( HTTP_ANON_USER => "admin", SITE_INFO => "evil", );\n1;\n');
    const env = {
      GL_BYPASS_CREATOR_CHECK: '1',
      GL_BYPASS_ACCESS_CHECKS: '1',
      GL_LOGFILE: log,
      G3T_RC: join(account.home, 'evil.rc'),
      GIT_TRACE: log,
      GIT_DIR: join(account.home, 'repositories/gitolite-admin.git'),
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'core.hooksPath',
      GIT_CONFIG_VALUE_0: account.home,
    };
    const said = await account.ssh('bob', 'info', { env });
    assert.doesNotMatch(said.stdout, /evil/);
    assert.notEqual((await account.ssh('bob', 'perms -c closed/mine', { env, stdin: '' })).code, 0);
    ok(await account.ssh('bob', 'create shared/bobs', { env }));
    assert.equal(existsSync(join(account.home, 'repositories/shared/bobs.git/HEAD')), true);
    assert.equal(existsSync(log), false);
  });

  test('a header of the web is no proxy for programs of the site', async () => {
    const { stdout } = await web('ann', 'show-env', { HTTP_PROXY: 'http://evil.example', HTTP_ACCEPT: 'all' });
    assert.match(stdout, /^HTTP_ACCEPT=all$/m);
    assert.doesNotMatch(stdout, /evil/);
  });

  test('perms grow no larger than can be read, and warn of a few lines only', async () => {
    const line = 'READERS ann\n';
    const full = line.repeat(Math.floor(MIB / line.length));
    ok(await account.ssh('ann', 'perms -c shared/large', { stdin: full }));
    await account.ssh('ann', 'perms shared/large + READERS a-name-that-does-not-fit-any-more-by-far');
    ok(await account.ssh('bob', 'info'));
    ok(await account.ssh('ann', 'perms -c shared/large', { stdin: `READERS ${'! '.repeat(100_000)}\n` }));
    const said = ok(await account.ssh('bob', 'info'));
    assert.ok(said.stderr.length < 10_000, `${said.stderr.length} characters`);
  });

  test('rules about names of files see what is renamed away, and names in any alphabet', async () => {
    const anns = await work('ann', 'parts', 'parts-of-ann');
    for (const path of ['secret/key', 'private', 'open']) account.put(join(anns, path), `${path} `.repeat(100));
    ok(await push('ann', anns));
    ok(await account.ssh('ann', 'lock -l parts open'));
    const bobs = await work('bob', 'parts', 'parts-of-bob');
    const start = ok(await account.git('bob', ['rev-parse', 'HEAD'], { cwd: bobs })).stdout.trim();
    const attempt = async (prepare: () => Promise<unknown>): Promise<string> => {
      await prepare();
      const { stderr } = await push('bob', bobs);
      ok(await account.git('bob', ['reset', '-q', '--hard', start], { cwd: bobs }));
      return stderr;
    };
    const moves = (from: string) => () => account.git('bob', ['mv', from, 'mine'], { cwd: bobs });
    assert.match(await attempt(moves('secret/key')), /DENIED by VREF\/NAME\/secret\//);
    assert.match(await attempt(moves('private')), /DENIED by VREF\/NAME_NC\/private/);
    assert.match(await attempt(moves('open')), /'open' locked by 'ann'/);
    for (const name of ['é', 'a\tb', 'a"b', 'a\nb'])
      assert.match(
        await attempt(async () => account.put(join(bobs, 'secret', name), 'text')),
        /DENIED by VREF\/NAME\/secret\//,
      );
  });

  test('symbolic-ref writes no file of the repository but HEAD', async () => {
    const path = join(account.home, 'repositories/shared/victim.git');
    ok(await account.ssh('ann', 'symbolic-ref shared/victim HEAD refs/heads/other'));
    assert.equal(readFileSync(join(path, 'HEAD'), 'utf8'), 'ref: refs/heads/other\n');
    for (const name of ['gl-perms', 'config', 'refs/heads/linked', '-m x gl-creator', '-q config'])
      assert.equal((await account.ssh('ann', `symbolic-ref shared/victim ${name} refs/heads/other`)).code, 1, name);
    assert.match(readFileSync(join(path, 'config'), 'utf8'), /\[core\]/);
    for (const name of ['gl-perms', 'refs/heads/linked']) assert.equal(existsSync(join(path, name)), false, name);
  });

  test("config shows nothing of the account's own configuration", async () => {
    account.put('.gitconfig', '[http]\n    extraHeader = "Authorization: Bearer PRIVATE"\n');
    const { stdout } = ok(await account.ssh('bob', 'config shared/victim --list'));
    assert.match(stdout, /^core\.bare=true$/m);
    assert.doesNotMatch(stdout, /PRIVATE/);
  });

  test('template data makes no repository outside, or inside another', () => {
    assert.equal(existsSync(join(account.home, 'outside.git')), false);
    assert.equal(existsSync(join(account.home, '..', 'outside.git')), false);
    assert.equal(existsSync(join(account.home, 'repositories/shared/victim/inside.git')), false);
  });

  test('a part of the conf shows no file of the account to who may push it', async () => {
    account.put('private-key', 'PRIVATE STUFF\n');
    const tree = await work('lee', 'gitolite-admin', 'delegate');
    account.put(join(tree, 'conf/teams/eng.conf'), '');
    // Away from where lee may not change anything, as a file that was renamed.
    ok(await account.git('lee', ['mv', 'keydir/admin.pub', 'conf/teams/admin.pub'], { cwd: tree }));
    assert.match((await push('lee', tree)).stderr, /DENIED by VREF\/NAME\//);
    ok(await account.git('lee', ['reset', '-q', '--hard', 'HEAD^'], { cwd: tree }));
    account.put(join(tree, 'conf/teams/eng.conf'), '');
    for (const target of ['../../../private-key', join(account.home, 'private-key'), '../../gatehouse/gate.log']) {
      symlinkSync(target, join(tree, 'conf/teams/leak.conf'));
      const ended = await push('lee', tree);
      assert.match(ended.stderr, /FATAL: 'conf\/teams\/leak.conf' is a symbolic link/);
      assert.doesNotMatch(ended.stderr, /PRIVATE/);
      ok(await account.git('lee', ['rm', '-q', 'conf/teams/leak.conf'], { cwd: tree }));
    }
    ok(await push('lee', tree));
  });

  test('a push of gitolite-admin does not reach the data of the gate, nor other folders through links', async () => {
    const tree = await work('admin', 'gitolite-admin', 'admin');
    const data = join(account.home, '.gitolite/gatehouse');
    const settings = join(data, 'gatehouse.toml');
    const was = existsSync(settings) ? readFileSync(settings, 'utf8') : undefined;
    account.put(join(tree, 'gatehouse/gatehouse.toml'), 'evil = 1\n');
    assert.match((await push('admin', tree)).stderr, /FATAL: no files\/dirs called 'gatehouse' are allowed/);
    assert.equal(existsSync(settings) ? readFileSync(settings, 'utf8') : undefined, was);
    ok(await account.git('admin', ['rm', '-rq', 'gatehouse'], { cwd: tree }));
    symlinkSync('/nowhere', join(tree, 'gatehouse'));
    assert.match((await push('admin', tree)).stderr, /FATAL: no files\/dirs called 'gatehouse' are allowed/);
    assert.equal(lstatSync(data).isDirectory(), true);
    ok(await account.git('admin', ['rm', '-q', 'gatehouse'], { cwd: tree }));
    ok(await account.git('admin', ['mv', 'keydir', 'keys'], { cwd: tree }));
    symlinkSync('../.ssh', join(tree, 'keydir'));
    assert.match((await push('admin', tree)).stderr, /FATAL: 'keydir' is a symbolic link/);
    assert.equal(lstatSync(join(account.home, '.gitolite/keydir')).isDirectory(), true);
    ok(await account.git('admin', ['rm', '-q', 'keydir'], { cwd: tree }));
    ok(await account.git('admin', ['mv', 'keys', 'keydir'], { cwd: tree }));
    ok(await push('admin', tree));
  });
});
