/**
 * A site behind a real sshd: with the forced commands that a compile writes into authorized_keys, and with an
 * AuthorizedKeysCommand that finds one of 20,000 keys.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Account, OWN_PROGRAMS, realPrograms, type Programs } from '../support/account.ts';
import { noSshd, startSshd, type Sshd } from '../support/sshd.ts';
import { expectRun, run, suiteScope, type Ended, type Scope } from '../support/workspace.ts';

const NO_SSHD = noSshd();
const KEYS = 20_000;
const CONF = `
repo gitolite-admin
    RW+ = admin
repo lab
    RW+ = ann
    R   = bob
`;

interface Site {
  readonly account: Account;
  readonly sshd: Sshd;
}

function keyOf({ account }: Pick<Site, 'account'>, name: string): string {
  return join(account.work, 'keys', name);
}

async function openSite(
  scope: Scope,
  programs: Programs,
  authorization: (home: string) => readonly string[],
): Promise<Site> {
  const account = new Account(scope, programs);
  mkdirSync(join(account.work, 'keys'));
  for (const name of ['admin', 'ann', 'bob', 'stranger']) {
    const path = keyOf({ account }, name);
    await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', `${name}@laptop`, '-f', path]);
  }
  const made = await account.gitolite(['setup', '-pk', `${keyOf({ account }, 'admin')}.pub`]);
  assert.equal(made.code, 0, made.stderr);
  const sshd = await startSshd(scope, { home: account.home, lines: authorization(account.home) });
  return { account, sshd };
}

function git(site: Site, user: string, args: readonly string[], cwd = site.account.work): Promise<Ended> {
  const env = { ...site.account.env, GIT_SSH_COMMAND: site.sshd.client(keyOf(site, user)) };
  return run('git', args, { cwd, env });
}

async function gitOk(site: Site, user: string, args: readonly string[], cwd?: string): Promise<Ended> {
  const ended = await git(site, user, args, cwd);
  assert.equal(ended.code, 0, `${ended.stderr}\n${site.sshd.log()}`);
  return ended;
}

function ssh(site: Site, user: string, command = ''): Promise<Ended> {
  return run('sh', ['-c', `${site.sshd.client(keyOf(site, user))} site ${command}`], { env: site.account.env });
}

/** As the administrator, by a push. */
async function admit(site: Site): Promise<void> {
  const { account } = site;
  const tree = join(account.work, 'admin');
  await gitOk(site, 'admin', ['clone', '-q', 'site:gitolite-admin', tree]);
  account.put(join(tree, 'conf/gitolite.conf'), CONF);
  for (const name of ['ann', 'bob']) {
    account.put(join(tree, `keydir/${name}.pub`), readFileSync(`${keyOf(site, name)}.pub`, 'utf8'));
  }
  await gitOk(site, 'admin', ['add', '-A'], tree);
  await gitOk(site, 'admin', ['commit', '-qm', 'people'], tree);
  const pushed = await gitOk(site, 'admin', ['push', 'origin', 'HEAD'], tree);
  assert.match(pushed.stderr, /Initialized empty Git repository in .*\/lab\.git\//);
}

/** What everybody may do, and what not. */
async function work(site: Site): Promise<void> {
  const { account } = site;
  const info = await ssh(site, 'ann');
  assert.equal(info.code, 0, info.stderr);
  assert.match(info.stdout, /^hello ann, [^\n]*\n\n R W\tlab\n$/);
  const tree = join(account.work, 'lab');
  await gitOk(site, 'ann', ['clone', '-q', 'site:lab', tree]);
  // More than a pipe holds, in both directions.
  writeFileSync(join(tree, 'large'), randomBytes(2 * 1024 * 1024));
  await gitOk(site, 'ann', ['add', '-A'], tree);
  await gitOk(site, 'ann', ['commit', '-qm', 'one'], tree);
  await gitOk(site, 'ann', ['push', '-q', 'origin', 'HEAD:main'], tree);
  await gitOk(site, 'bob', ['clone', '-q', '-b', 'main', 'site:lab', join(account.work, 'lab-bob')]);
  const refused = await git(site, 'bob', ['push', 'origin', 'HEAD:main'], join(account.work, 'lab-bob'));
  assert.equal(refused.code, 128);
  assert.match(refused.stderr, /FATAL: W any lab bob DENIED by fallthru\n\(or you mis-spelled the reponame\)/);
  const unknown = await ssh(site, 'bob', 'reboot');
  assert.deepEqual(unknown, { code: 25, stdout: '', stderr: "FATAL: unknown git/gitolite command: 'reboot'\n" });
  const stranger = await ssh(site, 'stranger', 'info');
  assert.equal(stranger.code, 255);
  assert.match(stranger.stderr, /Permission denied/);
}

forcedCommand('Gatehouse', OWN_PROGRAMS);
const real = realPrograms();
if (real === undefined) test('sshd with the real gitolite', { skip: 'gitolite is not installed' });
else forcedCommand('the real gitolite', real);

function forcedCommand(owner: string, programs: Programs): void {
  describe(`sshd with the forced commands of ${owner}`, { skip: NO_SSHD }, () => {
    const scope = suiteScope();
    after(() => scope.close());

    test('lets in whom a push admits, to what they may', { timeout: 120_000 }, async () => {
      const site = await openSite(scope, programs, (home) => [`AuthorizedKeysFile ${home}/.ssh/authorized_keys`]);
      await admit(site);
      await work(site);
      const lines = readFileSync(join(site.account.home, '.ssh/authorized_keys'), 'utf8').split('\n');
      const users = lines.flatMap((line) => /^command="\S+\/gitolite-shell (\w+)",no-/.exec(line)?.[1] ?? []);
      assert.deepEqual(users, ['admin', 'ann', 'bob']);
    });
  });
}

describe('sshd that asks for each key', { skip: NO_SSHD }, () => {
  const scope = suiteScope();
  let site: Site;
  before(
    async () => {
      const shell = join(dirname(OWN_PROGRAMS.shell), 'gatehouse-shell');
      site = await openSite(scope, OWN_PROGRAMS, (home) => [
        'AuthorizedKeysFile none',
        // The command of a real account needs no `env`: sshd gives it the account's home.
        `AuthorizedKeysCommand /usr/bin/env HOME=${home} ${shell} --authorized-keys %u %f`,
        `AuthorizedKeysCommandUser ${userInfo().username}`,
      ]);
      await admit(site);
    },
    { timeout: 120_000 },
  );
  after(() => scope.close());

  test('lets in each of 20,000 keys by its fingerprint', { timeout: 120_000 }, async () => {
    addKeys(site.account, KEYS);
    await work(site);
  });

  test('is told nothing of a key that nobody has, and of another account', async () => {
    const shell = join(dirname(OWN_PROGRAMS.shell), 'gatehouse-shell');
    const { username } = userInfo();
    const [, blob = ''] = readFileSync(`${keyOf(site, 'ann')}.pub`, 'utf8').split(' ');
    const ask = (account: string, key: string): Promise<Ended> =>
      run(shell, ['--authorized-keys', account, key], { env: site.account.env });
    const held = await ask(username, blob);
    assert.match(held.stdout, /^command="\S+\/gitolite-shell ann",no-port-forwarding,\S+ ssh-ed25519 \S+\n$/);
    const nothing = { code: 0, stdout: '', stderr: '' };
    assert.deepEqual(await ask(`${username}x`, blob), nothing);
    assert.deepEqual(await ask(username, `SHA256:${'A'.repeat(43)}`), nothing);
    assert.deepEqual(await ask(username, '-o'), nothing);
    assert.equal((await run(shell, ['--authorized-keys'], { env: site.account.env })).code, 2);
  });
});

/** Keys that nobody has the other half of. */
function addKeys({ home }: Account, count: number): void {
  const folder = join(home, '.gitolite/keydir/many');
  mkdirSync(folder);
  const head = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32])]);
  for (let index = 0; index < count; index += 1) {
    const blob = Buffer.concat([head, randomBytes(32)]).toString('base64');
    writeFileSync(join(folder, `user${index}.pub`), `ssh-ed25519 ${blob} user${index}\n`);
  }
}
