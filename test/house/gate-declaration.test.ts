/** The declaration of a gate for one job: what is read, and what is refused with which words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDeclaration } from '../../src/house/gate-declaration.ts';
import { fetchSecrets } from '../../src/house/gate-secrets.ts';

const HOST_KEY = `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, 7)]).toString('base64')}`;
const SSH = ['[[upstream]]', 'name = "app"', 'url = "git@git.example:org/app.git"', `host-key = "${HOST_KEY}"`];
const FORGE = 'forge = { kind = "gitea" }';

function reasonOf(lines: readonly string[]): string {
  const parsed = parseDeclaration(lines.join('\n'));
  return parsed.kind === 'refused' ? parsed.reason : 'taken';
}

test('a declaration is read whole, with the least that serves where it says nothing', () => {
  const parsed = parseDeclaration([...SSH, FORGE, 'deploy-key = true'].join('\n'));
  assert.ok(parsed.kind === 'ok');
  const [upstream] = parsed.value.upstreams;
  assert.deepEqual(upstream?.scope.push, [], 'nothing may be pushed');
  assert.deepEqual(upstream.refs, ['refs/heads/*', 'refs/tags/*']);
  assert.equal(upstream.freshMs, 0);
  assert.deepEqual(upstream.forge?.token, { kind: 'env', name: 'GATEHOUSE_FORGE_TOKEN' });
  assert.deepEqual(parsed.value.agent, { name: 'agent', lifeMs: undefined, publicKeyFile: undefined, scan: true });
});

describe('a declaration is refused', () => {
  const key = 'key-file = "k"';
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    [
      'with an unknown field, naming the nearest',
      [...SSH, key, 'fersh = "1m"'],
      /^declaration: upstream app: unknown field "fersh".*fresh/,
    ],
    ['with an unknown table', ['[[upstreams]]', 'name = "x"'], /unknown field "upstreams".*upstream/],
    [
      'with an unknown field of the forge',
      [...SSH, 'deploy-key = true', 'forge = { kind = "gitea", tokenenv = "X" }'],
      /forge: unknown field "tokenenv".*token-env/,
    ],
    ['with an unknown field of the agent', ['[agent]', 'push = "x"', ...SSH, key], /agent: unknown field "push"/],
    ['without an upstream', ['[agent]', 'name = "a"'], /there is no \[\[upstream\]\]/],
    [
      'with a name twice, in another case too',
      [...SSH, key, ...SSH.map((line) => line.replace('"app"', '"APP"')), key],
      /two upstreams are named APP/,
    ],
    ['with a name that is a path', SSH.map((line) => line.replace('"app"', '"../app"')), /name has letters, digits/],
    ['with a name that is an option', SSH.map((line) => line.replace('"app"', '"-app"')), /upstream -app: name/],
    ['with a name of two parts', SSH.map((line) => line.replace('"app"', '"a/b"')), /name has letters, digits/],
    ['without a host key', [...SSH.slice(0, 3), key], /the ssh host key of git\.example has to be given/],
    [
      'with the host key of another machine',
      [...SSH.slice(0, 3), `host-key = "other.example ${HOST_KEY}"`, key],
      /not about git\.example/,
    ],
    ['without a credential', SSH, /key-file, key-env, or deploy-key = true/],
    ['with two credentials', [...SSH, key, 'key-env = "K"'], /either key-file or key-env/],
    ['with a key beside a deploy key', [...SSH, key, FORGE, 'deploy-key = true'], /either deploy-key or a credential/],
    ['with a deploy key of no forge', [...SSH, 'deploy-key = true'], /go with forge = /],
    ['with a forge for nothing', [...SSH, key, FORGE], /forge goes with deploy-key/],
    [
      'with a password in the address',
      ['[[upstream]]', 'name = "a"', 'url = "https://u:p@git.example/a"'],
      /no password in an address/,
    ],
    [
      'with a file as the upstream',
      ['[[upstream]]', 'name = "a"', 'url = "/srv/a"'],
      /a file of this machine is no upstream/,
    ],
    ['with a pattern that is none', [...SSH, key, 'push = ["heads/agent"]'], /upstream app: /],
    ['with a bound longer than a day', [...SSH, key, 'fresh = "2d"'], /fresh is at most 24h/],
    ['with a number in place of a text', [...SSH, key, 'fresh = 30'], /fresh is a text in quotation marks/],
    ['with a text in place of a flag', [...SSH, FORGE, 'deploy-key = "yes"'], /deploy-key is true or false/],
    ['with TOML that is none, naming the line', ['[[upstream]]', 'name ='], /^line 2: /],
    [
      'with a gate name that could not stand in a title',
      ['[gate]', 'name = "a b"', ...SSH, key],
      /gate: name has letters/,
    ],
    [
      'with one key for different passes',
      [
        '[agent]',
        'public-key = "k"',
        ...SSH,
        key,
        ...SSH.map((line) => line.replace('"app"', '"b"')),
        key,
        'push = "refs/heads/x"',
      ],
      /one key is one pass/,
    ],
  ];
  for (const [name, lines, words] of cases)
    test(name, () => {
      assert.match(reasonOf(lines), words);
    });
});

test('a secret that stands where its variable should be named is not repeated', async () => {
  const secret = `s3cr3t${'x'.repeat(20)}`;
  assert.ok(!reasonOf([...SSH, `key-env = "${secret}-${secret}"`]).includes(secret));
  const parsed = parseDeclaration([...SSH, `key-env = "${secret}"`].join('\n'));
  assert.ok(parsed.kind === 'ok');
  const fetched = await fetchSecrets(parsed.value, { env: {}, directory: '/' });
  assert.ok(fetched.kind === 'refused' && !fetched.reason.includes(secret), JSON.stringify(fetched));
});

test('variables that hold secrets are gone from the environment, also where something is wrong', async () => {
  const parsed = parseDeclaration([...SSH, 'key-env = "JOB_KEY"'].join('\n'));
  assert.ok(parsed.kind === 'ok');
  const env: NodeJS.ProcessEnv = { JOB_KEY: 'no key' };
  const fetched = await fetchSecrets(parsed.value, { env, directory: '/' });
  assert.ok(fetched.kind === 'refused');
  assert.match(fetched.reason, /^upstream app: that is no private key/);
  assert.deepEqual(env, {});
});
