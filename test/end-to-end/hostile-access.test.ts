/**
 * Ways around the walk: an unreadable repository through every transport and command, credentials that no longer or do
 * not reach that far, `as` within `as`, options in place of names, and text that would act on a terminal.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client } from 'ssh2';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { ask, daemonRequest, login, rpc, say, shout } from '../support/attacker.ts';
import { addPerson, git, gitOk, makePerson, ssh, url, type Person } from '../support/gate.ts';
import { bareOf, besiege, done, makeToken, type Siege } from '../support/siege.ts';

/** What a terminal acts on instead of showing it. */
const OBEYED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

let siege: Siege;
let mallory: { readonly person: Person; readonly client: Client; readonly token: string };
const cleanups: (() => unknown)[] = [];

before(
  async () => {
    const scope = { after: (cleanup: unknown) => cleanups.push(cleanup as () => unknown) };
    siege = await besiege(scope);
    const person = await addPerson(siege.site, 'mallory');
    const client = await login(siege.site.gate, person);
    cleanups.push(() => client.end());
    mallory = { person, client, token: await makeToken(client, 'all', 'admin') };
    await done(siege.ownerSsh, 'create secret/plan');
    await gitOk(siege.owner, ['push', '-q', url(siege.site.gate, 'ssh', 'secret/plan'), 'main'], siege.tree);
  },
  { timeout: 60_000 },
);
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** A command of Mallory's over the API, where its words may hold anything. */
async function call(argv: readonly string[], options: { readonly token?: string; readonly stdin?: string } = {}) {
  const { token = mallory.token, stdin } = options;
  const body = JSON.stringify({ argv, ...(stdin === undefined ? {} : { stdin }) });
  const headers = { 'content-type': 'application/json' };
  const answer = await ask(siege.site.gate, { path: '/api/v1/commands', token, body: [body], headers });
  assert.equal(answer.code, 200, answer.text);
  return JSON.parse(Buffer.from(answer.text, 'latin1').toString()) as { exit: number; stdout: string; stderr: string };
}

describe('a way around', () => {
  const SECRET = 'secret/plan';
  const NOWHERE = 'secret/none';

  test('to a repository that may not be read ends where one that does not exist does, word for word', async () => {
    const { gate } = siege.site;
    const forBoth = async (ask: (name: string) => Promise<unknown>, what: string): Promise<void> => {
      const [there, absent] = [await ask(SECRET), await ask(NOWHERE)].map((answer) =>
        JSON.stringify(answer).replaceAll(SECRET, 'NAME').replaceAll(NOWHERE, 'NAME'),
      );
      assert.equal(there, absent, what);
      assert.ok(!(there ?? '').includes('olga'), what);
    };
    const services = ['upload-pack', 'receive-pack', 'upload-archive'] as const;
    for (const service of services) {
      for (const spelling of ['NAME', '/NAME.git', '~/NAME', 'NAME/', "'NAME'", '/NAME.git/']) {
        const line = (name: string): string => `git-${service} ${spelling.replace('NAME', name)}`;
        await forBoth((name) => say(mallory.client, line(name)), `${service} ${spelling} over ssh`);
      }
      await forBoth((name) => shout(gate.git, [daemonRequest(service, `/${name}`)]), `${service} over git://`);
      for (const token of [mallory.token, undefined]) {
        const body = { service, words: ['0000'], token };
        await forBoth(async (name) => {
          const { code, text, headers } = await rpc(gate, { name, ...body });
          return { code, text, challenge: headers['www-authenticate'] };
        }, `${service} over http`);
        await forBoth(async (name) => {
          const { code, text } = await ask(gate, { path: `/${name}/info/refs?service=git-${service}`, token });
          return { code, text };
        }, `info/refs of ${service}`);
        await forBoth(async (name) => {
          const { code, text } = await ask(gate, { path: `/${name}/HEAD`, token });
          return { code, text };
        }, 'the dumb protocol');
      }
    }
    const commands = [
      'config NAME show',
      'config NAME show public',
      'config NAME set public yes',
      'config NAME set owner mallory',
      'config NAME del public',
      'rules NAME show',
      'rules NAME set',
      'rules NAME del',
      'destroy NAME',
      'destroy NAME 0123456789abcdef',
      'rename NAME mine',
      'copy NAME mine',
      'gc NAME',
      'fsck NAME',
      'count-objects NAME',
      'access explain mallory read NAME',
      'access explain olga read NAME',
      'access explain anonymous write NAME',
      'access explain mallory update-ref NAME refs/heads/main',
      'ls NAME',
      'ls NAME --json',
      'graveyard restore NAME',
      'audit log --repo NAME',
    ];
    for (const command of commands) {
      for (const flag of ['', ' --json']) {
        const line = (name: string): string => command.replace('NAME', name) + flag;
        await forBoth((name) => say(mallory.client, line(name)), `${line('NAME')} over ssh`);
        await forBoth((name) => call(line(name).split(' ')), `${line('NAME')} over the API`);
      }
    }
    const told = await say(mallory.client, `git-upload-pack ${SECRET}`);
    assert.equal(told.code, 1);
    assert.ok(told.stderr.startsWith(`gatehouse: no such repository, or you may not read it: ${SECRET}\n`));
    await siege.journal.next({
      principal: 'mallory',
      transport: 'ssh',
      outcome: 'refused',
      reason: /no such repository/,
    });
    for (const line of ['ls', 'ls -v', 'ls secret', "ls '*'", 'info', 'help', 'whoami']) {
      assert.doesNotMatch((await say(mallory.client, line)).text, /plan/, line);
    }
    await siege.unharmed();
  });

  test('with a name in another spelling says nothing of what is there', async () => {
    for (const line of ['create SECRET/PLAN', 'create secret/plan', 'create secret', 'rename mine secret/plan']) {
      const { stderr } = await say(mallory.client, line);
      assert.doesNotMatch(stderr, /olga/, line);
      if (line.includes('SECRET')) assert.doesNotMatch(stderr, /secret\/plan/, line);
    }
  });

  test('by a token of too little scope, expired, revoked or made up ends at the door', async () => {
    const { site, ownerSsh, tree, owner } = siege;
    const readOnly = await makeToken(ownerSsh, 'ro', 'read');
    const pushed = await git(owner, ['push', url(site.gate, 'http', 'target', readOnly), 'main:refs/heads/x'], tree);
    assert.match(pushed.stderr, /the token ro has only the scope read; to write it needs the scope write/);
    await siege.journal.next({ principal: 'olga', outcome: 'refused', reason: /only the scope read/ });
    for (const argv of [
      ['create', 'mine'],
      ['token', 'create', 'more', '--scope', 'admin'],
      ['sshkey', 'add', 'more'],
      ['config', 'target', 'set', 'public', 'no'],
      ['as', 'olga', 'create', 'mine'],
      ['destroy', 'target'],
      ['audit', 'log'],
    ]) {
      const { exit, stderr } = await call(argv, { token: readOnly });
      assert.equal(exit, 1, argv.join(' '));
      assert.match(stderr, /has only the scope read/, argv.join(' '));
    }
    const write = await makeToken(ownerSsh, 'rw', 'write');
    for (const argv of [
      ['token', 'create', 'more', '--scope', 'admin'],
      ['sshkey', 'add', 'x'],
      ['destroy', 'target'],
    ]) {
      assert.match((await call(argv, { token: write })).stderr, /has only the scope write/, argv.join(' '));
    }
    await done(ownerSsh, 'token revoke rw');
    const brief =
      (await done(ownerSsh, 'token create brief --scope read --expires 1s')).trim().split('\n').at(-1) ?? '';
    while ((await ask(site.gate, { path: '/api/v1/whoami', token: brief })).code === 200);
    for (const token of [write, brief, 'x'.repeat(40), `${readOnly.slice(0, -1)}x`, readOnly.toUpperCase()]) {
      const { code, text } = await ask(site.gate, { path: '/target/info/refs?service=git-upload-pack', token });
      assert.equal(code, 401, 'what anonymous may read is not given to a wrong token');
      assert.equal(text, 'gatehouse: this token is wrong, expired or revoked\n');
      assert.equal((await ask(site.gate, { path: '/api/v1/whoami', token })).code, 401);
    }
    await siege.journal.next({
      event: 'login',
      transport: 'http',
      outcome: 'refused',
      reason: /wrong, expired or revoked/,
    });
    await siege.unharmed();
  });

  test('of somebody suspended, or whose key was deleted, ends on an open connection too', async () => {
    const { site, adminSsh } = siege;
    const carl = await addPerson(site, 'carl');
    const client = await login(site.gate, carl);
    const token = await makeToken(client, 'own', 'admin');
    assert.equal((await say(client, 'whoami')).code, 0);
    await done(adminSsh, 'suspend carl');
    for (const line of ['whoami', 'git-upload-pack target', 'git-receive-pack target', 'sshkey list']) {
      const { stderr, code, text } = await say(client, line, ['0000']);
      assert.deepEqual(
        { code, stderr, text },
        { code: 1, stderr: 'gatehouse: your key is not accepted any more\n', text: '' },
      );
    }
    await siege.journal.next({ event: 'login', transport: 'ssh', outcome: 'refused', reason: /not accepted any more/ });
    assert.equal((await ask(site.gate, { path: '/api/v1/whoami', token })).code, 401);
    assert.equal((await ssh(carl, site.gate, ['whoami'])).code, 255);
    await siege.journal.next({ event: 'login', transport: 'ssh', outcome: 'refused', reason: /no login was accepted/ });
    assert.equal((await say(adminSsh, 'as carl whoami')).code, 1, 'nobody acts as somebody suspended');
    await done(adminSsh, 'resume carl');
    assert.equal((await say(client, 'whoami')).code, 0);
    await done(adminSsh, 'as carl sshkey del default');
    assert.equal((await say(client, 'whoami')).stderr, 'gatehouse: your key is not accepted any more\n');
    client.end();
    await siege.unharmed();
  });

  test('through `as`, the commands of others or the group of administrators is refused', async () => {
    const { adminSsh } = siege;
    const carol = await makePerson(siege.site.root, 'carol');
    for (const [line, stdin] of [
      ['as admin whoami', ''],
      ['as nobody-there whoami', ''],
      ['as mallory as admin whoami', ''],
      ['user add carol c@example.org Carol', ''],
      ['suspend admin', ''],
      ['user del admin', ''],
      ['user rename olga mallory2', ''],
      ['group adduser administrators mallory', ''],
      ['group add administrators2 More', ''],
      ['group addgroup administrators everyone', ''],
      ['as olga sshkey add mine', carol.publicKey],
      ['audit log', ''],
      ['graveyard list', ''],
      ['create gatehouse-admin', ''],
      ['create theirs olga', ''],
      ['copy gatehouse-admin mine', ''],
      ['rename gatehouse-admin mine', ''],
      ['access explain olga read target', ''],
    ] as const) {
      const { code, stderr, text } = await say(mallory.client, line, stdin === '' ? [] : [stdin]);
      assert.notEqual(code, 0, line);
      assert.equal(text, '', line);
      assert.match(stderr, /^gatehouse: /, line);
    }
    const nested = await say(adminSsh, 'as mallory as admin whoami');
    assert.equal(nested.code, 2);
    assert.match(nested.stderr, /as does not nest/);
    // What strangers are told does not depend on whether there is such a user.
    const [there, absent] = await Promise.all([say(mallory.client, 'as olga ls'), say(mallory.client, 'as nobody ls')]);
    assert.equal(there.stderr.replaceAll('olga', 'X'), absent.stderr.replaceAll('nobody', 'X'));
    await siege.unharmed();
  });

  test('by an option in place of a name reaches no program', async () => {
    for (const line of [
      'git-upload-pack --upload-pack=/bin/sh target',
      'git-upload-pack --strict',
      "git-upload-pack '--upload-pack=touch /tmp/x'",
      "git-upload-pack '-u'",
      'git-receive-pack --stateless-rpc target',
      "git-upload-pack 'target; id'",
      "git-upload-pack '$(id)'",
      "git-upload-pack '`id`'",
      "git-upload-pack '../target'",
      "git-upload-pack 'target/../target'",
      "git-upload-pack '/etc'",
      "git-upload-pack 'target%00'",
      "git-upload-pack 'ta\u200brget'",
      "git-upload-pack 'target.git.git'",
      "git-upload-pack ''",
      'git-upload-pack',
      'git-shell',
      'git-upload-pack target | id',
      'git-upload-pack target && id',
      'scp -t /tmp',
      '/bin/sh',
      'rsync --server . .',
      'gc --help=x',
      'fsck --upload-pack=x',
      'create -x',
      'create --template=/tmp/x y',
      'copy target --upload-pack=x',
    ]) {
      const { code, text, stderr } = await say(mallory.client, line, ['0000']);
      assert.notEqual(code, 0, line);
      assert.equal(text, '', line);
      assert.match(stderr, /^gatehouse: /, line);
    }
    const { gate } = siege.site;
    for (const path of [
      '/--upload-pack=x',
      '/-x',
      '/../target',
      '/target\x01',
      '/ta\u200brget',
      '/$(id)',
      '/target\n',
    ]) {
      const heard = await shout(gate.git, [daemonRequest('upload-pack', path)]);
      assert.match(heard, /^[0-9a-f]{4}ERR gatehouse: no such repository, or you may not read it: [ -~]*$/, path);
    }
    for (const path of [
      '/..%2ftarget',
      '/target%00',
      '/target%0a',
      '/%2e%2e/target',
      '/-x',
      '/ta%e2%80%8brget',
      '//target',
    ]) {
      const { code, text } = await ask(gate, {
        path: `${path}/info/refs?service=git-upload-pack`,
        token: mallory.token,
      });
      assert.equal(code, 404, path);
      assert.match(text, /^gatehouse: no such repository, or you may not read it: [ -~]*\n/, path);
    }
    const unformed = await ask(gate, { path: '/%zz/info/refs?service=git-upload-pack' });
    assert.equal(unformed.code, 400);
    const archive = await rpc(gate, {
      name: 'target',
      service: 'upload-archive',
      words: [encodePkt('argument --output=/tmp/x\n'), encodePkt('argument main\n'), '0000'],
    });
    assert.match(archive.text, /NACK archive option .* is not served/);
    const remote = await rpc(gate, {
      name: 'target',
      service: 'upload-archive',
      words: [encodePkt('argument --remote=/etc\n'), encodePkt('argument main\n'), '0000'],
    });
    assert.match(remote.text, /NACK archive option .* is not served/);
    await siege.unharmed();
  });

  test('by bad names for repositories, users, groups, keys and settings is refused', async () => {
    const bad = [
      '..',
      '../x',
      'a/../b',
      'a\0b',
      'a\nb',
      'a b',
      '$(id)',
      '`id`',
      ';id',
      '\x1b[2J',
      '\u009b2J',
      '\u202ex',
      'a\u200bb',
      '-x',
      '.git',
      'x.git',
      'x.lock',
      '.hidden',
      'ｘ',
      'é',
      'a'.repeat(300),
      '',
      '/',
      'a//b',
    ];
    const admin = await makeToken(siege.adminSsh, 'api', 'admin');
    const forms: readonly (readonly string[])[] = [
      ['create', 'NAME'],
      ['rename', 'target', 'NAME'],
      ['copy', 'target', 'NAME'],
      ['user', 'add', 'NAME', 'x@example.org', 'X'],
      ['group', 'add', 'NAME', 'words'],
      ['token', 'create', 'NAME'],
      ['config', 'target', 'set', 'NAME', 'value'],
      ['config', 'target', 'set', 'readers', 'NAME'],
      ['config', 'target', 'set', 'default-branch', 'NAME'],
    ];
    for (const form of forms) {
      for (const name of bad) {
        // A list may be empty; what these are for one noun may be good for another.
        if (form.includes('readers') && ['', 'a b', 'x.git', 'x.lock', 'a\nb'].includes(name)) continue;
        if (
          form.includes('default-branch') &&
          ['$(id)', ';id', '.git', 'x.git', 'a\u200bb', 'ｘ', 'é', '`id`', 'a'.repeat(300)].includes(name)
        )
          continue;
        if (/^(?:create|rename|copy)$/.test(form[0] ?? '') && name === 'x.git') continue;
        if (form.includes('value') && name.startsWith('x.')) continue;
        if ((form[0] === 'group' || form[0] === 'token') && name.startsWith('x.')) continue;
        const argv = form.map((word) => (word === 'NAME' ? name : word));
        const { exit, stderr, stdout } = await call(argv, { token: admin });
        assert.notEqual(exit, 0, JSON.stringify(argv));
        assert.equal(stdout, '', JSON.stringify(argv));
        assert.doesNotMatch(stderr, OBEYED, JSON.stringify(argv));
      }
    }
    await siege.unharmed();
  });

  test('by text that acts on a terminal shows as text where others read it', async () => {
    const { adminSsh, ownerToken, owner, tree, site } = siege;
    const evil = ['\x1b]0;owned\x07', '\u009b31m', '\u202egnp.exe', 'two\nlines', 'nul\0'];
    for (const text of evil) {
      for (const argv of [
        ['config', 'target', 'set', 'description', text],
        ['config', 'target', 'set', 'note', text],
        ['create', 'mine', '--description', text],
        ['user', 'add', 'x', `x@${text}.org`, 'X'],
        ['user', 'name', 'olga', text],
        [text],
        ['help', text],
        ['destroy', text],
        ['ls', text],
        ['whoami', `--${text}`],
        ['access', 'explain', text, 'read', 'target'],
        ['access', 'explain', 'olga', text, 'target'],
      ]) {
        const { stdout, stderr } = await call(argv, { token: ownerToken });
        assert.doesNotMatch(stdout + stderr, OBEYED, JSON.stringify(argv));
      }
    }
    // A refname, a path asked for, a user name over HTTP: all of it is in the journal.
    await rpc(site.gate, {
      name: 'target',
      service: 'receive-pack',
      token: ownerToken,
      words: [encodePkt(`${'0'.repeat(40)} ${siege.head} refs/heads/\u009b2J\u202ex\0report-status`), '0000'],
    });
    await shout(site.gate.git, [daemonRequest('upload-pack', '/\x1b[2J\u202e')]);
    await git(owner, ['push', url(site.gate, 'ssh', 'target'), 'main:refs/heads/\u202egpj'], tree);
    await call(['graveyard', 'list'], { token: ownerToken });
    await siege.journal.next({ event: 'push', outcome: 'refused', reason: /do not show/ });
    const log = Buffer.from(await done(adminSsh, 'audit log --limit 1000'), 'latin1').toString();
    assert.match(log, /do not show/);
    assert.doesNotMatch(log, OBEYED);
    await siege.unharmed();
  });

  test('by a setting reaches no configuration of git', async () => {
    const { ownerToken: token, owner, site } = siege;
    for (const [key, value] of [
      ['core.sshcommand', 'touch x'],
      ['core.fsmonitor', 'touch x'],
      ['uploadpack.packobjectshook', 'touch x'],
      ['receive.denydeletes', 'no\n[core]\n\tfsmonitor = touch x'],
      ['description', 'x\n[core]\n\tfsmonitor = touch x'],
      ['default-branch', 'main\n[core]'],
      ['gatehouse.id', 'x'],
      ['include.path', '/etc/passwd'],
    ]) {
      await call(['config', 'target', 'set', key ?? '', value ?? ''], { token });
    }
    const bare = await bareOf(site, 'target');
    const config = await gitOk(owner, ['config', '--file', `${bare}/config`, '--list']);
    assert.doesNotMatch(config, /fsmonitor|sshcommand|packobjectshook|include\.path|passwd/);
    assert.match(config, /gatehouse\.id=[0-9a-f]{32}/);
    for (const key of [
      'core.sshcommand',
      'core.fsmonitor',
      'uploadpack.packobjectshook',
      'gatehouse.id',
      'include.path',
    ]) {
      await call(['config', 'target', 'del', key], { token });
    }
    await siege.unharmed();
  });

  test('leaves a gate that serves honest people', async () => {
    await siege.standing();
  });
});
