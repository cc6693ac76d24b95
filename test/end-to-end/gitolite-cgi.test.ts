/**
 * A site behind a web server that knows who asks: clones and pushes, everybody without a name, refusals in words, commands.
 * Where the real gitolite is installed the same conversation is held with it, and where nginx is, through nginx.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Account, OWN_PROGRAMS, realPrograms, type Programs } from '../support/account.ts';
import { startCgi } from '../support/cgi.ts';
import { noNginx, startNginx, type NginxUrls } from '../support/nginx.ts';
import { suiteScope, type Ended, type Scope } from '../support/workspace.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo lab
    RW+ = ann
    R   = bob anonymous
repo closed
    RW+ = ann
repo people/CREATOR/..*
    C   = ann
    RW+ = CREATOR
`;

type Serve = (scope: Scope, account: Account) => Promise<NginxUrls>;

converse('the gitolite-shell of Gatehouse', OWN_PROGRAMS, serveCgi);
const real = realPrograms();
if (real === undefined) test('a web server with the real gitolite', { skip: 'gitolite is not installed' });
else converse('the real gitolite-shell', real, serveCgi);
const absent = noNginx();
if (absent === false) converse('nginx, fcgiwrap and the gitolite-shell of Gatehouse', OWN_PROGRAMS, serveNginx);
else test('nginx with the gitolite-shell of Gatehouse', { skip: absent });

/** A server that runs programs, and believes whoever gives a name. */
async function serveCgi(scope: Scope, account: Account): Promise<NginxUrls> {
  const env = {
    ...account.env,
    // As web servers do, without the account's own home.
    HOME: '/nonexistent',
    GITOLITE_HTTP_HOME: account.home,
    GIT_PROJECT_ROOT: join(account.home, 'repositories'),
    GIT_HTTP_EXPORT_ALL: '1',
  };
  const url = await startCgi(scope, { program: account.programs.shell, env });
  return { named: url, open: url };
}

function serveNginx(scope: Scope, account: Account): Promise<NginxUrls> {
  return startNginx(scope, { program: account.programs.shell, home: account.home, users: ['ann', 'bob'] });
}

function converse(owner: string, programs: Programs, serve: Serve): void {
  describe(`a web server: ${owner}`, { timeout: 120_000 }, () => {
    const scope = suiteScope();
    let account: Account;
    let urls: NginxUrls;

    before(
      async () => {
        account = new Account(scope, programs);
        ok(await account.gitolite(['setup', '-a', 'admin']));
        urls = await serve(scope, account);
        account.put('.gitolite/conf/gitolite.conf', CONF);
        const settings = readFileSync(join(account.home, '.gitolite.rc'), 'utf8');
        account.put('.gitolite.rc', settings.replace('%RC = (', "%RC = (\n    HTTP_ANON_USER => 'anonymous',"));
        ok(await account.gitolite(['compile']));
      },
      { timeout: 120_000 },
    );
    after(() => scope.close());

    function ok(ended: Ended): Ended {
      assert.equal(ended.code, 0, ended.stderr);
      return ended;
    }

    function url(repository: string, base = urls.named): string {
      return `${base.href}/${repository}.git`;
    }

    /** A client that the web server knows as `user`. */
    function git(user: string | undefined, args: readonly string[], cwd = account.work): Promise<Ended> {
      const known = user === undefined ? [] : ['-c', `http.extraHeader=Authorization: ${nameTag(user)}`];
      return account.git('', [...known, ...args], { cwd });
    }

    test('clones, and takes pushes large and small', async () => {
      const tree = join(account.work, 'lab');
      ok(await git('ann', ['clone', '-q', url('lab'), tree]));
      for (const [name, bytes] of [
        ['small', 10],
        ['large', 3 * 1024 * 1024],
      ] as const) {
        writeFileSync(join(tree, name), randomBytes(bytes));
        ok(await git('ann', ['add', '-A'], tree));
        ok(await git('ann', ['commit', '-qm', name], tree));
        const pushed = ok(await git('ann', ['push', 'origin', 'HEAD:main'], tree));
        assert.match(pushed.stderr, /HEAD -> main/);
      }
      for (const protocol of [0, 2]) {
        const seen = join(account.work, `lab-${protocol}`);
        const words = ['-c', `protocol.version=${protocol}`, 'clone', '-q', '-b', 'main', url('lab', urls.open), seen];
        ok(await git(undefined, words));
        ok(await git(undefined, ['fsck', '--strict'], seen));
      }
    });

    test('makes what its user may make', async () => {
      const made = ok(await git('ann', ['ls-remote', url('people/ann/notes')]));
      assert.equal(made.stdout, '');
      const listed = ok(await account.gitolite(['list-phy-repos']));
      assert.match(listed.stdout, /^people\/ann\/notes$/m);
    });

    test('refuses in words that git shows', async () => {
      const read = await git('bob', ['ls-remote', url('closed')]);
      assert.equal(read.code, 128);
      assert.match(read.stderr, /remote error: FATAL: R any closed bob DENIED by fallthru\n\(or you mis-spelled/);
      const nobody = await git(undefined, ['ls-remote', url('closed', urls.open)]);
      assert.match(nobody.stderr, /FATAL: R any closed anonymous DENIED by fallthru/);
      const push = await git('bob', ['push', url('lab'), 'HEAD:x'], join(account.work, 'lab'));
      assert.match(push.stderr, /FATAL: W any lab bob DENIED by fallthru/);
    });

    test('answers commands', async () => {
      const asked = urls.named;
      const headers = { authorization: nameTag('bob') };
      const info = await fetch(`${asked.href}/info`, { headers });
      assert.equal(info.status, 200);
      assert.match(info.headers.get('content-type') ?? '', /^text\/plain/);
      assert.match(await info.text(), /^hello bob, [^\n]*\n\n R {2}\tlab\n$/);
      const help = await (await fetch(`${asked.href}/perms?-h+x%20y`, { headers })).text();
      assert.match(help, /perms/);
      const unknown = await (await fetch(`${asked.href}/reboot`, { headers })).text();
      assert.match(unknown, /FATAL: unknown git\/gitolite command: 'reboot'/);
    });

    test('says behind a head what is wrong with a request', async () => {
      const headers = { authorization: nameTag('bob') };
      const dav = await fetch(`${urls.named.href}/lab.git/`, { method: 'PROPFIND', headers });
      assert.equal(dav.status, 200);
      assert.match(await dav.text(), /ERR FATAL: fallback to DAV not supported\n/);
      if (serve !== serveCgi) return;
      const odd = await fetch(`${urls.named.href}/info`, { headers: { authorization: nameTag('bob smith') } });
      assert.equal(odd.status, 200);
      assert.match(odd.headers.get('content-type') ?? '', /^text\/plain/);
      assert.match(await odd.text(), /^FATAL: invalid user 'bob smith'/m);
    });
  });
}

if (absent === false) {
  test('nginx: a name that nobody has checked counts for nothing', { timeout: 120_000 }, async (t) => {
    const account = new Account(t, OWN_PROGRAMS);
    assert.equal((await account.gitolite(['setup', '-a', 'ann'])).code, 0);
    const urls = await serveNginx(t, account);
    const wrong = { authorization: `Basic ${Buffer.from('ann:wrong').toString('base64')}` };
    assert.equal((await fetch(`${urls.named.href}/info`, { headers: wrong })).status, 401);
    assert.equal((await fetch(`${urls.named.href}/info`)).status, 401);
    for (const headers of [wrong, { authorization: nameTag('ann') }, { 'remote-user': 'ann', remote_user: 'ann' }]) {
      const text = await (await fetch(`${urls.open.href}/info`, { headers })).text();
      assert.doesNotMatch(text, /hello ann|gitolite-admin/);
    }
    assert.match(
      await (await fetch(`${urls.named.href}/info`, { headers: { authorization: nameTag('ann') } })).text(),
      /hello ann/,
    );
  });
}

function nameTag(user: string): string {
  return `Basic ${Buffer.from(`${user}:x`).toString('base64')}`;
}
