/** Webhooks of forges: who may say that something changed, and what everybody else reads. */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fastify, type FastifyInstance } from 'fastify';
import { registerHooks } from '../../src/api/hooks.ts';
import { BOUNDS } from '../../src/base/bounds.ts';
import { newId, systemClock } from '../../src/base/clock.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { ForgeKind } from '../../src/upstream/forges/forge.ts';
import { writeGrant } from '../../src/upstream/forges/grant-record.ts';
import { Hooks } from '../../src/upstream/forges/hooks.ts';
import { keyFile } from '../../src/upstream/vault-keys.ts';
import { Vault } from '../../src/upstream/vault.ts';
import { suiteScope, workspace } from '../support/workspace.ts';

const scope = suiteScope();
const secret = randomBytes(32).toString('base64url');
const ids: Readonly<Record<ForgeKind, string>> = {
  gitea: newId(systemClock),
  github: newId(systemClock),
  gitlab: newId(systemClock),
};
const invalidated: string[] = [];
const journal: string[] = [];
let app: FastifyInstance;

before(async () => {
  const directory = workspace(scope, 'gatehouse-hooks-');
  const store = await openSqliteStore({ path: join(directory, 'gatehouse.db') });
  scope.after(() => store.close());
  const clock = systemClock;
  const vault = await Vault.open({ store, clock, keys: keyFile(join(directory, 'vault.key')) });
  for (const [kind, id] of Object.entries(ids)) {
    const secretId = newId(clock);
    const place = {
      kind: kind === 'github' ? 'github' : kind === 'gitlab' ? 'gitlab' : 'gitea',
      apiUrl: 'https://forge',
      project: 'o/r',
      authorities: undefined,
    } as const;
    const base = {
      id,
      place,
      mirror: 'm',
      repositoryId: `mirror-${kind}`,
      forgeId: '1',
      tokenId: undefined,
      madeAt: 0,
    };
    const put = writeGrant({ ...base, what: 'hook', url: 'https://gate', secretId });
    await vault.seal({ id: secretId, purpose: 'webhook-secret', text: secret }, (write) =>
      store.transact({ writes: [write, { kind: 'deploy-key', key: id, put }] }),
    );
  }
  const mirrors = { invalidate: (id: string) => void invalidated.push(id) };
  const hooks = new Hooks({ store, vault, clock, mirrors, nameOf: async (id) => `name of ${id}` });
  app = fastify();
  await registerHooks(app, {
    hooks,
    clock,
    onTurnedAway: (_, reason) => void journal.push(`away: ${reason}`),
    onHook: (_, repository) => void journal.push(`hook: ${repository}`),
  });
});

after(async () => {
  await app.close();
  await scope.close();
});

function call(id: string, headers: Readonly<Record<string, string>>, body: string | Buffer = '{"ref":"x"}') {
  invalidated.splice(0);
  journal.splice(0);
  return app.inject({
    method: 'POST',
    url: `/api/v1/hooks/${id}`,
    headers: { 'content-type': 'application/json', ...headers },
    payload: body,
  });
}

const hex = (body: string | Buffer, key: string | Buffer = secret): string =>
  createHmac('sha256', key).update(body).digest('hex');

function standard(body: string, key: Buffer = Buffer.from(secret, 'base64url')): Readonly<Record<string, string>> {
  const signature = createHmac('sha256', key).update(`m1.17.${body}`).digest('base64');
  return { 'webhook-id': 'm1', 'webhook-timestamp': '17', 'webhook-signature': `v1,${signature}` };
}

const BODY = '{"ref":"x"}';
const RIGHT: readonly (readonly [ForgeKind, string, Readonly<Record<string, string>>])[] = [
  ['github', 'X-Hub-Signature-256', { 'x-hub-signature-256': `sha256=${hex(BODY)}` }],
  ['gitea', 'X-Gitea-Signature', { 'x-gitea-signature': hex(BODY) }],
  ['gitea', 'X-Forgejo-Signature', { 'x-forgejo-signature': hex(BODY) }],
  ['gitlab', 'webhook-signature', standard(BODY)],
  ['gitlab', 'X-Gitlab-Token', { 'x-gitlab-token': secret }],
];

for (const [kind, name, headers] of RIGHT)
  test(`a ${kind} webhook with ${name} makes its mirror stale, each time that it comes`, async () => {
    for (let round = 0; round < 2; round += 1) {
      const answer = await call(ids[kind], headers);
      assert.equal(answer.statusCode, 200);
      assert.deepEqual([invalidated, journal], [[`mirror-${kind}`], [`hook: name of mirror-${kind}`]]);
    }
  });

describe('a webhook is turned away', () => {
  const wrong = randomBytes(32).toString('base64url');
  const cases: readonly (readonly [string, string, Readonly<Record<string, string>>, (string | Buffer)?])[] = [
    ['without a signature', ids.github, {}],
    ['with another secret', ids.github, { 'x-hub-signature-256': `sha256=${hex(BODY, wrong)}` }],
    ['with another body', ids.github, { 'x-hub-signature-256': `sha256=${hex(BODY)}` }, '{"ref":"y"}'],
    ['with a signature of the older kind', ids.github, { 'x-hub-signature': `sha1=${hex(BODY).slice(0, 40)}` }],
    ['with part of a signature', ids.github, { 'x-hub-signature-256': `sha256=${hex(BODY).slice(0, 62)}` }],
    ['with the secret itself, where the forge signs', ids.github, { 'x-gitlab-token': secret }],
    ['with the signature of another forge', ids.github, { 'x-gitea-signature': hex(BODY) }],
    ['with an empty signature', ids.gitea, { 'x-gitea-signature': '' }],
    [
      'with a wrong one of Forgejo beside a right one of Gitea',
      ids.gitea,
      { 'x-forgejo-signature': hex(BODY, wrong), 'x-gitea-signature': hex(BODY) },
    ],
    [
      'with a wrong signature beside the right token',
      ids.gitlab,
      { ...standard(BODY, Buffer.alloc(32)), 'x-gitlab-token': secret },
    ],
    ['with the time changed', ids.gitlab, { ...standard(BODY), 'webhook-timestamp': '18' }],
    ['with a token that is longer', ids.gitlab, { 'x-gitlab-token': `${secret}x` }],
    ['with an id that is none', 'f'.repeat(32), { 'x-hub-signature-256': `sha256=${hex(BODY)}` }],
    ['with an id of another form', '..%2f..', { 'x-gitea-signature': hex(BODY) }],
    ['with the id of a name', 'm', { 'x-gitea-signature': hex(BODY, '') }],
  ];
  for (const [name, id, headers, body] of cases)
    test(name, async () => {
      const answer = await call(id, headers, body ?? BODY);
      assert.equal(answer.statusCode, 401);
      assert.deepEqual(answer.json(), { error: 'there is no such webhook, or its signature is wrong' });
      assert.deepEqual([invalidated, journal.length], [[], 1]);
    });
});

test('a body of any type is taken, in pieces, up to a bound', async () => {
  const form = Buffer.from('payload=%7B%7D');
  const typed = { 'content-type': 'application/x-www-form-urlencoded', 'x-hub-signature-256': `sha256=${hex(form)}` };
  assert.equal((await call(ids.github, typed, form)).statusCode, 200);
  const large = Buffer.alloc(20 * 1024 * 1024, 'x');
  assert.equal((await call(ids.gitea, { 'x-gitea-signature': hex(large) }, large)).statusCode, 200);
  const over = Buffer.alloc(BOUNDS.hookBytesMax + 1, 'x');
  assert.equal((await call(ids.gitea, { 'x-gitea-signature': hex(over) }, over)).statusCode, 413);
  assert.deepEqual(invalidated, []);
});
