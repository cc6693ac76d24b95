/**
 * Weaknesses of gates that push through a mirror's own remote, each reproduced once and closed here: a test is named after
 * the weakness.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addPerson, gitOk, sshOk, url, type Person } from '../support/gate.ts';
import { noSshUpstream, startSshUpstream, type SshUpstream } from '../support/upstream.ts';
import { expectRun, run, suiteScope } from '../support/workspace.ts';
import {
  assertSameRefs,
  cloneOf,
  makeMirror,
  type MirrorSite,
  putHook,
  refsAt,
  startMirrorSite,
} from './mirror-ground.ts';

const scope = suiteScope();
const noUpstream = noSshUpstream();
let site: MirrorSite;
let upstream: SshUpstream;
let agent: Person;
let token: string;

before(async () => {
  if (noUpstream !== false) return;
  [site, upstream] = await Promise.all([startMirrorSite(scope), startSshUpstream(scope)]);
  agent = await addPerson(site, 'agent');
  await sshOk(site.admin, site.gate, ['group', 'add', 'agents', 'The', 'agents']);
  await sshOk(site.admin, site.gate, ['group', 'adduser', 'agents', 'agent']);
  const made = await sshOk(site.admin, site.gate, ['token', 'create', 'count', '--scope', 'admin']);
  token = /ght_[A-Za-z0-9]+/.exec(made)?.[0] ?? '';
});

after(() => scope.close());

const mirror = (name: string, flags: readonly string[] = []): Promise<string> =>
  makeMirror(site, upstream, { name, flags });
const assertSame = (name: string): Promise<void> => assertSameRefs(site, upstream, name);

/** Git processes of the gate, and questions to upstreams, so far. */
async function counted(): Promise<{ readonly processes: number; readonly questions: number }> {
  const answer = await fetch(`http://${site.gate.http}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const text = await answer.text();
  const sum = (pattern: RegExp): number => [...text.matchAll(pattern)].reduce((all, [, n]) => all + Number(n), 0);
  return {
    processes: sum(/^gatehouse_git_processes(?:_started)?_total(?:\{[^}]*\})? (\d+)/gm),
    questions: sum(/^gatehouse_mirror_refresh_total\{outcome="(?:unchanged|updated)"\} (\d+)/gm),
  };
}

describe('weaknesses of a forward', { skip: noUpstream }, () => {
  test('push of two refs, upstream refuses the second', async () => {
    const base = await mirror('two');
    putHook(upstream.repositories, 'two', 'update', 'test "$1" != refs/heads/zz');
    const clone = await cloneOf(site, 'two');
    await clone.commit('next');
    const { code, stderr } = await clone.git('push', 'origin', 'main', 'main:zz');
    assert.equal(code, 1);
    assert.match(stderr, /main -> zz \(upstream: hook declined\)/);
    assert.match(stderr, /main -> main \(atomic push: refs\/heads\/zz was refused upstream\)/);
    assert.equal(await upstream.repositories.ref('two', 'refs/heads/main'), base);
    await assertSame('two');
  });

  test('forward with + from a stale mirror', async () => {
    await mirror('stale', ['--fresh', '1h']);
    const clone = await cloneOf(site, 'stale');
    const human = await upstream.repositories.commit('stale', 'refs/heads/main', { human: 'by hand\n' });
    await clone.commit('next');
    const { code, stderr } = await clone.git('push', '-f', 'origin', 'main');
    assert.equal(code, 1);
    assert.match(stderr, /fetch first: the upstream's refs\/heads\/main moved/);
    assert.equal(await upstream.repositories.ref('stale', 'refs/heads/main'), human);
    // The refusal made the mirror look again, an hour before its bound.
    await clone.ok('fetch', '-q', 'origin');
    assert.equal(await clone.ok('rev-parse', 'origin/main'), human);
  });

  test('mirror remote used for pushing inside the quarantine', async () => {
    const base = await mirror('quarantine');
    // The upstream looks at the gate's own repository while it has the push before it.
    const [path] = (
      await expectRun('grep', [
        '-rlE',
        '^\\s*name = quarantine$',
        '--include=config',
        join(site.gate.data, 'repositories'),
      ])
    ).split('\n');
    const bare = join(path ?? '', '..');
    const seen = join(site.root, 'seen');
    const look = `unset GIT_DIR GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY; git --git-dir=${bare} for-each-ref >${seen}`;
    putHook(upstream.repositories, 'quarantine', 'pre-receive', look);
    const clone = await cloneOf(site, 'quarantine');
    const next = await clone.commit('next');
    await clone.ok('push', '-q', 'origin', 'main', 'main:side');
    assert.equal(readFileSync(seen, 'utf8'), `${base} commit\trefs/heads/main\n`);
    assert.doesNotMatch(readFileSync(path ?? '', 'utf8'), /\[remote|mirror/);
    assert.equal(await upstream.repositories.ref('quarantine', 'refs/heads/side'), next);
    await assertSame('quarantine');
  });

  test("crash between upstream's OK and the local ref update", async () => {
    await mirror('crash');
    const [took, go] = [join(site.root, 'took'), join(site.root, 'go')];
    await expectRun('mkfifo', [took, go]);
    const hook = `if test "$1" = committed; then echo >${took}; read x <${go}; fi`;
    putHook(upstream.repositories, 'crash', 'reference-transaction', hook);
    const clone = await cloneOf(site, 'crash');
    const next = await clone.commit('next');
    const pushing = clone.git('push', 'origin', 'main');
    await run('cat', [took], { deadlineMs: 10_000 });
    await site.gate.kill();
    assert.notEqual((await pushing).code, 0);
    await run('sh', ['-c', `echo >${go}`], { deadlineMs: 10_000 });
    await site.restart();
    const lines = await sshOk(site.admin, site.gate, ['audit', 'log', '--repo', 'crash']);
    assert.match(
      lines,
      /served .* admin recover crash refs\/heads\/main .* ok \(to ssh:.*forwarded before the gate stopped/,
    );
    const env = site.admin.env;
    assert.match(await refsAt(url(site.gate, 'ssh', 'crash'), env), new RegExp(`^${next}\trefs/heads/main$`, 'm'));
    await assertSame('crash');
  });

  test('git:// to the agent: no authentication, no rule per ref, no rule against force or delete', async () => {
    const base = await mirror('ruled');
    await upstream.repositories.commit('ruled', 'refs/heads/kept', { kept: 'kept\n' });
    for (const [key, value] of [
      ['guests', 'agents'],
      ['public', 'yes'],
    ]) {
      await sshOk(site.admin, site.gate, ['config', 'ruled', 'set', `${key}`, `${value}`]);
    }
    const clone = await cloneOf(site, 'ruled', agent);
    const next = await clone.commit('next');
    const open = await clone.git('push', url(site.gate, 'git', 'ruled'), 'main:refs/heads/agent/x');
    assert.notEqual(open.code, 0);
    assert.equal((await clone.git('push', 'origin', 'main:refs/heads/agent/x')).code, 0);
    assert.equal(await upstream.repositories.ref('ruled', 'refs/heads/agent/x'), next);
    for (const words of [['main'], ['-f', 'main:main'], [':kept'], ['main:refs/tags/v1']]) {
      const { code, stderr } = await clone.git('push', 'origin', ...words);
      assert.equal(code, 1, words.join(' '));
      assert.match(stderr, /guests keep to refs\/(?:heads|tags)\/agent\//, words.join(' '));
    }
    assert.equal(await upstream.repositories.ref('ruled', 'refs/heads/main'), base);
    assert.equal(await upstream.repositories.ref('ruled', 'refs/tags/v1'), undefined);
    assert.ok(await upstream.repositories.ref('ruled', 'refs/heads/kept'));
    await assertSame('ruled');
  });

  test('every fetch costs a full upstream fetch; refs/pull/* mirrored', async () => {
    const base = await mirror('cheap');
    await upstream.repositories.git([
      '-C',
      upstream.repositories.path('cheap'),
      'update-ref',
      'refs/pull/1/head',
      base,
    ]);
    const clone = await cloneOf(site, 'cheap');
    const earlier = await counted();
    for (let times = 0; times < 3; times += 1) await clone.ok('fetch', '-q', 'origin');
    const later = await counted();
    assert.deepEqual([later.processes - earlier.processes, later.questions - earlier.questions], [0, 3]);
    const listed = await gitOk(site.admin, ['ls-remote', url(site.gate, 'ssh', 'cheap')]);
    assert.match(listed, /refs\/heads\/main/);
    assert.doesNotMatch(listed, /refs\/pull/);
    const stray = await clone.git('push', 'origin', 'main:refs/pull/2/head');
    assert.match(stray.stderr, /this mirror has only refs\/heads\/\*, refs\/tags\/\* of its upstream/);
  });
});
