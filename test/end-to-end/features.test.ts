/** What Git clients ask of a server beyond clone and push, over the real doors. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  ssh,
  sshOk,
  startSite,
  url,
  type Person,
  type Site,
} from '../support/gate.ts';
import { suiteScope, expectRun, run } from '../support/workspace.ts';

describe('a gate serves', () => {
  let site: Site;
  let alice: Person;
  let token: string;
  let tree: string;
  const scope = suiteScope();
  const doors = ['ssh', 'http', 'git'] as const;
  const from = (door: (typeof doors)[number], name = 'rich') =>
    url(site.gate, door, name, door === 'http' ? token : undefined);

  before(
    async () => {
      site = await startSite(scope);
      alice = await addPerson(site, 'alice');
      token =
        /ght_[A-Za-z0-9]+/.exec(
          await sshOk(alice, site.gate, ['token', 'create', 'features', '--scope', 'write']),
        )?.[0] ?? '';
      await sshOk(alice, site.gate, ['create', 'rich']);
      await sshOk(alice, site.gate, ['config', 'rich', 'set', 'public', 'yes']);
      tree = join(alice.home, 'rich');
      await gitOk(alice, ['init', '-q', '-b', 'main', tree]);
      for (let count = 0; count < 12; count += 1)
        await commitFile(alice, tree, `file-${count}`, `${count}\n`.repeat(2000));
      await gitOk(alice, ['tag', '-a', '-m', 'inner', 'inner'], tree);
      await gitOk(alice, ['tag', '-a', '-m', 'outer', 'outer', 'inner'], tree);
      await gitOk(alice, ['push', '-q', url(site.gate, 'ssh', 'rich'), 'main', '--tags'], tree);
    },
    { timeout: 60_000 },
  );
  after(() => scope.close());

  for (const door of doors) {
    for (const protocol of ['0', '1', '2']) {
      test(`shallow clones that deepen and complete, over ${door}, protocol v${protocol}`, async () => {
        const to = join(alice.home, `shallow-${door}-${protocol}`);
        const v = ['-c', `protocol.version=${protocol}`];
        await gitOk(alice, [...v, 'clone', '-q', '--depth', '2', from(door), to]);
        assert.equal(await gitOk(alice, ['rev-list', '--count', 'HEAD'], to), '2');
        await gitOk(alice, [...v, 'fetch', '-q', '--deepen', '3'], to);
        assert.equal(await gitOk(alice, ['rev-list', '--count', 'HEAD'], to), '5');
        await gitOk(alice, [...v, 'fetch', '-q', '--unshallow'], to);
        assert.equal(await gitOk(alice, ['rev-list', '--count', 'HEAD'], to), '12');
        await gitOk(alice, ['fsck', '--strict'], to);
      });
    }

    test(`partial clones that fetch what they lack, over ${door}`, async () => {
      const to = join(alice.home, `partial-${door}`);
      await gitOk(alice, ['clone', '-q', '--no-checkout', '--filter=blob:none', from(door), to]);
      const absent = (await gitOk(alice, ['rev-list', '--objects', '--missing=print', 'HEAD'], to))
        .split('\n')
        .filter((line) => line.startsWith('?'));
      assert.equal(absent.length, 12);
      await gitOk(alice, ['checkout', '-q', 'main'], to);
      assert.equal(readdirSync(to).filter((file) => file.startsWith('file-')).length, 12);
    });

    test(`the same refs as git itself, nested tags peeled to the end, over ${door}`, async () => {
      const ours = await gitOk(alice, ['ls-remote', from(door)]);
      const own = (await gitOk(alice, ['ls-remote', tree]))
        .split('\n')
        .filter((line) => !line.includes('refs/remotes/'));
      assert.equal(ours, own.join('\n'));
    });
  }

  for (const door of ['ssh', 'git'] as const) {
    test(`archives of a branch over ${door}, not of a commit that no ref leads to`, async () => {
      const tar = join(alice.home, `${door}.tar`);
      await gitOk(alice, ['archive', `--remote=${from(door)}`, '--output', tar, 'main']);
      assert.match(await expectRun('tar', ['tf', tar]), /file-11/);
      const refused = await git(alice, [
        'archive',
        `--remote=${from(door)}`,
        '0123456789012345678901234567890123456789',
      ]);
      assert.notEqual(refused.code, 0);
    });
  }

  for (const door of ['ssh', 'http'] as const) {
    test(`an atomic push whole or not at all, over ${door}`, async () => {
      await gitOk(alice, ['fetch', '-q', from(door), 'main'], tree);
      const stale = await git(
        alice,
        [
          'push',
          '--atomic',
          '--force',
          from(door),
          `HEAD~3:refs/heads/atomic-${door}`,
          'HEAD:refs/gatehouse/forbidden',
        ],
        tree,
      );
      assert.equal(stale.code, 1);
      assert.match(stale.stderr, /atomic/);
      assert.equal(await gitOk(alice, ['ls-remote', from(door), `refs/heads/atomic-${door}`]), '');
      const both = await git(
        alice,
        ['push', '--atomic', from(door), `HEAD~3:refs/heads/atomic-${door}`, `HEAD:refs/heads/atomic-${door}-2`],
        tree,
      );
      assert.equal(both.code, 0, both.stderr);
    });

    test(`push options, and a large push in chunks, over ${door}`, async () => {
      writeFileSync(join(tree, `large-${door}`), Buffer.alloc(3_000_000, `${door} \n`));
      await gitOk(alice, ['add', '.'], tree);
      await gitOk(alice, ['-c', 'core.compression=0', 'commit', '-q', '-m', 'Add a large file'], tree);
      const options = [
        '-c',
        'http.postBuffer=65536',
        '-c',
        'core.compression=0',
        'push',
        '-o',
        'reviewer=ian',
        '-o',
        'topic',
      ];
      const pushed = await git(alice, [...options, from(door), `HEAD:refs/heads/large-${door}`], tree);
      assert.equal(pushed.code, 0, pushed.stderr);
    });

    test(`one of two writers of the same branch wins, and the other hears to fetch first, over ${door}`, async () => {
      const other = join(alice.home, `other-${door}`);
      await gitOk(alice, ['clone', '-q', from(door), other]);
      await commitFile(alice, other, `mine-${door}`, 'x\n');
      await gitOk(alice, ['push', '-q', from(door), 'main'], other);
      await commitFile(alice, tree, `theirs-${door}`, 'y\n');
      const late = await git(alice, ['push', from(door), 'HEAD:main'], tree);
      assert.equal(late.code, 1);
      assert.match(late.stderr, /fetch first|non-fast-forward|\[rejected\]/);
      await gitOk(alice, ['pull', '-q', '--rebase', from(door), 'main'], tree);
      await gitOk(alice, ['push', '-q', from(door), 'HEAD:main'], tree);
    });
  }

  test('a greeting to a person who names no command, and no shell, forwarding or terminal', async () => {
    const greeting = await ssh(alice, site.gate, []);
    assert.equal(greeting.code, 0, greeting.stderr);
    assert.match(greeting.stdout + greeting.stderr, /alice[\s\S]*rich/);
    const shell = await ssh(alice, site.gate, ['sh', '-c', 'id']);
    assert.notEqual(shell.code, 0);
    assert.doesNotMatch(shell.stdout, /uid=/);
  });

  test('ECDSA and RSA keys as well as ed25519', async () => {
    for (const type of ['ecdsa', 'rsa'] as const) {
      const person = await addPerson(site, `with-${type}`, { type });
      assert.match(await sshOk(person, site.gate, ['whoami']), new RegExp(`with-${type}`));
    }
  });

  test('TLS when certificate and key are given', { timeout: 60_000 }, async (t) => {
    const place = site.root;
    const pair = ['-keyout', join(place, 'tls.key'), '-out', join(place, 'tls.crt')];
    await expectRun('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      ...pair,
    ]);
    const second = await startSite(t, {
      args: ['--tls-cert', join(place, 'tls.crt'), '--tls-key', join(place, 'tls.key')],
    });
    await sshOk(second.admin, second.gate, ['create', 'sealed']);
    await sshOk(second.admin, second.gate, ['config', 'sealed', 'set', 'public', 'yes']);
    const to = join(second.root, 'sealed');
    await gitOk(second.admin, [
      '-c',
      `http.sslCAInfo=${join(place, 'tls.crt')}`,
      'clone',
      '-q',
      `https://${second.gate.http}/sealed`,
      to,
    ]);
    assert.ok(existsSync(join(to, '.git')));
    const plain = await run('curl', ['-sS', '-m', '10', `http://${second.gate.http}/healthz`]);
    assert.notEqual(plain.code, 0, 'no plain text on the TLS port');
  });
});
