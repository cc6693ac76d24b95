/** The HTTP API over a real Fastify: tokens, commands, bounds, its own description. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { fastify, type FastifyInstance, type LightMyRequestResponse } from 'fastify';
import { registerApi } from '../../src/api/api.ts';
import type { CommandRun } from '../../src/request/request.ts';
import { ROUTES } from '../../src/api/routes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { parseGroupName, parseUserName, type Principal } from '../../src/identity/principal.ts';

let app: FastifyInstance;
const runs: CommandRun[] = [];

function ada(): Principal {
  const name = parseUserName('ada');
  const group = parseGroupName('writers');
  assert.ok(name.kind === 'ok' && group.kind === 'ok');
  return {
    kind: 'user',
    name: name.value,
    account: 'person',
    email: 'ada@example.org',
    realName: 'Ada',
    groups: new Set([group.value]),
    credential: { kind: 'token', id: 't1', name: 'laptop', scopes: ['read'] },
  };
}

async function command(run: CommandRun): Promise<number> {
  runs.push(run);
  switch (run.argv[0] ?? '') {
    case 'cat':
      run.stdout.write(await text(run.stdin));
      run.stderr.write('noted\n');
      return 3;
    case 'flood':
      while (!run.signal.aborted) {
        run.stdout.write(Buffer.alloc(65_536, 'x'));
        await new Promise(setImmediate);
      }
      return 0;
    case 'wait':
      await once(run.signal, 'abort');
      return 0;
    case 'busy':
      throw new Fault('busy', 'full', { publicMessage: 'the server is busy' });
    default:
      throw new Error('password hunter2');
  }
}

before(async () => {
  app = fastify({ ajv: { customOptions: { coerceTypes: false, removeAdditional: false } } });
  await registerApi(app, {
    commands: { run: command },
    directory: { byToken: async (secret) => (secret === 'good' ? ada() : undefined) },
    clock: systemClock,
    version: '1.2.3',
    exchange: { exchange: async () => ({ kind: 'refused', error: 'invalid_grant', reason: 'no', detail: 'no' }) },
    hooks: {
      open: async () => ({
        check: { update() {}, isRight: () => false },
        accept: async () => ({ repository: undefined }),
      }),
    },
    limits: { outputBytesMax: 200_000, commandMs: 50 },
  });
  await app.ready();
});
after(() => app.close());

async function post(payload: unknown, token = 'good'): Promise<LightMyRequestResponse> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return app.inject({ method: 'POST', url: '/api/v1/commands', headers, payload: JSON.stringify(payload) });
}

test('a command runs as the owner of the token, with its input, and answers exit, stdout and stderr', async () => {
  const answer = await post({ argv: ['cat', 'a b'], stdin: 'héllo' });
  assert.equal(answer.statusCode, 200);
  assert.deepEqual(answer.json(), { exit: 3, stdout: 'héllo', stderr: 'noted\n' });
  const run = runs.at(-1);
  assert.deepEqual(run?.argv, ['cat', 'a b']);
  assert.deepEqual(run?.origin.principal, ada());
  assert.equal(run?.origin.transport, 'http');
  assert.equal(answer.headers['cache-control'], 'no-store');
});

test('Basic carries the token as password, or as user name with no password', async () => {
  for (const pair of ['anybody:good', 'good:']) {
    const authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
    const answer = await app.inject({ url: '/api/v1/whoami', headers: { authorization } });
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(answer.json(), {
      name: 'ada',
      account: 'person',
      email: 'ada@example.org',
      realName: 'Ada',
      groups: ['writers'],
      token: 'laptop',
      scopes: ['read'],
    });
  }
});

test('without a good token nothing runs and the answer is 401', async () => {
  const before = runs.length;
  for (const headers of [
    {},
    { authorization: 'Bearer bad' },
    { authorization: 'Bearer' },
    { authorization: 'Digest x' },
    { authorization: 'Basic !!!' },
    { authorization: `Basic ${Buffer.from('nocolon').toString('base64')}` },
    { authorization: `Basic ${Buffer.from(':').toString('base64')}` },
  ]) {
    const answer = await app.inject({ method: 'POST', url: '/api/v1/commands', headers, payload: { argv: ['cat'] } });
    assert.equal(answer.statusCode, 401, JSON.stringify(headers));
    assert.match(String(answer.headers['www-authenticate']), /^Bearer/);
    assert.match(answer.json().error, /token/);
  }
  assert.equal(runs.length, before);
});

test('a body that is not as described is 400, another type is 415, one that is too large is 413', async () => {
  const bodies = [
    {},
    { argv: [] },
    { argv: 'ls' },
    { argv: [1, {}] },
    { argv: ['x'], more: 1 },
    { argv: Array.from({ length: 257 }, () => 'x') },
  ];
  for (const body of bodies) {
    const answer = await post(body);
    assert.equal(answer.statusCode, 400, JSON.stringify(body).slice(0, 60));
    assert.equal(typeof answer.json().error, 'string');
  }
  const headers = { authorization: 'Bearer good', 'content-type': 'text/plain' };
  const plain = await app.inject({ method: 'POST', url: '/api/v1/commands', headers, payload: '{"argv":["cat"]}' });
  assert.equal(plain.statusCode, 415);
  assert.equal((await post({ argv: ['cat'], stdin: 'x'.repeat(2_000_000) })).statusCode, 413);
});

test('a command that says too much or takes too long is stopped, and says why', async () => {
  const flood = (await post({ argv: ['flood'] })).json();
  assert.equal(flood.exit, 1);
  assert.equal(flood.stdout.length, 200_000);
  assert.match(flood.stderr, /^gatehouse: the output is over 200000 bytes\n$/);
  const wait = (await post({ argv: ['wait'] })).json();
  assert.deepEqual(wait, { exit: 1, stdout: '', stderr: 'gatehouse: the command took over 0.05 s\n' });
});

test('an error shows its public message, anything else only the request id', async () => {
  const busy = await post({ argv: ['busy'] });
  assert.equal(busy.statusCode, 503);
  assert.deepEqual(busy.json(), { error: 'the server is busy' });
  const broken = await post({ argv: ['broken'] });
  assert.equal(broken.statusCode, 500);
  assert.match(broken.json().error, /^internal error \(request .+\)$/);
});

test('the description names every route with its schemas', async () => {
  const answer = await app.inject({ url: '/api/openapi.json' });
  const description = answer.json();
  assert.equal(description.info.version, '1.2.3');
  for (const route of ROUTES) {
    const operation = description.paths[route.path][route.method.toLowerCase()];
    assert.deepEqual(operation.responses['200'].content['application/json'].schema, route.answer);
    assert.ok(app.hasRoute({ method: route.method, url: route.path.replace('{id}', ':id') }));
  }
});
