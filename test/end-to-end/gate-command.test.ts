/** `gatehouse gate`: one command puts a gate in front of an upstream for one job, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startForge, type TestForge } from '../support/forges.ts';
import { commitFile, git, gitOk, makePerson, type Person } from '../support/gate.ts';
import { noSshd } from '../support/sshd.ts';
import { suiteScope, workspace } from '../support/workspace.ts';
import { agentOf, declare, gitconfigIn, startJob, type JobGate } from './gate-ground.ts';
import { putHook } from './mirror-ground.ts';

const scope = suiteScope();
let forge: TestForge;
let root: string;

before(async () => {
  if (noSshd() !== false) return;
  forge = await startForge(scope, 'gitea');
  await forge.repositories.create('org/app');
  await forge.repositories.commit('org/app', 'refs/heads/main', { 'a.txt': 'a\n' });
  root = workspace(scope, 'gatehouse-job-');
});

after(() => scope.close());

let jobs = 0;

interface Place {
  readonly home: string;
  readonly file: string;
  readonly start: (args?: readonly string[], env?: NodeJS.ProcessEnv) => JobGate;
}

/** A home of its own for the operator, with a declaration in it. */
function placeOf(more: { readonly lines?: readonly string[]; readonly top?: readonly string[] } = {}): Place {
  forge.fate = () => undefined;
  forge.keys.splice(0);
  forge.hooks.splice(0);
  const home = workspace(scope, 'gatehouse-operator-');
  jobs += 1;
  const file = join(home, 'gate.toml');
  const top = more.top ?? ['[gate]', `name = "job-${jobs}"`];
  declare(file, forge, { project: 'org/app', ...more, top });
  return {
    home,
    file,
    start: (args = ['--yes'], env = { JOB_TOKEN: forge.token }) =>
      startJob(scope, { home, args: ['--upstreams', file, ...args], env }),
  };
}

async function agentFor(job: JobGate, name: string): Promise<Person> {
  return agentOf(await makePerson(root, name), gitconfigIn(job.stdout()));
}

/** The words and the environment of every process but those of who set the test up. */
const LOOK_AROUND = `for p in /proc/[0-9]*; do
  grep -qz '^JOB_TOKEN=' "$p/environ" 2>/dev/null || cat "$p/environ" 2>/dev/null
  cat "$p/cmdline" 2>/dev/null
done > "$GIT_DIR/seen"
true`;

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('gatehouse gate', { skip: noSshd() }, () => {
  test('says what it will do, makes a deploy key, serves the agent, and takes it all away at the end', async () => {
    const { home, start } = placeOf();
    putHook(forge.repositories, 'org/app', 'pre-receive', LOOK_AROUND);
    const credentials = join(home, 'agent-credentials');
    const job = start(['--yes', '--credentials-out', credentials]);
    await job.ready;
    const [before = ''] = job.stdout().split('gatehouse ready ');
    for (const words of [
      /host 127\.0\.0\.1, port \d+/,
      /deploy key \(read and write\) of org\/app/,
      /refs\/heads\/agent\/\*/,
      /the variable JOB_TOKEN/,
    ])
      assert.match(before, words);
    assert.deepEqual(
      forge.keys.map(({ title, mayWrite }) => [title, mayWrite]),
      [[`gatehouse job-${jobs} app`, true]],
    );
    assert.equal(statSync(credentials).mode & 0o777, 0o600);

    const agent = await agentFor(job, 'worker');
    const tree = join(agent.home, 'work');
    await gitOk(agent, ['clone', '-q', forge.sshUrl('org/app'), tree]);
    await gitOk(agent, ['checkout', '-q', '-b', 'agent/x'], tree);
    const oid = await commitFile(agent, tree, 'change', 'of the agent\n');
    await gitOk(agent, ['push', '-q', 'origin', 'agent/x'], tree);
    assert.equal(await forge.repositories.ref('org/app', 'refs/heads/agent/x'), oid);
    for (const words of [['HEAD:refs/heads/main'], ['--force', 'HEAD~1:refs/heads/agent/x'], [':agent/x']]) {
      const refused = await git(agent, ['push', 'origin', ...words], tree);
      assert.notEqual(refused.code, 0, words.join(' '));
      assert.match(refused.stderr.replaceAll(/\s+/g, ' '), /this pass may fetch, and push refs\/heads\/agent\/\*/);
    }
    // Neither the agent, nor the gate's disk, nor any process's words hold the forge's token or a private key.
    const places: (readonly [string, Buffer])[] = [
      ['a process', readFileSync(join(forge.repositories.path('org/app'), 'seen'))],
      ...[...filesIn(agent.home), ...filesIn(home)].map((path) => [path, readFileSync(path)] as const),
    ];
    assert.ok(places.length > 40, 'files were looked at');
    const ownKey = readFileSync(agent.keyFile, 'utf8');
    const hostKeys = filesIn(home).filter((path) => /ssh_host_\w+_key$/.test(path));
    for (const [place, bytes] of places) {
      assert.ok(!bytes.includes(forge.token), `${place} holds the token`);
      if (hostKeys.includes(place) || bytes.toString() === ownKey) continue;
      assert.ok(!bytes.includes('OPENSSH PRIVATE KEY'), `${place} holds a private key`);
    }
    assert.equal(await job.end('SIGTERM'), 0, job.stderr());
    assert.deepEqual(forge.keys, []);
    assert.ok(!existsSync(credentials), 'tokens are gone');
    assert.deepEqual(filesIn(join(home, `gatehouse-gates-${process.getuid?.() ?? 0}`)), []);
    assert.notEqual((await git(agent, ['fetch', 'origin'], tree)).code, 0);
  });

  test('killed on the way, leaves a key that the next gate of its name revokes', async () => {
    const { start } = placeOf();
    const first = start();
    await first.ready;
    const [left] = forge.keys;
    await first.end('SIGKILL');
    assert.equal(forge.keys.length, 1);
    const second = start();
    await second.ready;
    assert.match(second.stderr(), /revoked the deploy key/);
    assert.equal(forge.keys.length, 1);
    assert.notEqual(forge.keys[0]?.key, left?.key);
    const busy = start();
    assert.equal(await busy.ended, 1);
    assert.match(busy.stderr(), new RegExp(`${second.pid}`), 'who runs already is named');
    assert.equal(forge.keys.length, 1, 'and keeps its key');
    await gitOk(await agentFor(second, 'later'), ['ls-remote', forge.sshUrl('org/app')]);
    assert.equal(await second.end('SIGINT'), 0, second.stderr());
    assert.deepEqual(forge.keys, []);
  });

  test('killed with its data lost, leaves a key that the mark in its title tells of', async () => {
    const { start, home } = placeOf();
    const first = start(['--yes', '--data', join(home, 'one')]);
    await first.ready;
    await first.end('SIGKILL');
    const other = forge.addKey({
      project: 'org/app',
      title: `gatehouse job-${jobs}0 app`,
      key: forge.keys[0]?.key.replace('AAAAI', 'AAAAJ') ?? '',
      mayWrite: false,
    });
    const second = start(['--yes', '--data', join(home, 'two')]);
    await second.ready;
    assert.equal(forge.keys.length, 2);
    assert.equal(await second.end('SIGTERM'), 0, second.stderr());
    assert.deepEqual(forge.keys, [other]);
    const journal = filesIn(join(home, 'two', 'journal'))
      .map((path) => readFileSync(path, 'utf8'))
      .join('');
    assert.match(journal, /"gate".*revoked the deploy key/, 'named data stays, with its journal');
    assert.ok(!journal.includes(forge.token));
  });

  test('killed while the forge makes the key, leaves one that the next gate finds', async () => {
    const { start } = placeOf();
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const { promise: dead, resolve: onDead } = Promise.withResolvers<void>();
    forge.fate = ({ method }) => {
      if (method !== 'POST') return undefined;
      resolve();
      return { after: true, drop: true, wait: () => dead };
    };
    const first = start();
    await asked;
    await first.end('SIGKILL');
    onDead();
    forge.fate = () => undefined;
    const second = start();
    await second.ready;
    assert.equal(await second.end('SIGTERM'), 0, second.stderr());
    assert.deepEqual(forge.keys, []);
  });

  test('asked to stop while the forge is silent, looks for what that made meanwhile, and takes it away', async () => {
    const { start } = placeOf();
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    forge.fate = ({ method }) => {
      if (method === 'POST') resolve();
      return method === 'POST' ? { after: true, wait: () => done } : undefined;
    };
    const { promise: done, resolve: onDone } = Promise.withResolvers<void>();
    const job = start();
    await asked;
    const ended = job.end('SIGTERM');
    onDone();
    assert.equal(await ended, 0, job.stderr());
    assert.deepEqual(forge.keys, []);
    assert.doesNotMatch(job.stdout(), /gatehouse ready/);
  });

  test('a revocation that fails is loud: exit code 1, what to do by hand, and the next gate tries again', async () => {
    const { start } = placeOf();
    const first = start();
    await first.ready;
    forge.fate = ({ method }) => (method === 'DELETE' ? { status: 403, body: '{"message":"no"}' } : undefined);
    assert.equal(await first.end('SIGTERM'), 1);
    assert.match(first.stderr(), /was NOT revoked: .*the token needs .*take it away by hand/);
    assert.equal(forge.keys.length, 1);
    forge.fate = () => undefined;
    const second = start();
    await second.ready;
    assert.equal(await second.end('SIGTERM'), 0, second.stderr());
    assert.deepEqual(forge.keys, []);
  });

  test('asks before it does anything, and without anybody to ask does nothing', async () => {
    const { start, home } = placeOf();
    const job = start([]);
    assert.equal(await job.ended, 1);
    assert.match(job.stdout(), /will be made {3}a deploy key/);
    assert.match(job.stderr(), /nothing was done: there is nobody to ask/);
    assert.deepEqual([forge.keys, readdirSync(home)], [[], ['gate.toml']]);
    const checked = start(['--check']);
    assert.equal(await checked.ended, 0, checked.stderr());
    assert.match(checked.stdout(), /app: 127\.0\.0\.1:\d+ takes the token; org\/app has 0 deploy keys/);
    const wrong = start(['--check'], { JOB_TOKEN: 'wrong' });
    assert.equal(await wrong.ended, 1);
    assert.match(wrong.stdout(), /PROBLEM: .*does not take the token/);
    assert.deepEqual(readdirSync(home), ['gate.toml']);
  });

  test('where one upstream fails takes away what it made for the others', async () => {
    const { start } = placeOf({
      lines: ['[[upstream]]', 'name = "gone"', 'url = "git://127.0.0.1:9/gone"'],
    });
    const job = start();
    assert.equal(await job.ended, 1);
    assert.match(job.stderr(), /git:\/\/127\.0\.0\.1:9\/gone/);
    assert.deepEqual(forge.keys, []);
  });

  test('gives each upstream a pass of its own, with a read-only key where nothing may be pushed', async () => {
    await forge.repositories.create('org/lib');
    await forge.repositories.commit('org/lib', 'refs/heads/main', { 'l.txt': 'l\n' });
    const lib = [
      '[[upstream]]',
      'name = "lib"',
      `url = "${forge.sshUrl('org/lib')}"`,
      `host-key = "${forge.hostKey}"`,
      `forge = { kind = "gitea", url = "${forge.url}", project = "org/lib", token-env = "JOB_TOKEN" }`,
      'deploy-key = true',
      'webhook = true',
      'fresh = "1h"',
    ];
    const { start } = placeOf({ lines: lib });
    const job = start();
    await job.ready;
    assert.deepEqual(
      new Map(forge.keys.map(({ project, mayWrite }) => [project, mayWrite])),
      new Map([
        ['org/app', true],
        ['org/lib', false],
      ]),
    );
    const agent = await agentFor(job, 'two');
    const tree = join(agent.home, 'lib');
    await gitOk(agent, ['clone', '-q', forge.sshUrl('org/lib'), tree]);
    await gitOk(agent, ['checkout', '-q', '-b', 'agent/y'], tree);
    await commitFile(agent, tree, 'c', 'c\n');
    const refused = await git(agent, ['push', 'origin', 'agent/y'], tree);
    assert.notEqual(refused.code, 0);
    // Served as of an hour ago at most, unless the forge says that something changed.
    const main = await forge.repositories.commit('org/lib', 'refs/heads/main', { 'l.txt': 'm\n' });
    const seen = async (): Promise<string> => gitOk(agent, ['ls-remote', 'origin', 'refs/heads/main'], tree);
    assert.ok(!(await seen()).includes(main), 'the bound is kept');
    const [hook] = forge.hooks;
    assert.ok(hook !== undefined);
    assert.equal(await forge.call(hook, '{"ref":"refs/heads/main"}'), 200);
    assert.ok((await seen()).includes(main), 'the webhook was heard');
    assert.equal(await job.end('SIGTERM'), 0, job.stderr());
    assert.deepEqual([forge.keys, forge.hooks], [[], []]);
  });

  test('lets an agent in by its own key, over ssh', async () => {
    const agentPerson = await makePerson(root, 'by-key');
    const { start, home } = placeOf({
      top: ['[gate]', 'name = "by-key"', '[agent]', 'name = "robot"', 'public-key = "agent.pub"', 'life = "1h"'],
    });
    writeFileSync(join(home, 'agent.pub'), agentPerson.publicKey);
    const job = start();
    await job.ready;
    const agent = agentOf(agentPerson, gitconfigIn(job.stdout()));
    await gitOk(agent, ['ls-remote', forge.sshUrl('org/app')]);
    assert.equal(await job.end('SIGTERM'), 0, job.stderr());
  });

  test('never clears the data directory of an ordinary gate', async () => {
    const { start, home } = placeOf();
    writeFileSync(join(home, 'gatehouse.db'), '');
    const job = start(['--yes', '--data', home]);
    assert.equal(await job.ended, 1);
    assert.match(job.stderr(), /is the data directory of a gate that is not for one job/);
  });
});
