/** An agent that has a pass and nothing else, with real git over SSH and HTTP. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  makePerson,
  ssh,
  sshOk,
  startSite,
  url,
  type Person,
  type Site,
} from '../support/gate.ts';
import { expectRun, run, suiteScope, type Ended } from '../support/workspace.ts';

const scope = suiteScope();
let site: Site;
let ada: Person;
let agent: Person;

interface Issued {
  readonly id: string;
  readonly secret: string;
}

/** Ada's pass, as JSON. */
async function issue(words: readonly string[], stdin = '', by = ada): Promise<Issued> {
  const printed = await sshOk(by, site.gate, ['pass', 'issue', '--json', ...words], stdin);
  const answer: unknown = JSON.parse(printed);
  assert.ok(typeof answer === 'object' && answer !== null && 'id' in answer && typeof answer.id === 'string');
  const secret = 'secret' in answer && typeof answer.secret === 'string' ? answer.secret : '';
  return { id: answer.id, secret };
}

const AGENT = ['--repo', 'org/repo', '--read', '--push', 'refs/heads/agent/*', '--expires', '2h'];

async function journal(words: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const printed = await sshOk(site.admin, site.gate, ['audit', 'log', '--json', ...words]);
  return printed
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Record<string, unknown> => JSON.parse(line));
}

/** A clone by HTTP with this token, in a directory of its own. */
async function cloneWith(token: string, directory: string, name = 'org/repo'): Promise<string> {
  await gitOk(agent, ['clone', '-q', url(site.gate, 'http', name, token), directory]);
  return join(agent.home, directory);
}

function push(tree: string, ...args: readonly string[]): Promise<Ended> {
  return git(agent, ['push', 'origin', ...args], tree);
}

function assertRefused(ended: Ended, reason: RegExp): void {
  assert.notEqual(ended.code, 0, ended.stdout);
  assert.match(ended.stderr.replaceAll(/\s+/g, ' '), reason);
}

before(async () => {
  site = await startSite(scope);
  ada = await addPerson(site, 'ada');
  agent = await makePerson(site.root, 'agent');
  const tree = join(ada.home, 'seed');
  await gitOk(ada, ['init', '-q', '-b', 'main', 'seed']);
  await commitFile(ada, tree, 'README', 'hello\n');
  await gitOk(ada, ['tag', 'v1'], tree);
  for (const name of ['org/repo', 'org/other', 'secret']) {
    await sshOk(ada, site.gate, ['create', name]);
    await gitOk(ada, ['push', '-q', url(site.gate, 'ssh', name), 'main', 'v1'], tree);
  }
});
after(() => scope.close());

describe('an agent with a token', () => {
  let tree = '';
  let pass: Issued;

  before(async () => {
    pass = await issue(['agent-7', ...AGENT, '--purpose', 'fix issue 12']);
    tree = await cloneWith(pass.secret, 'by-token');
    await gitOk(agent, ['checkout', '-q', '-b', 'agent/x'], tree);
    await commitFile(agent, tree, 'work', 'done\n');
  });

  test('clones and pushes what its pass allows, and the journal names pass, purpose and owner', async () => {
    assert.match(pass.secret, /^gpass_/);
    const pushed = await push(tree, 'agent/x');
    assert.equal(pushed.code, 0, pushed.stderr);
    const lines = await journal(['--user', 'ada', '--event', 'push', '--repo', 'org/repo']);
    const last = lines.findLast(({ pass: id }) => id === pass.id);
    assert.equal(last?.['principal'], 'ada');
    assert.equal(last['purpose'], 'fix issue 12');
    assert.equal(last['credential'], `pass ${pass.id} (agent-7): fix issue 12`);
    const fetched = await journal(['--user', 'ada', '--event', 'fetch']);
    assert.ok(fetched.some(({ pass: id }) => id === pass.id));
    const whole = JSON.stringify(await journal(['--since', '1h']));
    assert.ok(!whole.includes(pass.secret), 'no secret in the journal');
  });

  test('is refused main, tags, force and delete, and is told what it may', async () => {
    const may =
      'this pass may fetch, and push refs/heads/agent/\\* \\(create and fast-forward\\), of org/repo until \\S+ \\S+Z';
    assertRefused(await push(tree, 'agent/x:main'), new RegExp(`${may}; refs/heads/main is not among them`));
    assertRefused(await push(tree, 'v1:refs/tags/v2'), /refs\/tags\/v2 is not among them/);
    await gitOk(agent, ['commit', '-q', '--amend', '-m', 'other'], tree);
    assertRefused(await push(tree, '--force', 'agent/x'), /it does not rewind refs\/heads\/agent\/x/);
    assertRefused(await push(tree, ':agent/x'), /it does not delete refs\/heads\/agent\/x/);
  });

  test('sees no difference between a repository of its owner outside the pass and one that is not there', async () => {
    const words = async (name: string, ...more: readonly string[]): Promise<string> => {
      const ended = await git(agent, ['ls-remote', url(site.gate, 'http', name, pass.secret), ...more]);
      assert.notEqual(ended.code, 0);
      return ended.stderr.replaceAll(name, 'NAME');
    };
    const nowhere = await words('nowhere');
    assert.match(nowhere, /no such repository, or you may not read it: NAME/);
    for (const name of ['secret', 'org/other']) assert.equal(await words(name), nowhere);
    const pushed = async (name: string): Promise<string> => {
      const ended = await git(agent, ['push', url(site.gate, 'http', name, pass.secret), 'agent/x'], tree);
      assert.notEqual(ended.code, 0);
      return ended.stderr.replaceAll(name, 'NAME');
    };
    assert.equal(await pushed('secret'), await pushed('nowhere'));
  });

  test('runs whoami, ls, info and help, and no other command', async () => {
    const call = async (
      argv: readonly string[],
    ): Promise<{ readonly exit: number; readonly stdout: string; readonly stderr: string }> => {
      const response = await fetch(`http://${site.gate.http}/api/v1/commands`, {
        method: 'POST',
        headers: { authorization: `Bearer ${pass.secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ argv }),
      });
      assert.equal(response.status, 200);
      return (await response.json()) as { exit: number; stdout: string; stderr: string };
    };
    assert.match((await call(['whoami'])).stdout, /may: +fetch, and push refs\/heads\/agent\/\*/);
    assert.equal((await call(['ls'])).stdout, 'RW*  org/repo\n');
    assert.equal((await call(['info'])).exit, 0);
    for (const words of [
      'pass issue --repo org/repo --read --expires 1h',
      'pass list',
      'token create x',
      'sshkey list',
      'create org/new',
      'config org/repo set public yes',
      'config org/repo show',
      'destroy org/repo',
      'as ada ls',
      'access explain ada read org/repo',
      'audit log',
      'count-objects org/repo',
    ]) {
      const { exit, stderr } = await call(words.split(' '));
      assert.equal(exit, 1, words);
      assert.match(stderr, /this pass may|only/, words);
    }
    const response = await fetch(`http://${site.gate.http}/api/v1/whoami`, {
      headers: { authorization: `Bearer ${pass.secret}` },
    });
    const told: unknown = await response.json();
    assert.ok(typeof told === 'object' && told !== null && 'pass' in told);
    assert.equal((told.pass as { readonly id: string }).id, pass.id);
  });
});

test('an agent with a pass by key does the same over SSH, and has no other way in', async () => {
  const { id } = await issue([...AGENT, '--key', '-'], agent.publicKey);
  await gitOk(agent, ['clone', '-q', url(site.gate, 'ssh', 'org/repo'), 'by-key']);
  const tree = join(agent.home, 'by-key');
  await gitOk(agent, ['checkout', '-q', '-b', 'agent/ssh'], tree);
  await commitFile(agent, tree, 'work', 'over ssh\n');
  const pushed = await push(tree, 'agent/ssh');
  assert.equal(pushed.code, 0, pushed.stderr);
  assertRefused(await push(tree, 'agent/ssh:main'), /refs\/heads\/main is not among them/);
  assertRefused(
    await git(agent, ['ls-remote', url(site.gate, 'ssh', 'secret')]),
    /no such repository, or you may not read it/,
  );
  assert.match((await ssh(agent, site.gate, ['whoami'])).stdout, /logged in with: +pass/);
  assert.match((await ssh(agent, site.gate, ['token', 'list'])).stderr, /this pass may .*runs no command but whoami/);
  assert.match((await ssh(ada, site.gate, ['sshkey', 'add', 'mine'], agent.publicKey)).stderr, /in use already/);
  await sshOk(ada, site.gate, ['pass', 'revoke', id]);
  assertRefused(await git(agent, ['ls-remote', url(site.gate, 'ssh', 'org/repo')]), /Permission denied/);
});

test('a pass that only pushes fetches nothing, and one that only creates changes nothing', async () => {
  const reader = await issue(AGENT);
  const tree = await cloneWith(reader.secret, 'push-only');
  await gitOk(agent, ['checkout', '-q', '-b', 'agent/once'], tree);
  await commitFile(agent, tree, 'one', '1\n');
  const { secret } = await issue([
    '--repo',
    'org/repo',
    '--push',
    'refs/heads/agent/*',
    '--create-only',
    '--expires',
    '1h',
  ]);
  const there = url(site.gate, 'http', 'org/repo', secret);
  assertRefused(await git(agent, ['ls-remote', there]), /it does not fetch/);
  const first = await git(agent, ['push', there, 'agent/once'], tree);
  assert.equal(first.code, 0, first.stderr);
  await commitFile(agent, tree, 'two', '2\n');
  assertRefused(
    await git(agent, ['push', there, 'agent/once'], tree),
    /\(create\) of org\/repo until .*; it does not change refs\/heads\/agent\/once/,
  );
});

test('a pass of somebody who may not read a repository does not help', async () => {
  const bob = await addPerson(site, 'bob');
  const { secret } = await issue(
    ['--repo', '*', '--read', '--push', 'refs/*', '--rewind', '--delete', '--expires', '1h'],
    '',
    bob,
  );
  assertRefused(await git(agent, ['ls-remote', url(site.gate, 'http', 'org/repo', secret)]), /no such repository/);
  const refused = await ssh(bob, site.gate, [
    'pass',
    'issue',
    '--for',
    'ada',
    '--repo',
    '*',
    '--read',
    '--expires',
    '1h',
  ]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /only ada and administrators change these keys, tokens and passes/);
  const mine = await issue(AGENT);
  assert.match((await ssh(bob, site.gate, ['pass', 'show', mine.id])).stderr, /there is no pass/);
  assert.match((await ssh(bob, site.gate, ['pass', 'revoke', mine.id])).stderr, /there is no pass/);
  assert.match(await sshOk(site.admin, site.gate, ['pass', 'show', mine.id]), /acts as: +ada/);
});

test('a pass of an administrator reaches gatehouse-admin by its name, not by a pattern', async () => {
  const wide = await issue(['--repo', '*', '--read', '--push', 'refs/*', '--expires', '1h'], '', site.admin);
  assertRefused(
    await git(agent, ['ls-remote', url(site.gate, 'http', 'gatehouse-admin', wide.secret)]),
    /no such repository/,
  );
  assert.equal((await git(agent, ['ls-remote', url(site.gate, 'http', 'secret', wide.secret)])).code, 0);
  const named = await issue(['--repo', 'gatehouse-admin', '--read', '--expires', '1h'], '', site.admin);
  assert.equal((await git(agent, ['ls-remote', url(site.gate, 'http', 'gatehouse-admin', named.secret)])).code, 0);
});

test('a pass that is for other addresses is refused with words, one that is for these works', async () => {
  const elsewhere = await issue([...AGENT, '--from', '203.0.113.0/24']);
  assertRefused(
    await git(agent, ['ls-remote', url(site.gate, 'http', 'org/repo', elsewhere.secret)]),
    /this pass is for requests from 203.0.113.0\/24, not from 127.0.0.1/,
  );
  const here = await issue([...AGENT, '--from', '203.0.113.0/24', '--from', '127.0.0.0/8']);
  assert.equal((await git(agent, ['ls-remote', url(site.gate, 'http', 'org/repo', here.secret)])).code, 0);
});

test('of two pushes at once with a pass for one, one is done; one that is refused costs nothing', async () => {
  const { id, secret } = await issue([...AGENT, '--max-pushes', '1']);
  const trees = await Promise.all(
    ['left', 'right'].map(async (name) => {
      const tree = await cloneWith(secret, name);
      await gitOk(agent, ['checkout', '-q', '-b', `agent/${name}`], tree);
      await commitFile(agent, tree, name, name);
      return { tree, name };
    }),
  );
  for (const { tree, name } of trees) assertRefused(await push(tree, `agent/${name}:main`), /not among them/);
  const ended = await Promise.all(trees.map(({ tree, name }) => push(tree, `agent/${name}`)));
  assert.equal(ended.filter(({ code }) => code === 0).length, 1);
  const refused = ended.find(({ code }) => code !== 0);
  assert.ok(refused);
  assertRefused(refused, /this pass may push once, and did/);
  assert.match(await sshOk(ada, site.gate, ['pass', 'show', id]), /pushes: +1 of 1/);
  const [left] = trees;
  assert.ok(left);
  assertRefused(await push(left.tree, 'agent/left:agent/again'), /this pass may push once, and did/);
  assert.equal((await git(agent, ['fetch', 'origin'], left.tree)).code, 0, 'it still fetches');
});

test('a pass that is revoked in the middle of a push takes the push with it', async () => {
  const { id, secret } = await issue(AGENT);
  const tree = await cloneWith(secret, 'revoked');
  await gitOk(agent, ['checkout', '-q', '-b', 'agent/late'], tree);
  await commitFile(agent, tree, 'late', 'late\n');
  // The key's pass goes with the connection: the hook runs when refs were shown and before commands are sent.
  const key = await issue([...AGENT, '--key', '-'], agent.publicKey);
  const [ready, go] = [join(agent.home, 'ready'), join(agent.home, 'go')];
  await expectRun('mkfifo', [ready, go]);
  writeFileSync(join(tree, '.git/hooks/pre-push'), `#!/bin/sh\necho ready > ${ready}\ncat ${go}\n`, { mode: 0o755 });
  const pushing = git(agent, ['push', url(site.gate, 'ssh', 'org/repo'), 'agent/late'], tree);
  assert.equal(await expectRun('cat', [ready]), 'ready');
  await sshOk(ada, site.gate, ['pass', 'revoke', key.id]);
  await run('sh', ['-c', `echo go > ${go}`]);
  assertRefused(await pushing, /your account, or the key or token you showed, is not accepted any more/);
  const refs = await gitOk(ada, ['ls-remote', url(site.gate, 'ssh', 'org/repo')]);
  assert.ok(!refs.includes('agent/late'));
  await sshOk(ada, site.gate, ['pass', 'revoke', id]);
  assertRefused(await git(agent, ['ls-remote', 'origin'], tree), /wrong, expired or revoked|Authentication failed/);
});

test('an expired pass opens nothing, and a suspended owner’s neither', async () => {
  const { secret } = await issue(['--repo', 'org/repo', '--read', '--expires', '1s']);
  const there = url(site.gate, 'http', 'org/repo', secret);
  let ended = await git(agent, ['ls-remote', there]);
  while (ended.code === 0) ended = await git(agent, ['ls-remote', there]);
  // The one that failed may have been between two of its requests.
  ended = await git(agent, ['ls-remote', there]);
  assertRefused(ended, /wrong, expired or revoked|Authentication failed/);
  const carl = await addPerson(site, 'carl');
  await sshOk(carl, site.gate, ['create', 'carls']);
  const pass = await issue(['--repo', 'carls', '--read', '--expires', '1h'], '', carl);
  assert.equal((await git(agent, ['ls-remote', url(site.gate, 'http', 'carls', pass.secret)])).code, 0);
  await sshOk(site.admin, site.gate, ['suspend', 'carl']);
  assertRefused(
    await git(agent, ['ls-remote', url(site.gate, 'http', 'carls', pass.secret)]),
    /wrong, expired or revoked|Authentication failed/,
  );
});

test('an administrator issues for a CI account, which issues none itself, and revokes all', async () => {
  const robot = await addPerson(site, 'robot', { flags: ['--ci'] });
  await sshOk(site.admin, site.gate, ['group', 'add', 'robots', 'CI']);
  await sshOk(site.admin, site.gate, ['group', 'adduser', 'robots', 'robot']);
  await sshOk(ada, site.gate, ['config', 'org/repo', 'set', 'readers', 'robots']);
  const { id, secret } = await issue(
    ['--for', 'robot', '--repo', 'org/*', '--read', '--expires', '1h'],
    '',
    site.admin,
  );
  const there = url(site.gate, 'http', 'org/repo', secret);
  assert.equal((await git(agent, ['ls-remote', there])).code, 0);
  assert.match(
    (await ssh(robot, site.gate, ['pass', 'issue', '--repo', 'org/repo', '--read', '--expires', '1h'])).stderr,
    /administrator/,
  );
  assert.match(await sshOk(site.admin, site.gate, ['pass', 'list', '--for', 'robot']), new RegExp(id));
  assert.match(await sshOk(site.admin, site.gate, ['pass', 'revoke', '--all', '--for', 'robot']), new RegExp(id));
  assertRefused(await git(agent, ['ls-remote', there]), /wrong, expired or revoked|Authentication failed/);
  assert.equal((await sshOk(site.admin, site.gate, ['pass', 'list', '--for', 'robot'])).trim(), '');
  assert.match(await sshOk(site.admin, site.gate, ['pass', 'list', '--for', 'robot', '--all']), /revoked/);
});

test('a CI identity gets its pass by a rule that was pushed with the policy, and a wrong rule is refused at the push', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const set = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] });
  const tree = join(site.admin.home, 'policy');
  await gitOk(site.admin, ['clone', '-q', url(site.gate, 'ssh', 'gatehouse-admin'), 'policy']);
  const rule = (claim: string): string =>
    `[[trust]]\nissuer = "https://ci.example"\naudience = "gatehouse"\njwks = '''${set}'''\nfor = "ada"\n` +
    `repos = ["org/repo"]\nread = true\npush = ["refs/heads/agent/*"]\n[trust.claims]\n${claim}\n`;
  mkdirSync(join(tree, 'oidc'));
  await commitFile(site.admin, tree, 'oidc/ci.toml', rule('repository = "org/?"'));
  assertRefused(
    await git(site.admin, ['push', '-q', 'origin', 'HEAD'], tree),
    /oidc\/ci.toml: rule 1: the claim repository has an empty pattern or a \? in it/,
  );
  await commitFile(site.admin, tree, 'oidc/ci.toml', rule('repository = "org/repo"'));
  const checked = await run(
    join(import.meta.dirname, '../../bin/gatehouse'),
    ['--data', site.gate.data, 'policy', 'check', tree],
    { env: site.admin.env },
  );
  assert.equal(checked.code, 0, checked.stderr);
  await gitOk(site.admin, ['push', '-q', 'origin', 'HEAD'], tree);

  const now = Math.floor(Date.now() / 1000);
  const token = await new SignJWT({ repository: 'org/repo', jti: 'one' })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .setIssuer('https://ci.example')
    .setAudience('gatehouse')
    .setSubject('job 42')
    .setExpirationTime(now + 300)
    .sign(privateKey);
  const exchange = (): Promise<Response> =>
    fetch(`http://${site.gate.http}/api/v1/token-exchange`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      }),
    });
  const answer: unknown = await (await exchange()).json();
  assert.ok(typeof answer === 'object' && answer !== null && 'access_token' in answer, JSON.stringify(answer));
  const work = await cloneWith(String(answer.access_token), 'by-ci');
  await gitOk(agent, ['checkout', '-q', '-b', 'agent/ci'], work);
  await commitFile(agent, work, 'ci', 'built\n');
  assert.equal((await push(work, 'agent/ci')).code, 0);
  assertRefused(await push(work, 'agent/ci:main'), /refs\/heads\/main is not among them/);
  assert.equal((await exchange()).status, 400);
  const [line] = await journal(['--event', 'exchange', '--user', 'ada']);
  assert.equal(line?.['rule'], 'oidc/ci.toml, rule 1');
  assert.equal(line['purpose'], 'job 42');
  const pushed = await journal(['--event', 'push', '--user', 'ada']);
  assert.ok(pushed.some(({ pass: id, purpose }) => id === line['pass'] && purpose === 'job 42'));
});
