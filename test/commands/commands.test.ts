/** The vocabulary on a real store: what each command does, for whom, and what it says. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { BOUNDS } from '../../src/base/bounds.ts';
import { scopeRefusal } from '../../src/access/scope.ts';
import { COMMANDS } from '../../src/commands/all.ts';
import { parseTime } from '../../src/commands/audit.ts';
import { matchesGlob } from '../../src/base/glob.ts';
import type { Credential, TokenScope } from '../../src/identity/principal.ts';
import { ADMIN_REPOSITORY } from '../../src/repository/lifecycle.ts';
import { parseRepositoryName } from '../../src/repository/name.ts';
import { KEY, lastWord, startHarness, type Harness } from './harness.ts';

let gate: Harness;

before(async () => {
  gate = await startHarness();
  await gate.admin('user add ian ian@example.org Ian Developer');
  await gate.admin('user add gabriella gabriella@example.org Gabriella Guest');
  await gate.admin('user add builder ci@example.org Build Farm --ci');
});
after(() => gate[Symbol.asyncDispose]());

function token(scopes: readonly TokenScope[]): Credential {
  return { kind: 'token', id: 'x', name: 'ci-1', scopes };
}

function json(text: string): unknown {
  return JSON.parse(text);
}

describe('usage', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['craete hello', /unknown command "craete"; did you mean create\?/],
    ['user adds x', /unknown command user "adds"; did you mean add\?/],
    ['user', /user needs one of: add, del/],
    ['user add ian', /EMAIL is missing\nusage: user add NAME EMAIL REAL-NAME… \[--ci\]/],
    ['whoami now', /nothing follows, but there is "now"/],
    ['ls --jsno', /unknown flag --jsno; did you mean --json\?/],
    ['token create a --scope', /--scope needs read\|write\|admin/],
    ['token create a --expires 1d --expires 2d', /--expires is given twice/],
    ['config hello', /config needs one of: show, set, del/],
    ['config hello sett a b', /unknown command config "sett"; did you mean set\?/],
    ['access explain ian push hello', /unknown operation "push"/],
    ['access explain ian update-ref hello main', /"main" is no full refname/],
    ['as ian', /COMMAND is missing/],
    ['as ian as ian whoami', /as does not nest/],
    ['create ../etc', /each part of a repository name/],
    ['create a --object-format md5', /the object formats are sha1 and sha256/],
    ['audit log --since yesterday', /--since: a time is an age/],
    ['audit log --limit 0', /--limit is a number/],
    ['policy check /etc', /DIR is for the local command line/],
  ];
  for (const [words, expected] of wrong) {
    test(`${words}: exit 2 and why`, async () => {
      const ran = await gate.as('root1', words);
      assert.equal(ran.exit, 2, ran.stderr);
      assert.match(ran.stderr, expected);
      assert.equal(ran.stdout, '');
    });
  }

  test('what cannot be understood stands in the journal with its first word at most', async () => {
    await gate.as('ian', ['user', 'add', 'secret-of-mine']);
    assert.deepEqual(gate.journaled.at(-1)?.trip.argv, ['user']);
    await gate.as('ian', ['hunter2']);
    assert.deepEqual(gate.journaled.at(-1)?.trip.argv, ['(unknown)']);
    assert.equal(gate.journaled.at(-1)?.end?.exit, 2);
  });

  test('words of more bytes than an SSH command line are refused, and do not stand in the journal', async () => {
    const ran = await gate.as('ian', ['user', 'show', 'x'.repeat(BOUNDS.commandLineBytesMax)]);
    assert.equal(ran.exit, 2);
    assert.match(ran.stderr, /at most 256 words of 8192 bytes together/);
    assert.deepEqual(gate.journaled.at(-1)?.trip.argv, ['user']);
  });

  test('help and the greeting have their line, too', async () => {
    await gate.as('ian', 'user add --help');
    assert.deepEqual(gate.journaled.at(-1)?.trip.argv, ['user', '--help']);
    await gate.greeting('ian');
    assert.deepEqual(gate.journaled.at(-1)?.trip.argv, ['(greeting)']);
    assert.equal(gate.journaled.at(-1)?.principal, 'ian');
  });

  test('a client that sends nothing, or reads nothing, is given up and holds no place', async () => {
    const silent = new PassThrough();
    const waiting = gate.as('ian', 'sshkey add silent', { stdin: silent });
    await new Promise((resolve) => setImmediate(resolve));
    while (gate.runOutOfPatience() === 0) await new Promise((resolve) => setImmediate(resolve));
    const ran = await waiting;
    assert.equal(ran.exit, 1);
    assert.match(ran.stderr, /the client let the command wait too long/);
  });

  test('too many words, a NUL and a hostile command word are refused without echoing controls', async () => {
    assert.equal(
      (
        await gate.as(
          'ian',
          Array.from({ length: 1000 }, () => 'x'),
        )
      ).exit,
      2,
    );
    assert.equal((await gate.as('ian', ['ls', 'a\0b'])).exit, 2);
    const hostile = await gate.as('ian', ['\u001b[2Jx'.repeat(1000)]);
    assert.equal(hostile.exit, 2);
    assert.ok(!hostile.stderr.includes('\u001b'));
    assert.ok(hostile.stderr.length < 500);
  });
});

describe('help', () => {
  test('every command answers --help with its synopsis, flags and examples, and exit 0', async () => {
    for (const command of COMMANDS) {
      const words = command.form.split(' ').map((word) => (/^[A-Z[]/.test(word) ? 'x' : word));
      // What stands behind these is somebody else's to explain.
      const asked = /^(?:as|gitolite COMMAND) /.test(command.form) ? words.slice(0, 1) : words;
      const ran = await gate.as('anonymous', [...asked, '--help']);
      assert.equal(ran.exit, 0, `${command.form}: ${ran.stderr}`);
      assert.match(ran.stdout, /^usage: /);
      assert.ok(ran.stdout.includes(`usage: ${command.form}`), command.form);
      for (const example of command.examples) assert.ok(ran.stdout.includes(example), command.form);
    }
  });

  test('help lists all, help NOUN a family, help of nonsense says so', async () => {
    const all = await gate.as('anonymous', 'help');
    for (const command of COMMANDS) assert.ok(all.stdout.includes(command.form));
    assert.match((await gate.as('ian', 'help group')).stdout, /group add NAME/);
    assert.match((await gate.as('ian', 'help user add')).stdout, /^usage: user add/);
    assert.equal((await gate.as('ian', 'help nonsense')).exit, 1);
    assert.match((await gate.as('ian', 'user --help')).stdout, /user add NAME EMAIL/);
  });

  test('only what looks and changes nothing may go on before its journal line is on disk', () => {
    const looking = COMMANDS.filter(({ isReadOnly }) => isReadOnly === true).map(({ form }) =>
      form.replace(/ \[?[A-Z].*/, ''),
    );
    assert.deepEqual(looking.toSorted(), [
      'access explain',
      'audit log',
      'audit verify',
      'config',
      'count-objects',
      'fsck',
      'graveyard list',
      'group list',
      'group show',
      'help',
      'hold list',
      'hold show',
      'info',
      'ls',
      'mirror check',
      'mirror gitconfig',
      'mirror list',
      'mirror show',
      'pass list',
      'pass show',
      'policy check',
      'policy scenarios',
      'rules',
      'rules',
      'scan',
      'scan rules',
      'scan waivers',
      'signingkey list',
      'sshkey list',
      'token list',
      'user list',
      'user show',
      'whoami',
    ]);
    const rest = COMMANDS.filter(({ isReadOnly }) => isReadOnly !== true).map(({ form }) => form);
    for (const form of rest) assert.doesNotMatch(form, /\b(?:show|list|check|log|verify|ls|help|info|fsck)\b/);
  });

  test('a form is unambiguous: no two commands have the same small words', () => {
    const shapes = COMMANDS.map(({ form }) =>
      form
        .split(' ')
        .map((word, index) => (/^[a-z-]+$/.test(word) ? `${index}${word}` : ''))
        .join(' ')
        .trim(),
    );
    const clash = shapes.filter((shape, index) => shapes.indexOf(shape) !== index);
    assert.deepEqual(clash, []);
  });

  test('the scope that a command asks for is never less than the policy will', () => {
    for (const { form, scope, permission } of COMMANDS) {
      if (permission.kind === 'open') continue;
      const operation = permission.kind === 'site' ? 'administer' : permission.operation;
      const principal = {
        kind: 'user',
        name: 'x',
        account: 'person',
        email: '',
        realName: '',
        groups: new Set(),
        credential: token([scope]),
      };
      const action = permission.action === undefined ? {} : { action: permission.action };
      assert.equal(scopeRefusal({ principal: principal as never, operation, ...action }), undefined, form);
    }
  });
});

describe('who one is', () => {
  test('whoami tells user, groups and credential; --json the same', async () => {
    const ran = await gate.as('ian', 'whoami');
    assert.match(ran.stdout, /user:\s+ian\n/);
    assert.match(ran.stdout, /logged in with:\s+local/);
    const told = json((await gate.as('ian', 'whoami --json')).stdout);
    assert.deepEqual(told, {
      name: 'ian',
      realName: 'Ian Developer',
      email: 'ian@example.org',
      account: 'person',
      groups: [],
      credential: 'local',
    });
  });

  test('the greeting names the person and what may be read, and nothing else', async () => {
    await gate.admin('create greeted/secret');
    await gate.admin('create greeted/open gabriella');
    const text = await gate.greeting('gabriella');
    assert.match(text, /Hello gabriella/);
    assert.match(text, /greeted\/open/);
    assert.ok(!text.includes('greeted/secret'));
  });
});

describe('users', () => {
  test('add, show, email, name, rename, suspend, resume and list do what they say', async () => {
    assert.match(await gate.admin('user add tina tina@example.org Tina'), /made the user tina/);
    assert.match(await gate.admin('user email tina t@example.org'), /t@example.org/);
    assert.match(await gate.admin('user name tina Tina of  Elsewhere'), /Tina of  Elsewhere|Tina of Elsewhere/);
    assert.match(await gate.admin('user rename tina tina2'), /tina is now tina2/);
    assert.match(await gate.admin('suspend tina2'), /suspended/);
    const shown = json(await gate.admin('user show tina2 --json'));
    assert.ok(typeof shown === 'object' && shown !== null && 'suspended' in shown && shown.suspended === true);
    assert.match(await gate.admin('resume tina2'), /may log in again/);
    const users = json(await gate.admin('user list --json'));
    assert.ok(Array.isArray(users) && users.some((user: { name: string }) => user.name === 'tina2'));
    assert.match(await gate.admin('user list'), /builder\s+ci@example.org\s+Build Farm\s+ci\n/);
  });

  test('a bad name, a taken one and an unknown user fail with exit 1 and a reason', async () => {
    for (const words of [
      'user add ../x a@b.org X',
      'user add IAN a@b.org X',
      'user show nobody',
      'user email nobody a@b.org',
    ]) {
      const ran = await gate.as('root1', words);
      assert.equal(ran.exit, 1, words);
      assert.match(ran.stderr, /^gatehouse: \w/);
    }
  });

  test('others are refused with the rule named', async () => {
    const ran = await gate.as('ian', 'user add x x@example.org X');
    assert.equal(ran.exit, 1);
    assert.match(
      ran.stderr,
      /^gatehouse: refused: rules\/siteadmin\.lace:\d+: only administrators do this \(useradd\)\n$/,
    );
    assert.match(gate.journaled.at(-1)?.end?.rule ?? '', /^rules\/siteadmin\.lace:\d+$/);
    assert.equal(gate.journaled.at(-1)?.end?.outcome, 'refused');
  });

  test('user del asks first; the token at the end of the last line does it, once', async () => {
    await gate.admin('user add leaver l@example.org Leaver');
    await gate.admin('create leavers-own leaver');
    const asked = await gate.admin('user del leaver');
    assert.match(asked, /deletes the user leaver/);
    assert.match(asked, /1 repository of leaver will belong to root1/);
    assert.equal((await gate.as('root1', 'user show leaver')).exit, 0);
    const word = lastWord(asked);
    assert.match(word, /^[0-9a-f]{32}$/);
    assert.equal((await gate.as('root1', `user del ian ${word}`)).exit, 1, 'a token is for its subject');
    assert.match(await gate.admin(`user del leaver ${word}`), /deleted the user leaver/);
    assert.equal((await gate.as('root1', 'user show leaver')).exit, 1);
    assert.equal((await gate.as('root1', `user del leaver ${word}`)).exit, 1);
    const words = gate.journaled.map((entry) => entry.trip.argv.join(' '));
    assert.ok(words.includes('user del leaver (secret)'));
    assert.ok(!words.some((line) => line.includes(word)), 'no confirmation stands in the journal');
  });

  test('a confirmation is too old after ten minutes', async () => {
    await gate.admin('user add slow s@example.org Slow');
    const word = lastWord(await gate.admin('user del slow'));
    gate.advance(10 * 60_000 + 1);
    const late = await gate.as('root1', `user del slow ${word}`);
    assert.equal(late.exit, 1);
    assert.match(late.stderr, /too old/);
  });
});

describe('groups', () => {
  test('add, members, nesting, description, show, list and del do what they say', async () => {
    await gate.admin('group add staff Everybody here');
    await gate.admin('group add developers Who develop');
    await gate.admin('group adduser developers ian');
    await gate.admin('group addgroup staff developers');
    const shown = json(await gate.admin('group show staff --json'));
    assert.deepEqual(shown, {
      name: 'staff',
      description: 'Everybody here',
      users: [],
      groups: ['developers'],
      everybody: ['ian'],
      memberOf: [],
    });
    assert.match((await gate.as('ian', 'whoami')).stdout, /groups:\s+developers staff/);
    assert.match((await gate.as('root1', 'group addgroup developers staff')).stderr, /loop/);
    await gate.admin('group description staff All of us');
    assert.match(await gate.admin('group list'), /staff\s+1 member\s+All of us/);
    await gate.admin('group delgroup staff developers');
    await gate.admin('group deluser developers ian');
    const word = lastWord(await gate.admin('group del developers'));
    await gate.admin(`group del developers ${word}`);
    assert.equal((await gate.as('root1', 'group show developers')).exit, 1);
  });
});

describe('keys and tokens', () => {
  test('a key is added from standard input, listed and deleted; the one in use stays', async () => {
    const added = await gate.as('ian', 'sshkey add laptop', { stdin: `${KEY.ian}\n` });
    assert.equal(added.exit, 0, added.stderr);
    const fingerprint = /SHA256:\S+/.exec(added.stdout)?.[0] ?? '';
    assert.match((await gate.as('ian', 'sshkey list')).stdout, /^laptop\s+ssh-ed25519\s+SHA256:/);
    const credential: Credential = { kind: 'key', fingerprint, tag: 'laptop' };
    assert.match((await gate.as('ian', 'sshkey del laptop', { credential })).stderr, /key in use/);
    assert.equal((await gate.as('ian', 'sshkey del laptop')).exit, 0);
    assert.equal((await gate.as('ian', 'sshkey list')).stdout, '');
  });

  test('a private key, garbage and a flood on standard input are refused', async () => {
    assert.match(
      (await gate.as('ian', 'sshkey add a', { stdin: '-----BEGIN OPENSSH PRIVATE KEY-----' })).stderr,
      /PRIVATE/,
    );
    assert.equal((await gate.as('ian', 'sshkey add a', { stdin: 'nonsense' })).exit, 1);
    const flood = await gate.as('ian', 'sshkey add a', { stdin: Buffer.alloc(2 * 1024 * 1024, 65) });
    assert.equal(flood.exit, 1);
    assert.match(flood.stderr, /standard input has at most/);
  });

  test('a token is shown once, listed without its secret, honoured, and revoked', async () => {
    const made = await gate.as('ian', 'token create phone --scope read --expires 30d');
    const secret = /ght_[A-Za-z0-9]+/.exec(made.stdout)?.[0] ?? '';
    assert.equal((await gate.directory.byToken(secret))?.name, 'ian');
    const listed = await gate.as('ian', 'token list --json');
    assert.ok(!listed.stdout.includes(secret));
    assert.match(listed.stdout, /"scopes": \[\s*"read"/);
    assert.equal((await gate.as('ian', 'token revoke phone')).exit, 0);
    assert.equal(await gate.directory.byToken(secret), undefined);
    assert.ok(!gate.journaled.some((entry) => JSON.stringify(entry.trip).includes(secret)));
  });

  test('a token reaches as far as its scope, and is told which one is needed', async () => {
    const reading = { credential: token(['read']) };
    assert.equal((await gate.as('ian', 'whoami', reading)).exit, 0);
    assert.equal((await gate.as('ian', 'ls', reading)).exit, 0);
    for (const [words, needed] of [
      ['create x', 'write'],
      ['sshkey add a', 'admin'],
      ['token create b', 'admin'],
      ['as ian whoami', 'admin'],
    ] as const) {
      const ran = await gate.as('ian', words, reading);
      assert.equal(ran.exit, 1, words);
      assert.match(
        ran.stderr,
        new RegExp(`refused: the token ci-1 has only the scope read; this command needs the scope ${needed}`),
        words,
      );
    }
    assert.equal((await gate.as('ian', 'token list', { credential: token(['admin']) })).exit, 0);
  });

  test('a CI account makes itself no tokens; an administrator does', async () => {
    assert.match((await gate.as('builder', 'token create t')).stderr, /refused: rules\/self-checks\.lace/);
    assert.match(await gate.admin('as builder token create t --scope read'), /ght_/);
  });
});

describe('as', () => {
  test('an administrator acts with the rights of the other; the journal names both', async () => {
    assert.match(await gate.admin('as ian whoami'), /user:\s+ian[^]*asking:\s+root1/);
    assert.equal(gate.journaled.at(-1)?.principal, 'ian');
    assert.equal(gate.journaled.at(-1)?.asking, 'root1');
    assert.deepEqual(gate.journaled.at(-1)?.trip.argv, ['as', 'ian', 'whoami']);
    assert.match((await gate.as('root1', 'as ian user add y y@example.org Y')).stderr, /refused/);
  });

  test('others learn nothing about whether the user exists', async () => {
    const there = await gate.as('ian', 'as gabriella whoami');
    const absent = await gate.as('ian', 'as nobody-here whoami');
    assert.equal(there.exit, 1);
    assert.equal(there.stderr.replaceAll('gabriella', 'X'), absent.stderr.replaceAll('nobody-here', 'X'));
    assert.match((await gate.as('root1', 'as nobody-here whoami')).stderr, /no active user "nobody-here"/);
  });
});

describe('repositories', () => {
  test('create prints where to clone; ls shows what one may read, by pattern, with rights', async () => {
    const made = await gate.as('ian', ['create', 'team/api', '--description', 'The public API']);
    assert.equal(made.exit, 0, made.stderr);
    assert.match(
      made.stdout,
      /made team\/api, owned by ian\n\s+ssh:\/\/git@gate\.example\/team\/api\n\s+http:\/\/gate/,
    );
    assert.match((await gate.as('ian', 'ls')).stdout, /^RW\* +team\/api$/m);
    assert.match((await gate.as('ian', 'ls -v team')).stdout, /team\/api +ian +The public API/);
    assert.match((await gate.as('ian', 'ls team/*')).stdout, /team\/api/);
    assert.equal((await gate.as('ian', 'ls tea')).stdout, '');
    assert.equal((await gate.as('gabriella', 'ls team')).stdout, '');
    assert.deepEqual(json((await gate.as('anonymous', 'ls --json')).stdout), []);
  });

  test('both object formats are made; a name taken in another case is refused', async () => {
    assert.equal((await gate.as('ian', 'create wide --object-format sha256')).exit, 0);
    assert.equal((await gate.as('ian', 'create WIDE')).exit, 1);
  });

  test('people create for themselves; for others only administrators; nobody for a stranger', async () => {
    assert.match((await gate.as('ian', 'create theirs gabriella')).stderr, /refused: rules\/repositories\.lace/);
    assert.equal((await gate.as('root1', 'create theirs gabriella')).exit, 0);
    assert.match((await gate.as('root1', 'create other nobody-here')).stderr, /no user "nobody-here"/);
    assert.equal((await gate.as('builder', 'create ci-own')).exit, 1);
    assert.equal((await gate.as('anonymous', 'create x')).exit, 1);
  });

  test('what one may not read and what is not there give the same answer to every command about a repository', async () => {
    await gate.admin('create hidden');
    const about = COMMANDS.filter((command) => command.permission.kind === 'repository');
    assert.ok(about.length > 10);
    for (const { form } of about) {
      const words = (name: string): readonly string[] =>
        form.split(' ').map((word) => (word === 'REPO' || word === 'OLD' ? name : /^[A-Z[]/.test(word) ? 'x' : word));
      const hidden = await gate.as('gabriella', words('hidden'));
      const absent = await gate.as('gabriella', words('absent'));
      assert.equal(hidden.exit, 1, form);
      assert.match(hidden.stderr, /^gatehouse: no such repository, or you may not read it: hidden\n/, form);
      assert.equal(hidden.stderr.replaceAll('hidden', 'absent'), absent.stderr, form);
    }
    const explained = await gate.as('gabriella', 'access explain gabriella read hidden');
    assert.equal(
      explained.stderr.replaceAll('hidden', 'absent'),
      (await gate.as('gabriella', 'access explain gabriella read absent')).stderr,
    );
  });

  test('rename keeps everything and asks about both names; copy makes one that is yours', async () => {
    await gate.as('ian', 'create moving');
    assert.match((await gate.as('ian', 'rename moving moved')).stdout, /moving is now moved/);
    assert.equal((await gate.as('ian', 'config moved show')).exit, 0);
    assert.equal((await gate.as('ian', 'config moving show')).exit, 1);
    assert.equal((await gate.as('ian', 'copy moved copied')).exit, 0);
    assert.match((await gate.as('ian', 'ls copied')).stdout, /RW\*/);
    assert.equal((await gate.as('gabriella', 'rename moved mine')).exit, 1);
  });

  test('destroy asks first, then buries; graveyard lists, restores and purges', async () => {
    await gate.as('ian', 'create doomed');
    const asked = await gate.as('ian', 'destroy doomed');
    assert.equal(asked.exit, 0);
    assert.match(asked.stdout, /destroys the repository doomed/);
    assert.equal((await gate.as('ian', 'config doomed show')).exit, 0, 'nothing happened yet');
    const word = lastWord(asked.stdout);
    assert.equal((await gate.as('root1', `destroy doomed ${word}`)).exit, 1, 'a token is for who asked');
    const before = gate.alone.length;
    assert.equal((await gate.as('ian', `destroy doomed ${word}`)).exit, 0);
    assert.equal(gate.alone.length, before + 1, 'no push is half applied when the directory moves');
    assert.equal((await gate.as('ian', 'config doomed show')).exit, 1);
    assert.match(await gate.admin('graveyard list'), /doomed\s+ian/);
    assert.match(await gate.admin('graveyard restore doomed risen'), /restored risen, owned by ian/);
    const again = lastWord((await gate.as('ian', 'destroy risen')).stdout);
    await gate.as('ian', `destroy risen ${again}`);
    const purge = lastWord(await gate.admin('graveyard purge risen'));
    assert.match(await gate.admin(`graveyard purge risen ${purge}`), /purged risen/);
    assert.equal((await gate.as('root1', 'graveyard restore risen')).exit, 1);
    assert.equal((await gate.as('ian', 'graveyard list')).exit, 1);
  });

  test('a token of destroy is void once the repository changed', async () => {
    await gate.as('ian', 'create changing');
    const word = lastWord((await gate.as('ian', 'destroy changing')).stdout);
    await gate.as('ian', 'config changing set public yes');
    const late = await gate.as('ian', `destroy changing ${word}`);
    assert.equal(late.exit, 1);
    assert.match(late.stderr, /changed since/);
  });
});

describe('settings and rules', () => {
  before(() => gate.as('ian', 'create settings'));

  test('set, append, show and del; an unknown group is warned of, a slip too', async () => {
    assert.equal((await gate.as('ian', 'config settings set public yes')).stdout, 'settings: public: yes\n');
    const unknown = await gate.as('ian', 'config settings set readers nobody-yet');
    assert.equal(unknown.exit, 0);
    assert.match(unknown.stderr, /warning: there is no group "nobody-yet" yet/);
    await gate.as('ian', 'config settings set readers.* more');
    assert.equal((await gate.as('ian', 'config settings show readers')).stdout, 'nobody-yet more\n');
    await gate.as('ian', 'config settings del readers more');
    assert.deepEqual(json((await gate.as('ian', 'config settings show --json')).stdout), {
      owner: 'ian',
      description: '',
      public: 'yes',
      readers: ['nobody-yet'],
    });
    assert.match((await gate.as('ian', 'config settings set reader x')).stderr, /did you mean readers\?/);
    assert.equal((await gate.as('ian', 'config settings del public')).exit, 0);
    assert.equal((await gate.as('ian', 'config settings del public')).exit, 1);
    assert.match(
      (await gate.as('ian', 'config settings set description A nice thing')).stdout,
      /description: A nice thing/,
    );
    assert.match((await gate.as('ian', 'config settings set owner nobody-here')).stderr, /no user/);
    assert.equal((await gate.as('ian', 'config settings show __proto__')).exit, 2);
    assert.equal((await gate.as('ian', 'config settings set constructor x')).exit, 2);
  });

  test('readers and protected take several names, with spaces or commas between them', async () => {
    const set = async (...words: readonly string[]): Promise<unknown> => {
      const ran = await gate.as('ian', ['config', 'settings', 'set', ...words, '--json']);
      assert.equal(ran.exit, 0, ran.stderr);
      const all = json(ran.stdout);
      return typeof all === 'object' && all !== null && words[0] !== undefined ? Reflect.get(all, words[0]) : undefined;
    };
    assert.deepEqual(await set('readers', 'staff', 'robots'), ['staff', 'robots']);
    assert.deepEqual(await set('readers', 'staff robots'), ['staff', 'robots']);
    assert.deepEqual(await set('readers', 'staff,robots'), ['staff', 'robots']);
    assert.deepEqual(await set('protected', 'stable', 'refs/heads/next'), ['stable', 'next']);
    const unknown = await gate.as('ian', 'config settings set readers nobody-yet robots');
    assert.match(unknown.stderr, /no group "nobody-yet" yet[^]*no group "robots" yet/);
    assert.match((await gate.as('ian', 'config settings set protected a..b')).stderr, /no name of a branch/);
  });

  test('two entries taken out of a list at once are both out: no removal is lost', async () => {
    await gate.as('ian', 'config settings set readers one two three');
    await Promise.all(['one', 'two'].map((name) => gate.as('ian', `config settings del readers ${name}`)));
    assert.equal((await gate.as('ian', 'config settings show readers')).stdout, 'three\n');
    assert.match((await gate.as('ian', 'config settings del readers one')).stderr, /not in readers/);
  });

  test('a rule sees the key and the name that are meant, however they are written', async () => {
    const seen = async (words: string): Promise<unknown> => {
      const before = gate.asked.length;
      await gate.as('ian', words);
      return gate.asked
        .slice(before)
        .flatMap(({ variables }) => variables?.['key'] ?? variables?.['newrepository'] ?? [])[0];
    };
    assert.equal(await seen('config settings set public no'), 'public');
    assert.equal(await seen('config settings set project.public no'), 'public');
    assert.equal(await seen('config settings set project.readers.* x'), 'readers');
    assert.equal(await seen('config settings set head main'), 'default-branch');
    assert.equal(await seen('config settings del project.public'), 'public');
    assert.equal(await seen('rename settings /not/yours.git'), 'not/yours');
    await gate.as('ian', 'rename not/yours settings');
  });

  test('the branch of gatehouse-admin stays: a draft does not become the policy by a setting', async () => {
    const created = await gate.catalogue.create({ name: ADMIN_REPOSITORY, owner: 'root1' });
    assert.equal(created.kind, 'ok');
    const ran = await gate.as('root1', 'config gatehouse-admin set default-branch draft');
    assert.equal(ran.exit, 1);
    assert.match(ran.stderr, /keeps its branch: push the policy to it/);
    assert.equal((await gate.as('root1', 'config gatehouse-admin set description Policy')).exit, 0);
  });

  test('a reader may not configure, and is told which rule says so', async () => {
    await gate.as('ian', 'config settings set public yes');
    const ran = await gate.as('gabriella', 'config settings set public no');
    assert.equal(ran.exit, 1);
    assert.match(ran.stderr, /refused: rules\/project\.lace:\d+/);
  });

  test("an owner's own rules are compiled before they are set, and decide then", async () => {
    const wrong = await gate.as('ian', 'rules settings set', { stdin: 'allow "x" no_such_name\n' });
    assert.equal(wrong.exit, 1);
    assert.match(wrong.stderr, /do not compile\n.*own rules:1[^]*\^/);
    assert.match((await gate.as('ian', 'rules settings check', { stdin: 'nonsense\n' })).stderr, /own rules:1/);
    const rules = 'define is_gabriella user is gabriella\nallow "she may write" is_gabriella\n';
    assert.equal((await gate.as('ian', 'rules settings check', { stdin: rules })).exit, 0);
    assert.equal((await gate.as('ian', 'rules settings set', { stdin: rules })).exit, 0);
    assert.equal((await gate.as('ian', 'rules settings show')).stdout, rules);
    assert.equal((await gate.as('gabriella', 'access explain gabriella write settings')).exit, 0);
    assert.equal((await gate.as('ian', 'rules settings del')).exit, 0);
    assert.equal((await gate.as('gabriella', 'access explain gabriella write settings')).exit, 1);
    assert.equal((await gate.as('ian', 'rules settings set', { stdin: Buffer.from([0xff, 0xfe]) })).exit, 1);
  });
});

describe('access explain', () => {
  test('tells the answer first, then the rules with file and line; exit 0 or 1', async () => {
    await gate.as('ian', 'create explained');
    const refused = await gate.as('root1', 'access explain gabriella read explained');
    assert.equal(refused.exit, 1);
    assert.match(refused.stdout, /^refused: gabriella read explained\n/);
    assert.match(refused.stdout, /rules\/core\.lace:\d+/);
    const allowed = await gate.as('root1', 'access explain ian update-ref explained refs/heads/main --json');
    assert.equal(allowed.exit, 0);
    const told = json(allowed.stdout);
    assert.ok(typeof told === 'object' && told !== null && 'decision' in told && told.decision === 'allowed');
  });

  test('one asks about oneself; about others only the owner and administrators', async () => {
    assert.equal((await gate.as('ian', 'access explain ian write explained')).exit, 0);
    assert.equal((await gate.as('ian', 'access explain gabriella read explained')).exit, 1);
    assert.match((await gate.as('ian', 'access explain gabriella read explained')).stdout, /^refused/);
    await gate.as('ian', 'config explained set public yes');
    const stranger = await gate.as('gabriella', 'access explain ian write explained');
    assert.equal(stranger.exit, 1);
    assert.match(stranger.stderr, /refused/);
    assert.equal(stranger.stdout, '');
    assert.equal((await gate.as('ian', 'access explain anonymous read explained')).exit, 0);
  });
});

describe('policy, audit and upkeep', () => {
  test('policy check without DIR is about the one in force; with DIR only locally', async () => {
    assert.match(await gate.admin('policy check'), /1 rule files compile/);
    const local = await gate.as('root1', ['policy', 'check', '/some/dir'], { transport: 'local' });
    assert.equal(local.exit, 1);
    assert.match(local.stdout, /rules\/main\.lace:1: wrong/);
    assert.equal((await gate.as('ian', 'policy check')).exit, 1);
  });

  test('audit log shows the last lines, by user and repository, for people and as JSON; verify finds it whole', async () => {
    await gate.as('ian', 'config explained show');
    const log = await gate.admin('audit log --repo explained --user ian --limit 1');
    assert.match(log, /^\d+ \S+Z served ssh 192\.0\.2\.1 ian command config explained show\n$/);
    const line = json((await gate.admin('audit log --user ian --limit 1 --json')).trim());
    assert.ok(typeof line === 'object' && line !== null && 'hash' in line);
    assert.match(await gate.admin('audit log --since 1h --outcome refused'), /refused/);
    assert.match(await gate.admin('audit verify'), /the journal is whole: \d+ lines/);
    assert.equal((await gate.as('ian', 'audit log')).exit, 1);
  });

  test('audit log shows the last of many lines, too many to hold, in order', async () => {
    const many = BOUNDS.auditLogHeldMax + 50;
    for (let count = 0; count < many; count += 1) await gate.as('builder', 'whoami');
    const wanted = BOUNDS.auditLogHeldMax + 1;
    const lines = (await gate.admin(`audit log --user builder --limit ${wanted} --json`)).trimEnd().split('\n');
    assert.equal(lines.length, wanted);
    const numbers = lines.map((line) => Number(/"seq":(\d+)/.exec(line)?.[1]));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    const last = (await gate.admin('audit log --user builder --limit 1 --json')).trimEnd();
    assert.equal(Number(/"seq":(\d+)/.exec(last)?.[1]), numbers.at(-1));
  });

  test('audit verify --base takes the rest of an archived journal for the continuation of that line', async () => {
    const wrong = await gate.as('root1', 'audit verify --base nonsense');
    assert.equal(wrong.exit, 1);
    assert.match(wrong.stderr, /a base is SEQ:HASH/);
    const other = await gate.as('root1', `audit verify --base 7:${'1'.repeat(64)}`);
    assert.equal(other.exit, 1);
    assert.match(other.stdout, /the journal is damaged/);
  });

  test('audit log --follow shows new lines until the client is gone', async () => {
    const stop = new AbortController();
    const begun = Promise.withResolvers<void>();
    const following = gate.as('root1', 'audit log --limit 1 --follow --json', {
      signal: stop.signal,
      onStdout(text) {
        begun.resolve();
        if (text.includes('followed-by-me')) stop.abort();
      },
    });
    await begun.promise;
    await gate.as('ian', 'ls followed-by-me');
    const { stdout } = await following;
    const numbers = [...stdout.matchAll(/"seq":(\d+)/g)].map((match) => Number(match[1]));
    assert.ok(numbers.length >= 2);
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => (numbers[0] ?? 0) + index),
      'no line is missing or told twice',
    );
  });

  test('what git says of a damaged repository does not tell where on this machine it lies', async () => {
    await gate.as('ian', 'create damaged');
    const name = parseRepositoryName('damaged');
    const found = name.kind === 'ok' ? await gate.catalogue.find(name.value) : undefined;
    assert.ok(found !== undefined);
    mkdirSync(join(found.path, 'objects', 'aa'));
    writeFileSync(join(found.path, 'objects', 'aa', 'b'.repeat(38)), 'not an object');
    writeFileSync(join(found.path, 'refs', 'heads', 'broken'), `aa${'b'.repeat(38)}\n`);
    const ran = await gate.as('ian', 'fsck damaged');
    assert.equal(ran.exit, 1);
    assert.match(ran.stderr, /aab/);
    assert.ok(!`${ran.stdout}${ran.stderr}`.includes(join(found.path, '..', '..')), ran.stderr);
    assert.ok(!`${ran.stdout}${ran.stderr}`.includes(found.id), ran.stderr);
  });

  test('gc, fsck and count-objects work on an empty repository of either format', async () => {
    await gate.as('ian', 'create kept');
    await gate.as('ian', 'create kept256 --object-format sha256');
    for (const name of ['kept', 'kept256']) {
      assert.match((await gate.as('ian', `gc ${name}`)).stdout, /collected garbage/);
      assert.match((await gate.as('ian', `fsck ${name}`)).stdout, /is sound/);
      const counted = json((await gate.as('ian', `count-objects ${name} --json`)).stdout);
      assert.ok(typeof counted === 'object' && counted !== null && 'count' in counted && counted.count === 0);
    }
  });
});

test('parseTime reads ages and dates', () => {
  assert.deepEqual(parseTime('1h', 7_200_000), { kind: 'ok', value: 3_600_000 });
  assert.deepEqual(parseTime('1970-01-02', 0), { kind: 'ok', value: 86_400_000 });
  for (const text of ['', 'now', '2026-13-01', '2026-01-31 12:00'])
    assert.equal(parseTime(text, 0).kind, 'refused', text);
});

test('matchesGlob knows * and ?, and does not explode on many stars', () => {
  assert.ok(matchesGlob('team/*-api', 'team/web-api'));
  assert.ok(matchesGlob('*', ''));
  assert.ok(!matchesGlob('t?', 't'));
  assert.ok(matchesGlob('a*b*c', 'aXbYbZc'));
  assert.ok(!matchesGlob(`${'*a'.repeat(2_000)}b`, 'a'.repeat(255)));
});
