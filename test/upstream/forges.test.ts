/** Deploy keys and webhooks at Gitea, GitHub and GitLab: made, looked at, revoked; and forges that fail in the middle of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';
import { createForge } from '../../src/upstream/forges/create-forge.ts';
import { ForgeDesk, type ForgeDeskParts } from '../../src/upstream/forges/forge-desk.ts';
import { parseForgePlace, type ForgePlace } from '../../src/upstream/forges/forge.ts';
import { takeForgeTokenFrom } from '../../src/upstream/forges/forge-tokens.ts';
import { makeKeyPair } from '../../src/upstream/forges/key-pair.ts';
import { parseUpstreamUrl } from '../../src/upstream/upstream-url.ts';
import { keyFile } from '../../src/upstream/vault-keys.ts';
import { Vault } from '../../src/upstream/vault.ts';
import { startForge, type TestForge } from '../support/forges.ts';
import { noSshd } from '../support/sshd.ts';
import { cleanEnvironment, expectRun, hasProgram, run, suiteScope, workspace } from '../support/workspace.ts';

const scope = suiteScope();
const KINDS = ['gitea', 'github', 'gitlab'] as const;
const forges = new Map<string, TestForge>();
const { signal } = new AbortController();

before(async () => {
  if (noSshd() !== false) return;
  for (const kind of KINDS) {
    const forge = await startForge(scope, kind);
    await forge.repositories.create('org/repo');
    await forge.repositories.create('org/other');
    await forge.repositories.commit('org/repo', 'refs/heads/main', { 'a.txt': 'a\n' });
    forges.set(kind, forge);
  }
});

after(() => scope.close());

function forgeOf(kind: string): TestForge {
  const forge = forges.get(kind);
  assert.ok(forge !== undefined);
  forge.fate = () => undefined;
  forge.pageMax = 50;
  forge.keys.splice(0);
  forge.hooks.splice(0);
  forge.seen.splice(0);
  return forge;
}

function placeOf(forge: TestForge, project = 'org/repo'): ForgePlace {
  const upstream = parseUpstreamUrl(forge.sshUrl(project));
  assert.ok(upstream.kind === 'ok');
  const asked = { kind: forge.kind, url: forge.url, project, authorities: undefined };
  const place = parseForgePlace(asked, upstream.value);
  assert.ok(place.kind === 'ok', 'a place');
  return place.value;
}

/** The same clock, whose waits are over at once. */
const QUICK: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms >= 30_000 ? ms : 1, callback) };

interface Desk extends AsyncDisposable {
  readonly desk: ForgeDesk;
  readonly store: Store;
  readonly mirrors: Set<string>;
  readonly text: () => Promise<string>;
}

async function openDesk(
  parts: Partial<ForgeDeskParts> = {},
  directory = workspace(scope, 'gatehouse-desk-'),
): Promise<Desk> {
  const path = join(directory, 'gatehouse.db');
  const store = await openSqliteStore({ path });
  const vault = await Vault.open({ store, clock: systemClock, keys: keyFile(join(directory, 'vault.key')) });
  const mirrors = new Set<string>();
  const desk = new ForgeDesk({
    store,
    clock: QUICK,
    vault,
    environment: undefined,
    isMirror: (id) => mirrors.has(id),
    gateId: undefined,
    log: { warn: () => {} },
    ...parts,
  });
  return {
    desk,
    store,
    mirrors,
    text: async () =>
      JSON.stringify([await store.list('deploy-key'), await store.list('sealed'), await store.list('meta')]),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

async function lsRemote(
  forge: TestForge,
  privateKey: string,
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const home = workspace(scope, 'gatehouse-client-');
  writeFileSync(join(home, 'key'), privateKey, { mode: 0o600 });
  const ssh = `ssh -F /dev/null -i ${join(home, 'key')} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR`;
  return run('git', ['ls-remote', forge.sshUrl('org/repo')], {
    env: { ...cleanEnvironment(home), GIT_SSH_COMMAND: ssh },
  });
}

test('a made key pair is one that OpenSSH reads as its own, with the same public half', async () => {
  for (let round = 0; round < 4; round += 1) {
    const pair = makeKeyPair(systemClock);
    const file = join(workspace(scope, 'gatehouse-key-'), 'key');
    writeFileSync(file, pair.privateKey, { mode: 0o600 });
    assert.equal((await expectRun('ssh-keygen', ['-y', '-f', file])).trim(), pair.publicKey);
  }
});

for (const kind of KINDS) {
  describe(`at ${kind}`, { skip: noSshd() }, () => {
    test('a deploy key is made, opens its project over ssh, is verified, revoked, and then opens nothing', async () => {
      const forge = forgeOf(kind);
      await using site = await openDesk();
      const made = await site.desk.makeKey(
        { place: placeOf(forge), mirror: 'repo', mayWrite: false, token: forge.token },
        { signal },
      );
      made.keep();
      assert.equal(forge.keys.length, 1);
      assert.match(forge.keys[0]?.title ?? '', /^gatehouse [0-9a-f]{12} repo$/);
      assert.equal(forge.keys[0]?.mayWrite, false);
      assert.equal((await lsRemote(forge, made.pair.privateKey)).code, 0);
      assert.equal(await site.desk.verify(made.grant, { signal }), undefined);
      const text = await site.text();
      assert.ok(!text.includes(forge.token) && !text.includes('PRIVATE KEY'), 'the store shows no secret');
      assert.equal(await site.desk.revoke(made.grant, { signal }), true);
      assert.equal(forge.keys.length, 1 - 1);
      const refused = await lsRemote(forge, made.pair.privateKey);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /Permission denied/);
      assert.deepEqual([await site.desk.list(), await site.store.list('sealed')], [[], []]);
    });

    test('a webhook is made with its secret, found, and revoked', async () => {
      const forge = forgeOf(kind);
      await using site = await openDesk();
      const asked = {
        place: placeOf(forge),
        mirror: 'repo',
        token: forge.token,
        urlOf: (id: string) => `https://gate/h/${id}`,
      };
      const made = await site.desk.makeHook(asked, { signal });
      made.keep();
      assert.equal(forge.hooks[0]?.url, made.grant.url);
      assert.equal(Buffer.from(forge.hooks[0]?.secret ?? '', 'base64url').length, 32);
      assert.equal(await site.desk.verify(made.grant, { signal }), undefined);
      await site.desk.revoke(made.grant, { signal });
      assert.deepEqual([forge.hooks, await site.store.list('sealed')], [[], []]);
    });

    test('a key that is gone at the forge counts as revoked, and verify says that it is gone', async () => {
      const forge = forgeOf(kind);
      await using site = await openDesk();
      const made = await site.desk.makeKey(
        { place: placeOf(forge), mirror: 'repo', mayWrite: true, token: forge.token },
        { signal },
      );
      forge.keys.splice(0);
      assert.match((await site.desk.verify(made.grant, { signal })) ?? '', /is not there$/);
      assert.equal(await site.desk.revoke(made.grant, { signal }), false);
      assert.deepEqual(await site.desk.list(), []);
    });

    test('keys over many pages are all found, small pages too', async () => {
      const forge = forgeOf(kind);
      forge.pageMax = 3;
      for (let count = 0; count < 10; count += 1)
        forge.addKey({
          project: 'org/repo',
          title: `other ${count}`,
          key: makeKeyPair(systemClock).publicKey,
          mayWrite: false,
        });
      await using site = await openDesk();
      const made = await site.desk.makeKey(
        { place: placeOf(forge), mirror: 'repo', mayWrite: true, token: forge.token },
        { signal },
      );
      assert.equal(await site.desk.verify(made.grant, { signal }), undefined);
      await made.undo({ signal });
      assert.equal(forge.keys.length, 10);
    });

    test('a wrong token is told as such, and never repeated', async () => {
      const forge = forgeOf(kind);
      const wrong = `wrong-${systemClock.randomBytes(8).toString('hex')}`;
      await using site = await openDesk();
      const failed = site.desk.makeKey(
        { place: placeOf(forge), mirror: 'repo', mayWrite: true, token: wrong },
        { signal },
      );
      const error = await faultOf(failed);
      assert.match(error.publicMessage ?? '', /does not take the token: it is wrong or has expired/);
      assert.ok(!JSON.stringify([error.publicMessage, error.context, String(error.cause)]).includes(wrong));
      assert.deepEqual([await site.desk.list(), await site.store.list('sealed')], [[], []]);
    });

    test('a token that may not, and a project that is not there, are told with what the token needs', async () => {
      const forge = forgeOf(kind);
      forge.fate = () => ({ status: 403, body: JSON.stringify({ message: `no ${forge.token}` }) });
      await using site = await openDesk();
      const asked = { mirror: 'repo', mayWrite: true, token: forge.token };
      const forbidden = await faultOf(site.desk.makeKey({ ...asked, place: placeOf(forge) }, { signal }));
      assert.match(forbidden.publicMessage ?? '', /the token needs .*(scope|access).*\(no \*\*\*\)$/s);
      forge.fate = () => undefined;
      const missing = await faultOf(site.desk.makeKey({ ...asked, place: placeOf(forge, 'org/nowhere') }, { signal }));
      assert.match(missing.publicMessage ?? '', /knows no project org\/nowhere, or the token may not administer it/);
    });
  });
}

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Fault, `a fault, not ${String(error)}`);
  return error;
}

describe('a forge that fails', { skip: noSshd() }, () => {
  const ask = (forge: TestForge) => ({ place: placeOf(forge), mirror: 'repo', mayWrite: true, token: forge.token });

  test('with 503 and 429 is asked again, within bounds', async () => {
    const forge = forgeOf('gitea');
    let left = 2;
    forge.fate = ({ method }) => {
      if (left === 0) return undefined;
      left -= 1;
      return method === 'POST' ? { status: 429, headers: { 'retry-after': '1' } } : { status: 503 };
    };
    await using site = await openDesk();
    await site.desk.makeKey(ask(forge), { signal });
    assert.equal(forge.seen.filter((line) => line.startsWith('POST')).length, 3);
    forge.fate = () => ({ status: 429, headers: { 'retry-after': '86400' } });
    const before = forge.seen.length;
    const [grant] = await site.desk.list();
    assert.ok(grant !== undefined);
    const error = await faultOf(site.desk.revoke(grant, { signal }));
    assert.match(error.publicMessage ?? '', /asks to wait/);
    assert.equal(forge.seen.length, before + 1, 'who asks for a day is not asked again');
    assert.equal((await site.desk.list()).length, 1, 'the record stays');
  });

  test('that breaks off after it made the key is asked for the key, and there is one', async () => {
    for (const fate of [
      { drop: true },
      { status: 502 },
      { status: 201, body: 'not json' },
      { status: 201, body: '{"id":"x"}' },
    ]) {
      const forge = forgeOf('github');
      forge.fate = ({ method }) => (method === 'POST' ? { ...fate, after: true } : undefined);
      await using site = await openDesk();
      const made = await site.desk.makeKey(ask(forge), { signal });
      assert.equal(forge.keys.length, 1, JSON.stringify(fate));
      assert.equal(made.grant.forgeId, String(forge.keys[0]?.id));
      assert.equal(await made.undo({ signal }), undefined);
      assert.equal(forge.keys.length, 0);
    }
  });

  test('that stays silent about what it made leaves a record, and a sweep finds the key by what it is', async () => {
    const forge = forgeOf('gitlab');
    forge.fate = ({ method }) => ({ drop: true, after: method === 'POST' });
    const directory = workspace(scope, 'gatehouse-desk-');
    {
      await using site = await openDesk({}, directory);
      await faultOf(site.desk.makeKey(ask(forge), { signal }));
      assert.equal(forge.keys.length, 1);
      assert.equal((await site.desk.list())[0]?.forgeId, undefined);
    }
    forge.fate = () => undefined;
    await using again = await openDesk({}, directory);
    const dry = await again.desk.sweep({ isDryRun: true, signal });
    assert.deepEqual([dry.map(({ outcome }) => outcome), forge.keys.length], [['found'], 1]);
    const swept = await again.desk.sweep({ isDryRun: false, signal });
    assert.deepEqual([swept.map(({ outcome }) => outcome), forge.keys.length], [['revoked'], 0]);
    assert.deepEqual(await again.desk.list(), []);
  });

  test('that gives the key more than was asked for does not keep it', async () => {
    const forge = forgeOf('gitea');
    await using site = await openDesk();
    forge.fate = ({ method }) => {
      const [key] = forge.keys;
      if (method === 'GET' && key !== undefined) forge.keys.splice(0, 1, { ...key, mayWrite: true });
      return undefined;
    };
    const error = await faultOf(site.desk.makeKey({ ...ask(forge), mayWrite: false }, { signal }));
    assert.match(error.publicMessage ?? '', /may write, which was not asked for/);
    assert.equal(forge.keys.length, 0);
  });

  test('that says 404 and lists the key all the same is no success', async () => {
    const forge = forgeOf('github');
    await using site = await openDesk();
    const made = await site.desk.makeKey(ask(forge), { signal });
    forge.fate = ({ method }) => (method === 'DELETE' ? { status: 404, body: '{}' } : undefined);
    assert.match(
      (await made.undo({ signal })) ?? '',
      /was not revoked: .*lists it and does not delete it; take it away by hand/,
    );
    assert.equal((await site.desk.list()).length, 1);
  });

  test('with a redirect, too much, or nothing is a failure in words, and no token goes elsewhere', async () => {
    const [forge, other] = [forgeOf('gitea'), forgeOf('github')];
    await using site = await openDesk();
    const fates = [
      [
        { status: 302, headers: { location: `${other.url}/api/v1/repos/org/repo/keys` } },
        /redirect, which is not followed/,
      ],
      [{ status: 422, body: JSON.stringify({ message: 'x'.repeat(5 * 1024 * 1024) }) }, /answers too much/],
      [{ drop: true }, /cannot be asked/],
    ] as const;
    for (const [fate, words] of fates) {
      forge.fate = () => fate;
      const error = await faultOf(site.desk.makeKey(ask(forge), { signal }));
      assert.match(error.publicMessage ?? '', words);
      assert.ok((error.publicMessage ?? '').length < 600);
    }
    assert.deepEqual(other.seen, []);
  });

  test('is not waited for by who goes away', async () => {
    const forge = forgeOf('gitea');
    const leaving = new AbortController();
    forge.fate = () => {
      leaving.abort();
      return { status: 503 };
    };
    await using site = await openDesk();
    assert.equal((await faultOf(site.desk.makeKey(ask(forge), { signal: leaving.signal }))).code, 'aborted');
  });

  test('keys of a lost data directory are found by the mark of the gate, those of others stay', async () => {
    const forge = forgeOf('gitea');
    {
      await using lost = await openDesk({ gateId: 'job-7' });
      await lost.desk.makeKey(ask(forge), { signal });
    }
    const others = ['gatehouse job-77 repo', 'laptop', 'gatehouse job-7'].map((title) =>
      forge.addKey({ project: 'org/repo', title, key: makeKeyPair(systemClock).publicKey, mayWrite: false }),
    );
    await using site = await openDesk({ gateId: 'job-7' });
    const kept = await site.desk.makeKey(ask(forge), { signal });
    const place = placeOf(forge);
    const swept = await site.desk.sweepMarked(place, { isDryRun: false, signal, token: forge.token });
    assert.equal(swept.length, 1);
    assert.deepEqual(
      new Set(forge.keys.map(({ id }) => String(id))),
      new Set([...others.map(({ id }) => String(id)), kept.grant.forgeId]),
    );
  });

  test('a sweep leaves alone what belongs to a mirror, and what is being made', async () => {
    const forge = forgeOf('gitea');
    await using site = await openDesk();
    const made = await site.desk.makeKey(ask(forge), { signal });
    assert.deepEqual(await site.desk.sweep({ isDryRun: false, signal }), []);
    site.mirrors.add('r1');
    await site.store.transact({ writes: [made.link('r1')] });
    made.keep();
    assert.deepEqual(await site.desk.sweep({ isDryRun: false, signal }), []);
    site.mirrors.delete('r1');
    assert.equal((await site.desk.sweep({ isDryRun: false, signal }))[0]?.outcome, 'revoked');
  });

  test('a token of the environment goes to its forge and to no other', async () => {
    const [forge, other] = [forgeOf('gitea'), forgeOf('github')];
    const env: NodeJS.ProcessEnv = { GATEHOUSE_FORGE_TOKEN: forge.token, GATEHOUSE_FORGE_URL: forge.url };
    const taken = takeForgeTokenFrom(env);
    assert.ok(taken.kind === 'ok');
    assert.equal(env['GATEHOUSE_FORGE_TOKEN'], undefined, 'it is taken out');
    await using site = await openDesk({ environment: taken.value });
    const made = await site.desk.makeKey({ ...ask(forge), token: undefined }, { signal });
    assert.deepEqual(await site.store.list('sealed'), []);
    assert.equal(await made.undo({ signal }), undefined);
    const error = await faultOf(site.desk.makeKey({ ...ask(other), token: undefined }, { signal }));
    assert.match(
      error.publicMessage ?? '',
      /^there is no token for 127\.0\.0\.1:\d+ to make a deploy key: --forge-token -/,
    );
    assert.deepEqual(other.seen, []);
    assert.equal(takeForgeTokenFrom({ GATEHOUSE_FORGE_TOKEN: 'x' }).kind, 'refused');
  });
});

test(
  'over https the certificate has to be of an authority that counts, and of that host',
  { skip: !hasProgram('openssl') },
  async () => {
    const directory = workspace(scope, 'gatehouse-tls-');
    const [key, cert] = [join(directory, 'key'), join(directory, 'cert')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2'];
    const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert];
    await expectRun('openssl', ['req', '-x509', ...pair, ...subject]);
    const authorities = readFileSync(cert, 'utf8');
    let asked = 0;
    const server = createServer({ key: readFileSync(key), cert: authorities }, (_, response) => {
      asked += 1;
      response.end('[]');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.after(() => void server.close());
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const forgeAt = (host: string, trusted: string | undefined) =>
      createForge({
        place: {
          kind: 'gitea',
          apiUrl: `https://${host}:${address.port}/api/v1`,
          project: 'o/r',
          authorities: trusted,
        },
        token: 'the-token',
        clock: QUICK,
      });
    assert.deepEqual(await forgeAt('localhost', authorities).listKeys({ signal }), []);
    assert.equal(asked, 1);
    for (const [host, trusted] of [
      ['localhost', undefined],
      ['127.0.0.1', authorities],
    ] as const)
      assert.match(
        (await faultOf(forgeAt(host, trusted).listKeys({ signal }))).publicMessage ?? '',
        /cannot be asked: \w*(CERT|SIGN|TLS)/,
      );
    assert.equal(asked, 1, 'nothing was sent, no token either');
  },
);

test('webhooks of others in the list, of any kind, do not stand in the way', { skip: noSshd() }, async () => {
  for (const kind of ['gitea', 'github'] as const) {
    const forge = forgeOf(kind);
    forge.fate = ({ method }) =>
      method === 'GET' ? { status: 200, body: '[{"id":7,"config":{}},{"id":8}]' } : undefined;
    const at = createForge({ place: placeOf(forge), token: forge.token, clock: QUICK });
    assert.deepEqual(
      (await at.listHooks({ signal })).map(({ id }) => id),
      ['7', '8'],
    );
  }
});

test('the address of a forge is https, or loopback; the project is what its API calls one', () => {
  const upstream = parseUpstreamUrl('git@git.example:org/repo.git');
  assert.ok(upstream.kind === 'ok');
  const at = (kind: string, url?: string, project?: string): string => {
    const place = parseForgePlace({ kind, url, project, authorities: undefined }, upstream.value);
    return place.kind === 'ok' ? `${place.value.apiUrl} ${place.value.project}` : 'refused';
  };
  assert.equal(at('gitea'), 'https://git.example/api/v1 org/repo');
  assert.equal(at('forgejo', 'https://git.example/forge/'), 'https://git.example/forge/api/v1 org/repo');
  assert.equal(at('github', 'https://github.com'), 'https://api.github.com org/repo');
  assert.equal(at('github'), 'https://git.example/api/v3 org/repo');
  assert.equal(at('gitlab', 'https://git.example/api/v4', 'a/b/c'), 'https://git.example/api/v4 a/b/c');
  for (const url of [
    'http://git.example',
    'https://u:p@git.example',
    'ftp://git.example',
    'https://g.example/?a=b',
    'x',
  ])
    assert.equal(at('gitea', url), 'refused', url);
  for (const project of ['repo', 'a/b/c', '../x', 'a/..', 'a/b?c', 'a//b', '/b'])
    assert.equal(at('gitea', undefined, project), 'refused', project);
  assert.equal(at('bitbucket'), 'refused');
});
