/** Checks in gatehouse-admin, signing keys by command, and what people with stock git and ssh see of them. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  ssh,
  sshOk,
  startGate,
  startSite,
  url,
  type Gate,
  type Person,
  type Site,
} from '../support/gate.ts';
import { expectRun, run, suiteScope } from '../support/workspace.ts';

describe('checks of a real gate', () => {
  let site: Site;
  let gate: Gate;
  let ian: Person;
  let policy: string;
  let tree: string;
  const scope = suiteScope();

  before(
    async () => {
      site = await startSite(scope);
      gate = site.gate;
      ian = await addPerson(site, 'ian');
      await sshOk(site.admin, gate, ['create', 'team/app', 'ian']);
      policy = join(site.admin.home, 'policy');
      await gitOk(site.admin, ['clone', '-q', url(gate, 'ssh', 'gatehouse-admin'), policy]);
      tree = join(ian.home, 'app');
      await gitOk(ian, ['init', '-q', '-b', 'main', tree]);
      await gitOk(ian, ['remote', 'add', 'origin', url(gate, 'ssh', 'team/app')], tree);
    },
    { timeout: 60_000 },
  );
  after(() => scope.close());

  /** Commits the file and pushes the policy. */
  async function inForce(lines: readonly string[]) {
    mkdirSync(join(policy, 'checks'), { recursive: true });
    await commitFile(site.admin, policy, 'checks/site.toml', `${lines.join('\n')}\n`);
    return git(site.admin, ['push', url(gate, 'ssh', 'gatehouse-admin'), 'HEAD:main'], policy);
  }

  const signing = ['-c', 'gpg.format=ssh'];
  const signed = (key: string): readonly string[] => [
    ...signing,
    '-c',
    `user.signingKey=${key}`,
    '-c',
    'commit.gpgSign=true',
  ];

  test('a wrong file refuses the push of the policy, with file, line, key and the nearest word', async () => {
    const refused = await inForce([
      '[[check]]',
      'name = "signed"',
      'repositories = ["team/*"]',
      'comits-signed = "ssh"',
    ]);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /checks\/site\.toml:4: check signed: there is no key comits-signed; did you mean commits-signed\?/,
    );
    assert.match(refused.stderr, /\[remote rejected\] HEAD -> main \(checks\/site\.toml:4: check signed/);
    const checked = await run(
      join(import.meta.dirname, '../../bin/gatehouse'),
      ['--data', site.gate.data, 'policy', 'check', policy],
      {
        env: site.admin.env,
      },
    );
    assert.match(
      `${checked.stdout}${checked.stderr}`,
      /checks\/site\.toml:4: check signed: there is no key comits-signed/,
    );
  });

  test('commits count as signed as soon as a key is registered, and no more when it is taken away', async () => {
    const good = await inForce([
      '[[check]]',
      'name = "signed"',
      'repositories = ["team/*"]',
      'commits-signed = "ssh"',
      'signed-by = "pusher"',
    ]);
    assert.equal(good.code, 0, good.stderr);
    const key = join(ian.home, 'signing');
    await expectRun('ssh-keygen', ['-q', '-t', 'ecdsa', '-N', '', '-C', 'ian signs', '-f', key]);
    writeFileSync(join(tree, 'a'), 'a');
    await gitOk(ian, ['add', 'a'], tree);
    await gitOk(ian, [...signed(key), 'commit', '-q', '-m', 'Add a'], tree);
    const unknown = await git(ian, ['push', 'origin', 'main'], tree);
    assert.match(
      unknown.stderr,
      /commit [0-9a-f]{10} "Add a": has a signature that is by a key that nobody registered here/,
    );
    assert.match(unknown.stderr, /\[remote rejected\] main -> main \(checks\/site\.toml:1, signed: /);
    const added = await sshOk(ian, gate, ['signingkey', 'add', 'laptop'], readFileSync(`${key}.pub`, 'utf8'));
    assert.match(added, /added the signing key laptop of ian: SHA256:/);
    assert.match(await sshOk(ian, gate, ['signingkey', 'list']), /laptop +ecdsa-sha2-nistp256 +SHA256:\S+ +ian signs/);
    await gitOk(ian, ['push', '-q', 'origin', 'main'], tree);
    const again = await ssh(site.admin, gate, ['signingkey', 'add', 'mine'], readFileSync(`${key}.pub`, 'utf8'));
    assert.match(again.stderr, /this key is in use already/);
    await gitOk(ian, [...signed(ian.keyFile), 'commit', '-q', '--allow-empty', '-m', 'By the login key'], tree);
    await gitOk(ian, ['push', '-q', 'origin', 'main'], tree);
    await gitOk(ian, [...signed(key), 'commit', '-q', '--allow-empty', '-m', 'Late'], tree);
    await sshOk(ian, gate, ['signingkey', 'del', 'laptop']);
    const gone = await git(ian, ['push', 'origin', 'main'], tree);
    assert.match(gone.stderr, /"Late": has a signature that is by a key that nobody registered here/);
    await gitOk(ian, ['reset', '-q', '--hard', 'HEAD^'], tree);
  });

  test('a GnuPG signature counts against the key that gpg exports', async (t) => {
    const home = join(ian.home, 'g');
    mkdirSync(home, { mode: 0o700 });
    chmodSync(home, 0o700);
    const env = { ...ian.env, GNUPGHOME: home };
    const probe = await run('gpg', ['--version'], { env }).catch(() => undefined);
    if (probe?.code !== 0) {
      t.skip('gpg is not installed here: OpenPGP signatures by GnuPG are NOT tested');
      return;
    }
    scope.after(() => run('gpgconf', ['--kill', 'all'], { env }));
    const made = [
      '--batch',
      '--quiet',
      '--passphrase',
      '',
      '--quick-gen-key',
      'Ian <ian@example.org>',
      'ed25519',
      'sign',
      '1d',
    ];
    await expectRun('gpg', made, { env });
    const armored = await expectRun('gpg', ['--armor', '--export', 'ian@example.org'], { env });
    assert.equal(
      (
        await inForce([
          '[[check]]',
          'name = "gpg"',
          'repositories = ["team/app"]',
          'commits-signed = "openpgp"',
          'tags-signed = "openpgp"',
        ])
      ).code,
      0,
    );
    const sign = ['-c', 'user.signingKey=ian@example.org', '-c', 'commit.gpgSign=true'];
    await expectRun('git', [...sign, 'commit', '-q', '--allow-empty', '-m', 'By GnuPG'], { env, cwd: tree });
    await expectRun('git', [...sign, 'tag', '-s', '-m', 'Tag', 'v1'], { env, cwd: tree });
    const unknown = await git(ian, ['push', 'origin', 'main', 'v1'], tree);
    assert.match(
      unknown.stderr,
      /"By GnuPG": has a signature that is by a key that nobody registered here: OpenPGP [0-9A-F]{16}/,
    );
    assert.match(unknown.stderr, /refs\/tags\/v1: the tag has a signature that is by a key/);
    await sshOk(ian, gate, ['signingkey', 'add', 'gpg'], armored);
    await gitOk(ian, ['push', '-q', 'origin', 'main', 'v1'], tree);
  });

  test('a signed push over SSH stands in the journal with its certificate', async () => {
    const asked = await inForce([
      '[[check]]',
      'name = "signed pushes"',
      'repositories = ["team/app"]',
      'push-certificate = true',
    ]);
    assert.equal(asked.code, 0, asked.stderr);
    const plain = await git(ian, ['push', 'origin', 'main:plain'], tree);
    assert.match(plain.stderr, /refs\/heads\/plain: the push is not signed: git push --signed/);
    await gitOk(ian, [...signed(ian.keyFile), 'push', '-q', '--signed', 'origin', 'main:sealed'], tree);
    const log = await sshOk(site.admin, gate, ['audit', 'log', '--json', '--limit', '5']);
    assert.match(log, /certificate version 0\.1\\npusher /);
  });

  test('what a check holds waits for an approval, its certificate with it', async () => {
    const put = await inForce([
      '[[check]]',
      'name = "workflows"',
      'repositories = ["team/*"]',
      'users = ["ian"]',
      'paths-refuse = [".ci/*"]',
      'action = "hold"',
      '[[check]]',
      'name = "signed pushes"',
      'repositories = ["team/app"]',
      'push-certificate = true',
    ]);
    assert.equal(put.code, 0, put.stderr);
    mkdirSync(join(tree, '.ci'));
    writeFileSync(join(tree, '.ci/run'), 'x');
    await gitOk(ian, ['add', '.ci/run'], tree);
    await gitOk(ian, ['commit', '-q', '-m', 'Change what runs'], tree);
    const held = await git(ian, [...signed(ian.keyFile), 'push', '--signed', 'origin', 'main:ci'], tree);
    assert.match(held.stderr, /workflows \(an approver may let it pass\)/);
    const id = /held for approval as ([a-z0-9]+)/.exec(held.stderr)?.[1] ?? held.stderr;
    const approved = await ssh(site.admin, gate, ['hold', 'approve', id, '--reason', 'read']);
    assert.equal(approved.code, 0, approved.stdout + approved.stderr);
    assert.match(await gitOk(ian, ['ls-remote', 'origin', 'refs/heads/ci'], tree), /refs\/heads\/ci/);
  });

  test('checks are in force again after a restart', async () => {
    await gate.stop();
    gate = await startGate(scope, { data: site.gate.data, home: site.admin.home });
    await gitOk(ian, ['remote', 'set-url', 'origin', url(gate, 'ssh', 'team/app')], tree);
    const plain = await git(ian, ['push', 'origin', 'main:later'], tree);
    assert.match(plain.stderr, /the push is not signed/);
  });
});
