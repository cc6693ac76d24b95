/** Pushes to mirrors with real git, a real gate, OpenSSH and nginx as upstreams: what is upstream, what is here, what is said. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { git, gitOk, sshOk, url } from '../support/gate.ts';
import {
  noHttpsUpstream,
  noSshUpstream,
  startHttpsUpstream,
  startSshUpstream,
  type HttpsUpstream,
  type SshUpstream,
} from '../support/upstream.ts';
import { expectRun, run, suiteScope } from '../support/workspace.ts';
import { assertSameRefs, cloneOf, makeMirror, type MirrorSite, putHook, startMirrorSite } from './mirror-ground.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');
const scope = suiteScope();
const noUpstream = noSshUpstream();
let site: MirrorSite;
let upstream: SshUpstream;

before(async () => {
  if (noUpstream !== false) return;
  [site, upstream] = await Promise.all([startMirrorSite(scope), startSshUpstream(scope)]);
});

after(() => scope.close());

const mirror = (name: string, flags: readonly string[] = []): Promise<string> =>
  makeMirror(site, upstream, { name, flags });
const assertSame = (name: string): Promise<void> => assertSameRefs(site, upstream, name);

async function journal(name: string): Promise<readonly string[]> {
  return (await sshOk(site.admin, site.gate, ['audit', 'log', '--repo', name])).trim().split('\n');
}

describe('over ssh', { skip: noUpstream }, () => {
  test('branches, tags, a rewind and deletions go upstream, and the journal says where', async () => {
    const base = await mirror('plain');
    const clone = await cloneOf(site, 'plain');
    const next = await clone.commit('next');
    await clone.ok('tag', '-a', '-m', 'one', 'v1');
    const pushed = await clone.git('push', 'origin', 'main', 'v1', 'main:refs/heads/side/x');
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.equal(await upstream.repositories.ref('plain', 'refs/heads/side/x'), next);
    assert.equal(await upstream.repositories.ref('plain', 'refs/tags/v1'), await clone.ok('rev-parse', 'v1'));
    assert.match((await journal('plain')).at(-1) ?? '', /served .*refs\/heads\/main .* ok .*\(to ssh:\/\//);
    assert.equal((await clone.git('push', '-f', 'origin', `${base}:main`, ':side/x', ':v1')).code, 0);
    assert.equal(await upstream.repositories.ref('plain', 'refs/heads/main'), base);
    assert.equal(await upstream.repositories.ref('plain', 'refs/tags/v1'), undefined);
    await assertSame('plain');
  });

  test("an upstream's hook refuses one ref of two: it keeps neither, and the client reads its words and reason", async () => {
    const base = await mirror('hooked');
    const hook = 'case "$1" in refs/heads/locked) echo "locked until Monday"; exit 1;; esac';
    putHook(upstream.repositories, 'hooked', 'update', hook);
    const clone = await cloneOf(site, 'hooked');
    await clone.commit('next');
    const { code, stderr } = await clone.git('push', 'origin', 'main', 'main:locked');
    assert.equal(code, 1);
    assert.match(stderr, /remote: upstream: locked until Monday/);
    assert.match(stderr, /main -> locked \(upstream: hook declined\)/);
    assert.match(stderr, /main -> main \(atomic push: refs\/heads\/locked was refused upstream\)/);
    assert.equal(await upstream.repositories.ref('hooked', 'refs/heads/main'), base);
    assert.equal(await upstream.repositories.ref('hooked', 'refs/heads/locked'), undefined);
    assert.match((await journal('hooked')).at(-1) ?? '', /refused .*upstream: hook declined.*\(to ssh:/);
    putHook(upstream.repositories, 'hooked', 'pre-receive', 'echo "closed for the weekend"; exit 1');
    const closed = await clone.git('push', 'origin', 'main');
    assert.match(closed.stderr, /remote: upstream: closed for the weekend/);
    assert.match(closed.stderr, /main -> main \(upstream: pre-receive hook declined\)/);
    await assertSame('hooked');
  });

  test("somebody's commit upstream between a client's question and its push is never lost, forced or not", async () => {
    await mirror('moved');
    const clone = await cloneOf(site, 'moved');
    await clone.commit('next');
    const path = upstream.repositories.path('moved');
    // git asks this hook when it has read the refs, before it sends anything.
    const commit = `git --git-dir=${path} commit-tree -p main -m human "main^{tree}"`;
    const hook = `unset GIT_DIR; git --git-dir=${path} update-ref refs/heads/main $(${commit})`;
    writeFileSync(join(clone.tree, '.git/hooks/pre-push'), `#!/bin/sh\n${hook}\n`, { mode: 0o755 });
    const { code, stderr } = await clone.git('push', '-f', 'origin', 'main', 'main:other');
    assert.equal(code, 1);
    assert.match(stderr, /main -> main \(fetch first: the upstream's refs\/heads\/main moved\)/);
    const human = await upstream.repositories.git(['-C', path, 'log', '-1', '--format=%s', 'main']);
    assert.equal(human, 'human');
    assert.equal(await upstream.repositories.ref('moved', 'refs/heads/other'), undefined);
    rmSync(join(clone.tree, '.git/hooks/pre-push'));
    assert.match((await clone.git('push', 'origin', 'main')).stderr, /fetch first|non-fast-forward/);
    await clone.ok('pull', '-q', '--rebase', 'origin', 'main');
    assert.equal((await clone.git('push', 'origin', 'main')).code, 0);
    await assertSame('moved');
  });

  test('an upstream without atomic takes one ref at a time, and parts where the mirror says so', async () => {
    await mirror('loose');
    await upstream.repositories.git([
      '-C',
      upstream.repositories.path('loose'),
      'config',
      'receive.advertiseAtomic',
      'false',
    ]);
    putHook(upstream.repositories, 'loose', 'update', 'test "$1" != refs/heads/locked');
    const clone = await cloneOf(site, 'loose');
    const next = await clone.commit('next');
    const refused = await clone.git('push', 'origin', 'main', 'main:b');
    assert.match(refused.stderr, /all or nothing: push one ref at a time, or let the mirror take partial pushes/);
    assert.equal(await upstream.repositories.ref('loose', 'refs/heads/b'), undefined);
    await sshOk(site.admin, site.gate, ['mirror', 'set', 'loose', '--allow-partial']);
    const part = await clone.git('push', 'origin', 'main', 'main:locked');
    assert.match(part.stderr, /main -> locked \(upstream: hook declined\)/);
    assert.equal(await upstream.repositories.ref('loose', 'refs/heads/main'), next);
    await assertSame('loose');
  });

  test('an upstream that dies while it decides leaves the client with a plain "nobody knows", and the next fetch knows', async () => {
    const base = await mirror('dying');
    putHook(upstream.repositories, 'dying', 'pre-receive', 'kill -9 $PPID');
    const clone = await cloneOf(site, 'dying');
    await clone.commit('next');
    const { code, stderr } = await clone.git('push', 'origin', 'main');
    assert.equal(code, 1);
    assert.match(stderr, /the upstream did not say whether it took this: fetch and look/);
    await clone.ok('fetch', '-q', 'origin');
    assert.equal(await clone.ok('rev-parse', 'origin/main'), base);
    assert.match((await journal('dying')).join('\n'), /recover.*never reached the upstream/);
    rmSync(join(upstream.repositories.path('dying'), 'hooks/pre-receive'));
    assert.equal((await clone.git('push', 'origin', 'main')).code, 0);
    await assertSame('dying');
  });

  test('an upstream that dies behind its own commit is asked, and the push stands', async () => {
    await mirror('died');
    putHook(upstream.repositories, 'died', 'reference-transaction', 'if test "$1" = committed; then kill -9 $PPID; fi');
    const clone = await cloneOf(site, 'died');
    const next = await clone.commit('next');
    const { code, stderr } = await clone.git('push', 'origin', 'main');
    assert.equal(code, 0, stderr);
    assert.equal(await upstream.repositories.ref('died', 'refs/heads/main'), next);
    await assertSame('died');
  });

  test('a gate killed while the upstream decides follows it after its start, whatever that decided', async () => {
    await mirror('waiting');
    const [at, go, took] = ['at', 'go', 'took'].map((name) => join(site.root, name));
    await expectRun('mkfifo', [`${at}`, `${go}`, `${took}`]);
    putHook(upstream.repositories, 'waiting', 'pre-receive', `echo >${at}; read x <${go}; exit 0`);
    putHook(upstream.repositories, 'waiting', 'reference-transaction', `test "$1" != committed || echo >${took}`);
    const clone = await cloneOf(site, 'waiting');
    const next = await clone.commit('next');
    const pushing = clone.git('push', 'origin', 'main');
    await run('cat', [`${at}`], { deadlineMs: 10_000 });
    await site.gate.kill();
    assert.notEqual((await pushing).code, 0);
    const taken = run('cat', [`${took}`], { deadlineMs: 10_000 });
    await run('sh', ['-c', `echo >${go}`], { deadlineMs: 10_000 });
    await taken;
    assert.equal(await upstream.repositories.ref('waiting', 'refs/heads/main'), next);
    await site.restart();
    await gitOk(site.admin, ['-C', clone.tree, 'remote', 'set-url', 'origin', url(site.gate, 'ssh', 'waiting')]);
    await assertSame('waiting');
    assert.match((await journal('waiting')).join('\n'), /recover .*forwarded before the gate stopped/);
    await clone.ok('fetch', '-q', 'origin');
    assert.equal(await clone.ok('rev-parse', 'origin/main'), next);
  });
});

describe('over https', { skip: noUpstream === false ? noHttpsUpstream() : noUpstream }, () => {
  let https: HttpsUpstream;

  before(async () => {
    https = await startHttpsUpstream(scope);
  });

  test('a push goes upstream with the token that the client never sees, refusals and words come back', async () => {
    const { repositories } = https;
    await repositories.create('web');
    await repositories.commit('web', 'refs/heads/main', { base: 'base\n' });
    putHook(repositories, 'web', 'update', 'echo "about $1"; test "$1" != refs/heads/locked');
    const authority = join(site.root, 'ca.pem');
    writeFileSync(authority, https.authority);
    const words = [
      '--data',
      site.gate.data,
      'mirror',
      'add',
      'web',
      https.url('web'),
      '--token',
      '-',
      '--ca',
      authority,
    ];
    await expectRun(PROGRAM, words, { env: site.admin.env, stdin: https.token });
    const clone = await cloneOf(site, 'web');
    const next = await clone.commit('next');
    const refused = await clone.git('push', 'origin', 'main', 'main:locked');
    assert.match(refused.stderr, /remote: upstream: about refs\/heads\/locked/);
    assert.match(refused.stderr, /main -> locked \(upstream: hook declined\)/);
    assert.equal(await repositories.ref('web', 'refs/heads/locked'), undefined);
    const pushed = await clone.git('push', 'origin', 'main', 'main:side');
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.equal(await repositories.ref('web', 'refs/heads/side'), next);
    assert.equal((await clone.git('push', 'origin', ':side')).code, 0);
    assert.equal(await repositories.ref('web', 'refs/heads/side'), undefined);
    const config = await git(site.admin, ['config', '--list'], clone.tree);
    assert.ok(![refused, pushed, config].some(({ stderr, stdout }) => `${stderr}${stdout}`.includes(https.token)));
  });
});
