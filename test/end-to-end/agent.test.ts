/**
 * An agent in front of a mirror: it has a pass and the configuration that the gate printed, uses the upstream's own URL, and
 * neither its environment, its disk nor any process's words hold what opens the upstream.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addPerson, commitFile, git, gitOk, makePerson, ssh, sshOk, type Person } from '../support/gate.ts';
import { noHttpsUpstream, noSshUpstream, startHttpsUpstream, startSshUpstream } from '../support/upstream.ts';
import { expectRun, suiteScope } from '../support/workspace.ts';
import { addMirror, putHook, startMirrorSite, type MirrorSite } from './mirror-ground.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');
const scope = suiteScope();
let site: MirrorSite;
let owner: Person;

before(async () => {
  if (noSshUpstream() !== false) return;
  site = await startMirrorSite(scope);
  owner = await addPerson(site, 'owner');
});

after(() => scope.close());

const PASS = ['--read', '--push', 'refs/heads/agent/*', '--expires', '2h', '--purpose', 'the test'];

/** Somebody with an empty home but for what `mirror gitconfig` printed. */
async function makeAgent(name: string, mirror: string, flags: readonly string[] = []): Promise<Person> {
  const agent = await makePerson(site.root, name);
  const config = await sshOk(site.admin, site.gate, ['mirror', 'gitconfig', mirror, ...flags]);
  writeFileSync(join(agent.home, 'agent.gitconfig'), config);
  return { ...agent, env: { ...agent.env, GIT_CONFIG_GLOBAL: join(agent.home, 'agent.gitconfig') } };
}

/**
 * The words and, where this account may see it, the environment of every process. Those that the upstream's web server
 * started have what it was shown.
 */
const LOOK_AROUND = `for p in /proc/[0-9]*; do
  grep -qz '^REQUEST_METHOD=' "$p/environ" 2>/dev/null || cat "$p/cmdline" "$p/environ" 2>/dev/null
done > "$GIT_DIR/seen"
true`;

/** What the agent has, all of it, and what the upstream's hook saw of the machine while the push was on its way. */
function assertHoldsNot(agent: Person, seen: Buffer, secrets: readonly string[]): void {
  const places: [string, Buffer][] = [
    ['the environment', Buffer.from(JSON.stringify(agent.env))],
    ['a process', seen],
    ...filesIn(agent.home).map((path): [string, Buffer] => [path, readFileSync(path)]),
  ];
  assert.ok(seen.length > 1_000, 'processes were seen');
  assert.ok(places.length > 20, 'files were looked at');
  for (const [place, bytes] of places)
    for (const secret of secrets) assert.equal(bytes.includes(secret), false, `${place} holds what opens the upstream`);
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Clones by the upstream's own URL, pushes `agent/x`, and tries everything else. */
async function workAs(agent: Person, { upstreamUrl }: { readonly upstreamUrl: string }): Promise<string> {
  const tree = join(agent.home, 'work');
  await gitOk(agent, ['clone', '-q', upstreamUrl, tree]);
  await gitOk(agent, ['checkout', '-q', '-b', 'agent/x'], tree);
  const oid = await commitFile(agent, tree, 'change', 'the change of an agent\n');
  await gitOk(agent, ['push', '-q', 'origin', 'agent/x'], tree);
  await gitOk(agent, ['tag', 'v1'], tree);
  const allowed = /this pass may fetch, and push refs\/heads\/agent\/\* \(create and fast-forward\)/;
  for (const words of [['HEAD:refs/heads/main'], ['v1'], ['--force', 'HEAD~1:refs/heads/agent/x'], [':agent/x']]) {
    const ended = await git(agent, ['push', 'origin', ...words], tree);
    assert.notEqual(ended.code, 0, `${words.join(' ')} was taken`);
    assert.match(ended.stderr.replaceAll(/\s+/g, ' '), allowed, words.join(' '));
  }
  return oid;
}

describe('an agent with nothing but a pass', { skip: noSshUpstream() }, () => {
  test('works on a repository behind OpenSSH by its own URL, and holds no key of it', async () => {
    const upstream = await startSshUpstream(scope);
    const { repositories } = upstream;
    await repositories.create('org/repo');
    const main = await repositories.commit('org/repo', 'refs/heads/main', { 'a.txt': 'a\n' });
    await addMirror(site, upstream, { name: 'org/repo' });
    await sshOk(site.admin, site.gate, ['config', 'org/repo', 'set', 'owner', 'owner']);
    putHook(repositories, 'org/repo', 'pre-receive', LOOK_AROUND);
    const agent = await makeAgent('agent-ssh', 'org/repo');
    await sshOk(owner, site.gate, ['pass', 'issue', '--repo', 'org/repo', ...PASS, '--key', '-'], agent.publicKey);

    const oid = await workAs(agent, { upstreamUrl: upstream.url('org/repo') });
    assert.equal(await repositories.ref('org/repo', 'refs/heads/agent/x'), oid);
    assert.equal(await repositories.ref('org/repo', 'refs/heads/main'), main);
    assert.equal(await repositories.ref('org/repo', 'refs/tags/v1'), undefined);
    // What every key begins with says nothing.
    const key = upstream.privateKey.trim().split('\n').slice(3, -1);
    assert.ok(key.length > 1);
    assertHoldsNot(agent, readFileSync(join(repositories.path('org/repo'), 'seen')), key);
    const direct = await git(agent, ['ls-remote', upstream.url('org/repo').replace('127.0.0.1', 'localhost')]);
    assert.notEqual(direct.code, 0, 'without the gate the upstream lets nobody in');
    // The journal says whose pass it was, what for, and what went upstream.
    const journal = await sshOk(site.admin, site.gate, ['audit', 'log', '--json', '--repo', 'org/repo']);
    const push = journal.split('\n').find((line) => line.includes('"push"') && line.includes(oid)) ?? '';
    for (const words of ['"owner"', 'the test', '"ok']) assert.ok(push.includes(words), push);
  });

  test(
    'works over HTTP on a repository behind HTTPS, and holds no token of it',
    { skip: noHttpsUpstream() },
    async () => {
      const upstream = await startHttpsUpstream(scope);
      const { repositories } = upstream;
      await repositories.create('org/web');
      await repositories.commit('org/web', 'refs/heads/main', { 'a.txt': 'a\n' });
      const authority = join(site.root, 'ca.crt');
      writeFileSync(authority, upstream.authority);
      const flags = ['--token', '-', '--user', upstream.username, '--ca', authority];
      const words = ['--data', site.gate.data, 'mirror', 'add', 'org/web', upstream.url('org/web'), ...flags];
      await expectRun(PROGRAM, words, { env: site.admin.env, stdin: upstream.token });
      await sshOk(site.admin, site.gate, ['config', 'org/web', 'set', 'owner', 'owner']);
      putHook(repositories, 'org/web', 'pre-receive', LOOK_AROUND);
      const agent = await makeAgent('agent-http', 'org/web', ['--via', 'http']);
      const issued: unknown = JSON.parse(
        await sshOk(owner, site.gate, ['pass', 'issue', '--json', '--repo', 'org/web', ...PASS]),
      );
      assert.ok(typeof issued === 'object' && issued !== null && 'secret' in issued);
      writeFileSync(join(agent.home, 'pass'), String(issued.secret));
      await gitOk(agent, [
        'config',
        '--global',
        'credential.helper',
        `!f() { echo username=any; echo "password=$(cat ${join(agent.home, 'pass')})"; }; f`,
      ]);

      const oid = await workAs(agent, { upstreamUrl: upstream.url('org/web') });
      assert.equal(await repositories.ref('org/web', 'refs/heads/agent/x'), oid);
      const basic = Buffer.from(`${upstream.username}:${upstream.token}`).toString('base64');
      assertHoldsNot(agent, readFileSync(join(repositories.path('org/web'), 'seen')), [upstream.token, basic]);
    },
  );

  test('cannot use its pass for anything but its repository', async () => {
    const agent: Person = { ...owner, ...(await makePerson(site.root, 'agent-ssh')) };
    for (const words of [['ls'], ['whoami']])
      assert.equal((await ssh(agent, site.gate, words)).code, 0, words.join(' '));
    for (const words of [
      ['mirror', 'show', 'org/repo'],
      ['pass', 'list'],
      ['mirror', 'gitconfig'],
    ]) {
      const ended = await ssh(agent, site.gate, words);
      assert.equal(ended.code, 1, `${words.join(' ')}: ${ended.stdout}`);
    }
  });
});
