/** Mirrors whose deploy key and webhook the gate makes at the forge, over the gate's own commands, crashes included. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startForge, type TestForge } from '../support/forges.ts';
import { ssh, sshConfirmed, sshOk, startGate } from '../support/gate.ts';
import { noSshd } from '../support/sshd.ts';
import { suiteScope, type Ended } from '../support/workspace.ts';
import { cloneOf, startMirrorSite, type MirrorSite } from './mirror-ground.ts';

const scope = suiteScope();
let site: MirrorSite;
const forges: TestForge[] = [];

before(async () => {
  if (noSshd() !== false) return;
  site = await startMirrorSite(scope);
  for (const kind of ['gitea', 'github', 'gitlab'] as const) {
    const forge = await startForge(scope, kind);
    await forge.repositories.create('org/app');
    await forge.repositories.commit('org/app', 'refs/heads/main', { 'a.txt': 'a\n' });
    forges.push(forge);
  }
});

after(() => scope.close());

function forgeOf(kind: TestForge['kind']): TestForge {
  const forge = forges.find((each) => each.kind === kind);
  assert.ok(forge !== undefined);
  forge.fate = () => undefined;
  return forge;
}

function add(
  forge: TestForge,
  name: string,
  flags: readonly string[] = ['--write'],
  token = forge.token,
): Promise<Ended> {
  const at = ['--forge', forge.kind, '--forge-url', forge.url, '--forge-project', 'org/app', '--forge-token', '-'];
  const words = [
    'mirror',
    'add',
    name,
    forge.sshUrl('org/app'),
    '--host-key',
    forge.hostKey,
    ...at,
    '--deploy-key',
    ...flags,
  ];
  return ssh(site.admin, site.gate, words, token);
}

async function added(forge: TestForge, name: string, flags?: readonly string[]): Promise<string> {
  const ended = await add(forge, name, flags);
  assert.equal(ended.code, 0, `${ended.stdout}${ended.stderr}`);
  return ended.stdout;
}

const admin = (...words: readonly string[]): Promise<string> => sshOk(site.admin, site.gate, words);

describe('a mirror with a deploy key of its forge', { skip: noSshd() }, () => {
  for (const kind of ['gitea', 'github', 'gitlab'] as const)
    test(`at ${kind} is made, fetched from, pushed to, checked, and revoked with the mirror`, async () => {
      const forge = forgeOf(kind);
      await added(forge, kind, ['--write', '--webhook']);
      assert.deepEqual([forge.keys.length, forge.hooks.length], [1, 1]);
      const clone = await cloneOf(site, kind);
      const oid = await clone.commit('b.txt');
      await clone.ok('push', '-q', 'origin', `HEAD:refs/heads/${kind}`);
      assert.equal(await forge.repositories.ref('org/app', `refs/heads/${kind}`), oid);
      assert.match(await admin('mirror', 'check', kind), /deploy key.*: there\nwebhook.*: there\n$/);
      const [hook] = forge.hooks;
      assert.ok(hook !== undefined);
      assert.equal(await forge.call(hook, '{}'), 200);
      assert.equal(
        await forge.call(
          hook,
          '{}',
          (headers) =>
            (headers['webhook-signature'] =
              headers['x-gitea-signature'] =
              headers['x-forgejo-signature'] =
              headers['x-hub-signature-256'] =
                'v1,no'),
        ),
        401,
      );
      assert.match(await admin('mirror', 'remove', kind), /revoked the deploy key .*\nrevoked the webhook/);
      assert.deepEqual([forge.keys, forge.hooks], [[], []]);
      assert.equal(await forge.call(hook, '{}'), 401, 'a webhook that was revoked is unknown');
    });

  test('without --write reads only, and so does its key', async () => {
    const forge = forgeOf('gitea');
    await added(forge, 'reader', []);
    assert.equal(forge.keys[0]?.mayWrite, false);
    const clone = await cloneOf(site, 'reader');
    await clone.commit('c.txt');
    assert.notEqual((await clone.git('push', 'origin', 'HEAD:refs/heads/c')).code, 0);
    // The token that made the key is replaced at the forge.
    const old = forge.token;
    forge.token = 'the-next-token';
    const stale = await ssh(site.admin, site.gate, ['mirror', 'check', 'reader']);
    assert.match(stale.stdout, /deploy key: .*does not take the token/);
    await sshOk(site.admin, site.gate, ['mirror', 'remove', 'reader', '--forge-token', '-'], forge.token);
    forge.token = old;
    assert.deepEqual(forge.keys, []);
  });

  test('that cannot be made leaves nothing here or at the forge', async () => {
    const forge = forgeOf('github');
    const wrongKey = site.admin.publicKey.split(' ').slice(0, 2).join(' ');
    const at = ['--forge', 'github', '--forge-url', forge.url, '--forge-project', 'org/app', '--forge-token', '-'];
    const words = ['mirror', 'add', 'bad', forge.sshUrl('org/app'), '--host-key', wrongKey, ...at, '--deploy-key'];
    const ended = await ssh(site.admin, site.gate, words, forge.token);
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /host key/);
    assert.ok(
      forge.seen.some((line) => line.startsWith('POST')),
      'a key was made',
    );
    assert.deepEqual(forge.keys, []);
    const wrong = await add(forge, 'bad', ['--write'], 'wrong-token');
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /does not take the token/);
    assert.equal((await ssh(site.admin, site.gate, ['mirror', 'show', 'bad'])).code, 1);
    assert.equal(await admin('mirror', 'sweep', '--dry-run'), 'nothing is left at any forge\n');
    for (const [flags, reason] of [
      [['--deploy-key'], /goes with --forge/],
      [['--forge', 'gitea'], /goes with --deploy-key, --webhook/],
      [['--forge', 'gitae', '--deploy-key'], /a forge is gitea/],
      [['--forge', 'gitea', '--deploy-key', '--write', '--read-only'], /contraries/],
    ] as const) {
      const refused = await ssh(site.admin, site.gate, ['mirror', 'add', 'bad', 'git@git.example:org/app', ...flags]);
      assert.match(refused.stderr, reason, flags.join(' '));
    }
  });

  test('whose forge does not revoke says so, and mirror sweep tries again', async () => {
    const forge = forgeOf('gitlab');
    await added(forge, 'stuck');
    forge.fate = ({ method }) =>
      method === 'DELETE' ? { status: 403, body: '{"message":"403 Forbidden"}' } : undefined;
    const ended = await ssh(site.admin, site.gate, ['mirror', 'remove', 'stuck']);
    assert.equal(ended.code, 1);
    assert.match(
      ended.stdout,
      /was not revoked: .*take it away by hand.*\n1 thing left there: mirror sweep tries again/,
    );
    assert.equal((await ssh(site.admin, site.gate, ['mirror', 'sweep'])).code, 1);
    forge.fate = () => undefined;
    assert.match(await admin('mirror', 'sweep', '--dry-run'), /^left: deploy key "gatehouse [0-9a-f]{12} stuck"/);
    assert.equal(forge.keys.length, 1);
    assert.match(await admin('mirror', 'sweep'), /^revoked: deploy key/);
    assert.deepEqual(forge.keys, []);
    assert.equal(await admin('mirror', 'sweep'), 'nothing is left at any forge\n');
  });

  test('that was destroyed keeps its key in the graveyard, and loses it with the grave', async () => {
    const forge = forgeOf('gitea');
    await added(forge, 'buried');
    await sshConfirmed(site.admin, site.gate, ['destroy', 'buried']);
    assert.equal(await admin('mirror', 'sweep'), 'nothing is left at any forge\n');
    assert.equal(forge.keys.length, 1);
    await sshConfirmed(site.admin, site.gate, ['graveyard', 'purge', 'buried']);
    assert.deepEqual(forge.keys, []);
  });

  test('killed while its key is made, leaves a key that mirror sweep revokes after the next start', async () => {
    const forge = forgeOf('github');
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const { promise: dead, resolve: onDead } = Promise.withResolvers<void>();
    forge.fate = ({ method }) => {
      if (method === 'POST') resolve();
      return method === 'POST' ? { after: true, drop: true, wait: () => dead } : undefined;
    };
    const adding = add(forge, 'cut');
    await asked;
    await site.restart('kill');
    onDead();
    await adding;
    forge.fate = () => undefined;
    assert.match(await admin('mirror', 'sweep'), /deploy key "gatehouse [0-9a-f]{12} cut"/);
    assert.deepEqual(forge.keys, []);
  });

  test('leaves no token in the journal or the log, and nothing of it in a process', async () => {
    const journal = await admin('audit', 'log', '--json');
    assert.match(journal, /"hook"/);
    for (const forge of forges) assert.ok(!journal.includes(forge.token) && !site.gate.log().includes(forge.token));
  });

  test('may be made with the token of the environment, which goes to its forge alone', async () => {
    const [forge, other] = [forgeOf('gitea'), forgeOf('gitlab')];
    const gate = await startGate(scope, {
      data: join(site.root, 'other'),
      home: site.admin.home,
      args: ['--admin', 'admin', '--admin-key', `${site.admin.keyFile}.pub`],
      env: { GATEHOUSE_FORGE_TOKEN: forge.token, GATEHOUSE_FORGE_URL: forge.url },
    });
    const words = (to: TestForge): readonly string[] => {
      const at = ['--forge', to.kind, '--forge-url', to.url, '--forge-project', 'org/app', '--deploy-key'];
      return ['mirror', 'add', 'app', to.sshUrl('org/app'), '--host-key', to.hostKey, ...at];
    };
    const refused = await ssh(site.admin, gate, words(other));
    assert.match(refused.stderr, /there is no token for 127\.0\.0\.1/);
    await sshOk(site.admin, gate, words(forge));
    await sshOk(site.admin, gate, ['mirror', 'remove', 'app']);
    assert.deepEqual(forge.keys, []);
    assert.ok(!other.seen.includes(forge.token));
    assert.equal(await gate.stop(), 0);
  });
});
