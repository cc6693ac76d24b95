/** CI identities for passes: an issuer of the test's own, its keys, and everything that must not get through. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { fastify, type FastifyInstance } from 'fastify';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWK, type JWTPayload } from 'jose';
import { Exchange } from '../../src/access/trust/exchange.ts';
import { Trusts } from '../../src/access/trust/trusts.ts';
import { registerExchange } from '../../src/api/token-exchange.ts';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { BOUNDS } from '../../src/base/bounds.ts';
import { Fault } from '../../src/base/fault.ts';
import { KeySets } from '../../src/identity/oidc/key-sets.ts';
import { Replays } from '../../src/identity/oidc/replays.ts';
import { suiteScope } from '../support/workspace.ts';
import { addUsers, must, openDirectory, type Fixture } from '../identity/fixture.ts';

const scope = suiteScope();
const GATE = 'https://git.example.org';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';

interface Signer {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

let fixture: Fixture;
let app: FastifyInstance;
let issuer = '';
let trusts: Trusts;
const signers = new Map<string, Signer>();
const journal: JournalEntry[] = [];
const turnedAway: string[] = [];
/** What the issuer answers, and how often it was asked. */
const answers = { body: '', status: 200, location: '', asked: 0 };
let journalIsBroken = false;
let monotonicMs = 0;

async function makeSigner(alg: string, kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

function publish(...names: readonly string[]): void {
  answers.body = JSON.stringify({ keys: names.map((name) => signerOf(name).jwk) });
}

function signerOf(name: string): Signer {
  const signer = signers.get(name);
  assert.ok(signer);
  return signer;
}

const rule = (more = ''): string => `
[[trust]]
issuer = "${issuer}"
audience = "${GATE}"
jwks-url = "${issuer}/keys"
for = "builder"
repos = ["org/*"]
read = true
push = ["refs/heads/ci/*"]
max-life = "30m"
max-pushes = 3
${more}
[trust.claims]
repository = "org/*"
ref = ["refs/heads/main", "refs/tags/*"]
`;

function adopt(text: string): void {
  const compiled = trusts.compile(new Map([['oidc/ci.toml', text]]));
  assert.equal(compiled.kind, 'ok', JSON.stringify(compiled));
  if (compiled.kind === 'ok') compiled.adopt();
}

let serial = 0;
const CLAIMS = { repository: 'org/app', ref: 'refs/heads/main', sub: 'repo:org/app' };

async function sign(name = 'rs', claims: JWTPayload = {}): Promise<string> {
  const { alg, kid, privateKey } = signerOf(name);
  const now = Math.floor(fixture.clock.now() / 1000);
  serial += 1;
  const payload = { iss: issuer, aud: GATE, iat: now, exp: now + 300, jti: `j${serial}`, ...CLAIMS, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg, kid }).sign(privateKey);
}

/** Claims of types that they must not have. */
function odd(claims: Readonly<Record<string, unknown>>): JWTPayload {
  return claims;
}

interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
}

async function post(form: Readonly<Record<string, string>> | string, type?: string): Promise<Answer> {
  const payload = typeof form === 'string' ? form : new URLSearchParams(form).toString();
  const headers = { 'content-type': type ?? 'application/x-www-form-urlencoded' };
  const response = await app.inject({ method: 'POST', url: '/api/v1/token-exchange', headers, payload });
  assert.equal(response.headers['cache-control'], 'no-store');
  return { status: response.statusCode, json: response.json() };
}

function ask(token: string, more: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
  return post({ grant_type: grant, subject_token: token, subject_token_type: JWT_TYPE, ...more });
}

async function assertRefused(asked: Promise<Answer>, error: string, words: RegExp): Promise<void> {
  const { status, json } = await asked;
  assert.equal(status, 400, JSON.stringify(json));
  assert.equal(json['error'], error);
  assert.match(String(json['error_description']), words);
  assert.equal(json['access_token'], undefined);
}

before(async () => {
  fixture = await openDirectory(scope);
  const { store, clock, directory } = fixture;
  await addUsers(directory, 'builder');
  for (const [name, alg] of [
    ['rs', 'RS256'],
    ['es', 'ES256'],
    ['ed', 'EdDSA'],
    ['later', 'RS256'],
    ['stranger', 'RS256'],
    ['wide', 'RS512'],
  ] as const)
    signers.set(name, await makeSigner(alg, name));
  const server = createServer((_request, response) => {
    answers.asked += 1;
    response.writeHead(answers.status, answers.location === '' ? {} : { location: answers.location });
    response.end(answers.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  issuer = `http://127.0.0.1:${address.port}`;
  trusts = new Trusts({ passLifeMsMax: 30 * 86_400_000 });
  const log = { warn: () => {} };
  const keySets = new KeySets({ clock: { monotonicMs: () => monotonicMs }, log });
  const exchange = new Exchange({
    trusts,
    keySets,
    replays: new Replays({ store, clock }),
    passes: directory.passes,
    clock,
    journal: {
      async append(entry) {
        if (journalIsBroken) throw new Fault('internal', 'journal is broken');
        journal.push(entry);
      },
    },
  });
  app = fastify();
  await registerExchange(app, { exchange, clock, onTurnedAway: (_origin, reason) => turnedAway.push(reason) });
  await app.ready();
  scope.after(() => app.close());
  publish('rs', 'es', 'ed', 'wide');
  adopt(rule());
});
after(() => scope.close());

for (const name of ['rs', 'es', 'ed']) {
  test(`an identity that a rule trusts gets the pass of the rule (${name})`, async () => {
    const { status, json } = await ask(await sign(name));
    assert.equal(status, 200, JSON.stringify(json));
    assert.equal(json['token_type'], 'Bearer');
    assert.equal(json['issued_token_type'], 'urn:ietf:params:oauth:token-type:access_token');
    assert.equal(json['expires_in'], 1800);
    assert.equal(json['scope'], 'read push:refs/heads/ci/* repo:org/*');
    const principal = await fixture.directory.byToken(String(json['access_token']));
    assert.equal(principal?.name, 'builder');
    assert.ok(principal.credential.kind === 'pass');
    const { credential } = principal;
    assert.equal(credential.pushesMax, 3);
    assert.equal(credential.purpose, 'repo:org/app');
    const line = journal.at(-1);
    assert.equal(line?.event, 'exchange');
    assert.equal(line.principal, 'builder');
    assert.equal(line.pass, credential.id);
    assert.equal(line.rule, 'oidc/ci.toml, rule 1');
    assert.equal(line.credential, `oidc ${issuer} repo:org/app`);
    assert.equal((await fixture.directory.passes.show(credential.id))?.issuedBy, 'oidc/ci.toml');
  });
}

test('a client may ask for less than the rule grants, and not for more', async () => {
  const less = await ask(await sign(), { scope: 'push:refs/heads/ci/7 life:5m', resource: `${GATE}/org/app.git` });
  assert.equal(less.json['scope'], 'push:refs/heads/ci/7 repo:org/app');
  assert.equal(less.json['expires_in'], 300);
  const reads = await ask(await sign(), { scope: 'read repo:org/a*' });
  assert.equal(reads.json['scope'], 'read repo:org/a*', JSON.stringify(reads.json));
  for (const [asked, error, words] of [
    [{ scope: 'push:refs/heads/*' }, 'invalid_scope', /grants no push of refs\/heads\/\*/],
    [{ scope: 'push:refs/heads/main' }, 'invalid_scope', /no push/],
    [{ scope: 'life:2h' }, 'invalid_scope', /at most 30m/],
    [{ scope: 'admin' }, 'invalid_scope', /the words of scope/],
    [{ scope: 'repo:../x' }, 'invalid_scope', /no repository/],
    [{ resource: 'other/app' }, 'invalid_target', /nothing in other\/app/],
    [{ scope: 'repo:*' }, 'invalid_target', /nothing in \*/],
    [{ resource: 'gatehouse-admin' }, 'invalid_target', /nothing in/],
  ] as const)
    await assertRefused(ask(await sign(), asked), error, words);
});

test('a token is exchanged once, over a restart too, and concurrently once', async () => {
  const token = await sign();
  const both = await Promise.all([ask(token), ask(token), ask(token)]);
  assert.equal(both.filter(({ status }) => status === 200).length, 1);
  await assertRefused(ask(token), 'invalid_grant', /exchanged already/);
  const again = new Replays(fixture);
  const identity = { expiresAt: fixture.clock.now() + 60_000, fingerprint: 'f' };
  assert.equal(await again.take(identity), true);
  assert.equal(await new Replays(fixture).take(identity), false);
  fixture.clock.advance(600_000);
  assert.equal(await again.take({ ...identity, fingerprint: 'g', expiresAt: fixture.clock.now() }), true);
  const kept = await fixture.store.list('pass', { prefix: 'once/' });
  assert.equal(kept.length, 1, 'what expired is swept');
});

describe('what is no proof gets no pass:', () => {
  const seconds = (ms: number): number => Math.floor((fixture.clock.now() + ms) / 1000);
  const cases: readonly (readonly [string, () => Promise<string>, RegExp])[] = [
    ['a key that the issuer does not have', () => sign('stranger'), /none of the issuer's keys/],
    ['an algorithm that is not accepted', () => sign('wide'), /algorithm/],
    ['another audience', () => sign('rs', { aud: 'https://elsewhere' }), /claim aud/],
    ['an expired token', () => sign('rs', { exp: seconds(-60_000) }), /has expired/],
    ['a token of tomorrow', () => sign('rs', { nbf: seconds(3_600_000) }), /claim nbf/],
    ['a token that lives for days', () => sign('rs', { exp: seconds(3 * 86_400_000) }), /longer than a day/],
    ['a repository elsewhere', () => sign('rs', { repository: 'evil/app' }), /no rule of this gate/],
    ['a pattern that fits a part only', () => sign('rs', { repository: 'x/org/app' }), /no rule of this gate/],
    ['a ref that is not in the list', () => sign('rs', { ref: 'refs/heads/main2' }), /no rule of this gate/],
    ['a claim that is an object', () => sign('rs', { repository: { org: 'app' } }), /no rule of this gate/],
    ['an issuer that no rule names', () => sign('rs', { iss: 'https://evil.example' }), /no rule of this gate/],
    ['an issuer with a slash more', () => sign('rs', { iss: `${issuer}/` }), /no rule of this gate/],
    ['no JWT at all', async () => 'abc', /no JWT/],
    ['an issuer that is a number', () => sign('rs', odd({ iss: 5 })), /no JWT with an issuer/],
    ['an issuer that is a list', () => sign('rs', odd({ iss: [issuer] })), /no JWT with an issuer/],
    ['a subject that is no text', () => sign('rs', odd({ sub: { toString: 1 } })), /claim sub/],
    ['two issuers in one text', () => sign('rs', { iss: `${issuer}\r\n${issuer}` }), /no rule of this gate/],
    ['a claim with a line end behind it', () => sign('rs', { ref: 'refs/heads/main\n' }), /no rule of this gate/],
    ['an end without end', () => sign('rs', { exp: 1e300 }), /longer than a day/],
    [
      'no end',
      async () => {
        const { alg, kid, privateKey } = signerOf('rs');
        return new SignJWT({ iss: issuer, aud: GATE, ...CLAIMS }).setProtectedHeader({ alg, kid }).sign(privateKey);
      },
      /claim exp/,
    ],
    [
      'no signature',
      async () => new UnsecuredJWT({ iss: issuer, aud: GATE, ...CLAIMS }).setExpirationTime(seconds(60_000)).encode(),
      /algorithm|cannot be read/,
    ],
    [
      'a shared secret made of the public key',
      async () => {
        const secret = new TextEncoder().encode(JSON.stringify(signerOf('rs').jwk));
        return new SignJWT({ iss: issuer, aud: GATE, ...CLAIMS, exp: seconds(60_000) })
          .setProtectedHeader({ alg: 'HS256', kid: 'rs' })
          .sign(secret);
      },
      /algorithm/,
    ],
    [
      'a key that the token brings along',
      async () => {
        const { privateKey, jwk } = signerOf('stranger');
        return new SignJWT({ iss: issuer, aud: GATE, ...CLAIMS, exp: seconds(60_000) })
          .setProtectedHeader({ alg: 'RS256', kid: 'rs', jwk })
          .sign(privateKey);
      },
      /signature/,
    ],
    [
      'a payload that was changed',
      async () => {
        const [head, , signature] = (await sign()).split('.');
        const body = Buffer.from(JSON.stringify({ iss: issuer, aud: GATE, ...CLAIMS, exp: seconds(60_000) })).toString(
          'base64url',
        );
        return `${head}.${body}.${signature}`;
      },
      /signature/,
    ],
  ];
  for (const [what, make, words] of cases) {
    test(what, async () => {
      const lines = journal.length;
      const before = turnedAway.length;
      await assertRefused(ask(await make()), 'invalid_grant', words);
      assert.equal(journal.length, lines);
      assert.equal(turnedAway.length, before + 1, 'the journal hears of it');
    });
  }
});

test('a form that is not as RFC 8693 has it is refused with what is wrong', async () => {
  const token = await sign();
  await assertRefused(post({ grant_type: 'password' }), 'unsupported_grant_type', /grant_type is/);
  await assertRefused(post({}), 'invalid_request', /grant_type is/);
  await assertRefused(ask(token, { subject_token_type: 'urn:x' }), 'invalid_request', /subject_token_type/);
  await assertRefused(ask(token, { requested_token_type: 'urn:x' }), 'invalid_request', /requested_token_type/);
  await assertRefused(ask(token, { actor_token: 'x' }), 'invalid_request', /actor_token/);
  await assertRefused(ask(token, { audience: 'x' }), 'invalid_request', /audience/);
  await assertRefused(ask(''), 'invalid_request', /subject_token/);
  await assertRefused(ask('x'.repeat(BOUNDS.idTokenBytesMax + 1)), 'invalid_request', /too long/);
  await assertRefused(post('grant_type=a&grant_type=b'), 'invalid_request', /given twice/);
  await assertRefused(post('{}', 'application/json'), 'invalid_request', /x-www-form-urlencoded/);
  await assertRefused(post('a'.repeat(BOUNDS.exchangeBytesMax + 1)), 'invalid_request', /cannot be read/);
  assert.equal((await ask(token)).status, 200, 'none of that took the token');
});

test('a new key of the issuer is fetched when a token names it, but not for every token that names nonsense', async () => {
  monotonicMs += BOUNDS.keySetCooldownMs;
  publish('rs', 'es', 'ed', 'later');
  assert.equal((await ask(await sign('later'))).status, 200);
  const { asked } = answers;
  for (let tries = 0; tries < 5; tries += 1) await assertRefused(ask(await sign('stranger')), 'invalid_grant', /keys/);
  assert.equal(answers.asked, asked, 'within the cool-down nobody is asked');
  monotonicMs += BOUNDS.keySetCooldownMs;
  await Promise.all(
    [sign('stranger'), sign('stranger')].map(async (token) => assertRefused(ask(await token), 'invalid_grant', /keys/)),
  );
  assert.equal(answers.asked, asked + 1, 'together they ask once');
});

test('an issuer that is down, redirects, sends too much or nonsense: the keys that are known do for an hour, and then none', async () => {
  const redirected = `${issuer}/elsewhere`;
  const broken: readonly Partial<typeof answers>[] = [
    { status: 500 },
    { status: 302, location: redirected },
    { body: `{"keys":[],"x":"${'x'.repeat(BOUNDS.keySetBytesMax)}"}` },
    { body: 'no json' },
    { body: '{"keys":[{"kty":"oct","k":"AAAA","kid":"rs"}]}' },
  ];
  const { body } = answers;
  for (const each of broken) {
    Object.assign(answers, { body, status: 200, location: '' }, each);
    monotonicMs += BOUNDS.keySetFreshMs;
    assert.equal((await ask(await sign())).status, 200, JSON.stringify(each).slice(0, 80));
  }
  monotonicMs += BOUNDS.keySetStaleMs;
  const { status, json } = await ask(await sign());
  assert.equal(status, 503);
  assert.match(String(json['error_description']), /cannot be had now/);
  Object.assign(answers, { body, status: 200, location: '' });
  monotonicMs += BOUNDS.keySetCooldownMs;
  assert.equal((await ask(await sign())).status, 200);
});

test('no pass is given out that the journal does not know of', async () => {
  journalIsBroken = true;
  try {
    const { status, json } = await ask(await sign());
    assert.equal(status, 503);
    assert.equal(json['access_token'], undefined);
  } finally {
    journalIsBroken = false;
  }
  const passes = await fixture.directory.passes.list('builder');
  assert.equal(passes.filter(({ revokedAt }) => revokedAt !== undefined).length, 1);
});

test('a rule whose user is suspended, or gone, gives nothing', async () => {
  must(await fixture.directory.users.suspend('builder'));
  await assertRefused(ask(await sign()), 'invalid_grant', /no rule of this gate/);
  assert.match(turnedAway.at(-1) ?? '', /builder is suspended/);
  must(await fixture.directory.users.resume('builder'));
});

test('keys may stand in the rule itself, and of several rules the first that fits gives', async () => {
  const set = JSON.stringify({ keys: [signerOf('stranger').jwk] });
  const inline = rule()
    .replace(/jwks-url = .*/, `jwks = '''${set}'''`)
    .replace('"30m"', '"5m"');
  adopt(`${inline}\n${rule()}`);
  const asked = answers.asked;
  assert.equal((await ask(await sign('stranger'))).json['expires_in'], 300);
  assert.equal(answers.asked, asked, 'nobody is asked for keys that are here');
  assert.equal((await ask(await sign('rs'))).json['expires_in'], 1800);
  adopt('');
  await assertRefused(ask(await sign('rs')), 'invalid_grant', /no rule of this gate/);
  adopt(rule());
});

test('a file that is wrong is refused with its rule and key', () => {
  const good = rule();
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['trust = 1', /list of tables/],
    ['x = 1', /unknown key x/],
    ['[[trust', /./],
    [good.replace('issuer =', 'isuer ='), /unknown key isuer.*issuer/],
    [good.replace(/audience = .*/, ''), /audience is/],
    [good.replace(/jwks-url = .*/, ''), /jwks-url or jwks/],
    [good.replace(/jwks-url = .*/, 'jwks-url = "http://forge.example/keys"'), /https/],
    [good.replace(/jwks-url = .*/, 'jwks-url = "https://me:pw@forge.example/keys"'), /no password/],
    [good.replace(/jwks-url = .*/, 'jwks-url = "file:///etc/passwd"'), /https/],
    [good.replace(/jwks-url = .*/, `jwks = '{"keys":[{"kty":"oct","k":"AA"}]}'`), /no public key/],
    [rule('algorithms = ["HS256"]'), /algorithms is a list/],
    [rule('algorithms = ["none"]'), /algorithms is a list/],
    [good.slice(0, good.indexOf('[trust.claims]')), /claims/],
    [good.replace(/repository = .*/, 'repository = "*"').replace(/ref = .*/, ''), /claims/],
    [good.replace('"org/*"\nref', '"org/?"\nref'), /\?/],
    [good.replace(/repository = .*/, 'aud = "x"'), /aud is no claim/],
    [good.replace('"builder"', '"no body"'), /for:/],
    [good.replace('repos = ["org/*"]', 'repos = []'), /repos = \["NAME"\]/],
    [good.replace('"refs/heads/ci/*"', '"ci/*"'), /no full refname/],
    [good.replace('"30m"', '"31d"'), /max-life: .*at most/],
    [good.replace('max-pushes = 3', 'max-pushes = 0'), /max-pushes/],
    [good.replace('read = true', 'read = "yes"'), /read is true or false/],
    [rule('create-only = true\nrewind = true'), /only creates/],
    [rule('from = ["10.0.0.0/99"]'), /range of addresses/],
  ];
  for (const [text, reason] of wrong) {
    const compiled = trusts.compile(new Map([['oidc/ci.toml', text]]));
    assert.ok(compiled.kind === 'wrong', text);
    assert.match(compiled.problems.map(({ file, message }) => `${file}: ${message}`).join('\n'), reason, text);
    assert.equal(compiled.problems[0]?.file, 'oidc/ci.toml');
  }
  assert.equal(trusts.rules.length, 1, 'what is in force stays');
});
