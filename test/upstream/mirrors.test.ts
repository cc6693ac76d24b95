/** Refreshes against an upstream that does at each moment what the test wants: races, hostile packs, changes meanwhile. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { parseOid, zeroOid, type Oid } from '../../src/git/oid.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import { parseRefname, type Refname } from '../../src/git/refname.ts';
import { DEFAULT_RECEIVE_LIMITS } from '../../src/receive/limits.ts';
import { parseRepositoryName } from '../../src/repository/name.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { MirrorDesk } from '../../src/upstream/declare.ts';
import { Mirrors, type Doing, type RefreshOutcome } from '../../src/upstream/mirrors.ts';
import { DEFAULT_REFS } from '../../src/upstream/ref-plan.ts';
import { parseUpstreamUrl } from '../../src/upstream/upstream-url.ts';
import { keyFile } from '../../src/upstream/vault-keys.ts';
import { Vault } from '../../src/upstream/vault.ts';
import type { PushAsked, Remote, RemotePush, RemoteRefs } from '../../src/upstream/wire/remote.ts';
import { commitFile, git, gitOk, GIT_ENV, openSite, PRINCIPAL, type Site } from '../receive/site.ts';

const DOING: Doing = { requestId: 'request-1', signal: new AbortController().signal };

/** A repository of its own as the upstream, asked without a wire. */
class Upstream {
  readonly path: string;
  readonly counts = { lsRefs: 0, fetches: 0 };
  /** Called when the question has come and before it is answered, and the same before a pack. */
  onAsked: () => Promise<void> = () => Promise.resolve();
  onFetch: () => Promise<void> = () => Promise.resolve();
  readonly pushes: PushAsked[] = [];
  onPush: () => Promise<RemotePush> = () => Promise.reject(new Fault('upstream', 'takes none'));
  /** What is sent in place of a pack. */
  instead: Buffer | undefined;
  objectFormat: 'sha1' | 'sha256' = 'sha1';
  /** What is said to be there, in place of what is. */
  refs: ReadonlyMap<string, Oid> | undefined;

  constructor(path: string) {
    this.path = path;
  }

  async commit(branch: string): Promise<Oid> {
    await gitOk(this.path, 'checkout', '-q', '-B', branch);
    await commitFile(this.path, `${crypto.randomUUID()}.txt`);
    return this.oid(branch);
  }

  async oid(name: string): Promise<Oid> {
    return oidOf(await gitOk(this.path, 'rev-parse', name));
  }

  remote(): Remote {
    return {
      lsRefs: async () => {
        this.counts.lsRefs += 1;
        const refs = await this.#refs();
        await this.onAsked();
        return refs;
      },
      fetch: async ({ wants, haves }) => {
        this.counts.fetches += 1;
        await this.onFetch();
        if (this.instead !== undefined) return chunksOf(this.instead);
        const git = spawn('git', ['pack-objects', '--revs', '--stdout', '--thin', '-q'], {
          cwd: this.path,
          env: GIT_ENV,
        });
        const known: Oid[] = [];
        for (const have of haves) if ((await gitCode(this.path, 'cat-file', '-e', have)) === 0) known.push(have);
        git.stdin.end([...wants, '--not', ...known].map((line) => `${line}\n`).join(''));
        return git.stdout as AsyncIterable<Uint8Array>;
      },
      push: async (asked) => {
        this.pushes.push(asked);
        return this.onPush();
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async #refs(): Promise<RemoteRefs> {
    if (this.refs !== undefined) return { refs: this.refs, head: undefined, objectFormat: this.objectFormat };
    const lines = await gitOk(this.path, 'for-each-ref', '--format=%(objectname) %(refname)');
    const refs = new Map(
      lines.split('\n').flatMap((line) => {
        const [oid, name] = line.split(' ');
        return oid !== undefined && name !== undefined ? [[name, oidOf(oid)] as const] : [];
      }),
    );
    return { refs, head: 'refs/heads/main', objectFormat: this.objectFormat };
  }
}

interface House {
  readonly site: Site;
  readonly mirrors: Mirrors;
  readonly desk: MirrorDesk;
  readonly upstream: Upstream;
  readonly mirror: Repository;
  readonly outcomes: RefreshOutcome[];
  readonly refresh: () => ReturnType<Mirrors['refresh']>;
  /** What the mirror has at `refname`. */
  readonly ref: (refname: string) => Promise<string>;
  /** The gate's own change, as a push that was taken upstream ends. */
  readonly push: (update: { readonly refname: string; readonly oldOid: Oid; readonly newOid: Oid }) => Promise<string>;
}

async function open(
  t: TestContext,
  options: { readonly freshMs?: number; readonly clock?: Clock } = {},
): Promise<House> {
  const site = await openSite(t);
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-upstream-'));
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
  await gitOk(path, 'init', '-q', '-b', 'main');
  const upstream = new Upstream(path);
  await upstream.commit('main');
  const { store, catalogue, processes, receive } = site;
  const clock = options.clock ?? systemClock;
  const vault = await Vault.open({ store, clock, keys: keyFile(join(site.root, 'vault.key')) });
  const outcomes: RefreshOutcome[] = [];
  const createRemote = (): Remote => upstream.remote();
  const mirrors = await Mirrors.open({
    store,
    clock,
    vault,
    catalogue,
    processes,
    createRemote,
    refs: new RefCache({ processes, clock }),
    limits: { ...DEFAULT_RECEIVE_LIMITS, idleMs: 2_000 },
    log: { info: () => {}, warn: () => {} },
    metrics: { mirrorRefresh: (outcome) => void outcomes.push(outcome) },
    commit: (own) => receive.commit(own),
    pointHead: (repository, branch) => catalogue.setSetting(repository, 'default-branch', branch),
  });
  t.after(() => mirrors.close());
  const exclusively: MirrorDeskExclusively = (id, task) => receive.exclusively(id, task);
  const desk = new MirrorDesk({ mirrors, store, clock, vault, catalogue, createRemote, exclusively });
  const added = await desk.add({ ...declared(options.freshMs ?? 0), name: nameOf('mirrored'), owner: 'alice' }, DOING);
  assert.ok(added.kind === 'ok', JSON.stringify(added));
  const mirror = added.value.repository;
  return {
    site,
    mirrors,
    desk,
    upstream,
    mirror,
    outcomes,
    refresh: () => mirrors.refresh(mirror, DOING),
    ref: (refname) => gitOk(mirror.path, 'for-each-ref', '--format=%(objectname)', refname),
    push: async ({ refname, ...oids }) => {
      const updates = [{ refname: refnameOf(refname), ...oids }];
      return (await receive.commit({ repository: mirror, principal: PRINCIPAL, updates })).kind;
    },
  };
}

type MirrorDeskExclusively = ConstructorParameters<typeof MirrorDesk>[0]['exclusively'];

function declared(freshMs: number) {
  const url = parseUpstreamUrl('https://git.example/org/api');
  assert.ok(url.kind === 'ok');
  return {
    url: url.value,
    hostKeys: [],
    authorities: undefined,
    credential: undefined,
    freshMs,
    refs: DEFAULT_REFS,
    takesPushes: true,
    allowsPartialPushes: false,
  };
}

function nameOf(text: string) {
  const name = parseRepositoryName(text);
  assert.ok(name.kind === 'ok');
  return name.value;
}

function refnameOf(text: string): Refname {
  const refname = parseRefname(text);
  assert.ok(refname);
  return refname;
}

function oidOf(text: string): Oid {
  const oid = parseOid(text, 'sha1');
  assert.ok(oid, text);
  return oid;
}

async function gitCode(cwd: string, ...args: readonly string[]): Promise<number> {
  return (await git(cwd, ...args)).code;
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test('an unchanged upstream costs one question, no pack and no git process', async (t) => {
  const { site, upstream, refresh, outcomes } = await open(t);
  await refresh();
  const [{ started }, asked] = [site.processes, { ...upstream.counts }];
  for (let round = 0; round < 5; round += 1) await refresh();
  assert.equal(site.processes.started, started);
  assert.deepEqual(upstream.counts, { ...asked, lsRefs: asked.lsRefs + 5 });
  assert.deepEqual(
    outcomes.slice(-5),
    Array.from({ length: 5 }, () => 'unchanged'),
  );
});

test('fifty at once ask once, and take the objects once', async (t) => {
  const { upstream, refresh, ref } = await open(t);
  const oid = await upstream.commit('main');
  const before = { ...upstream.counts };
  await Promise.all(Array.from({ length: 50 }, refresh));
  assert.deepEqual(upstream.counts, { lsRefs: before.lsRefs + 1, fetches: before.fetches + 1 });
  assert.equal(await ref('refs/heads/main'), oid);
});

test('who comes while the upstream is being asked gets what the upstream has after that', async (t) => {
  const { upstream, refresh, ref } = await open(t);
  const answered = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  upstream.onAsked = async () => {
    asked.resolve(undefined);
    await answered.promise;
  };
  const first = refresh();
  await asked.promise;
  const oid = await upstream.commit('main'); // the first question was answered before
  const later = Array.from({ length: 20 }, refresh);
  answered.resolve(undefined);
  await first;
  const before = upstream.counts.lsRefs;
  await Promise.all(later);
  assert.equal(await ref('refs/heads/main'), oid);
  assert.ok(upstream.counts.lsRefs - before <= 1, 'all of them share one question');
});

test('a push that is committed while the upstream answers is not undone by the answer', async (t) => {
  const { upstream, refresh, ref, push } = await open(t);
  const old = oidOf(await ref('refs/heads/main'));
  const moved = await upstream.commit('main');
  await refresh();
  await gitOk(upstream.path, 'reset', '-q', '--hard', old);
  await refresh();
  // The upstream answers with the old state; then a push goes upstream and is committed here; then the answer is used.
  upstream.onAsked = async () => {
    upstream.onAsked = () => Promise.resolve();
    await gitOk(upstream.path, 'reset', '-q', '--hard', moved);
    assert.equal(await push({ refname: 'refs/heads/main', oldOid: old, newOid: moved }), 'committed');
    await gitOk(upstream.path, 'update-ref', 'refs/heads/pushed', moved);
    assert.equal(await push({ refname: 'refs/heads/pushed', oldOid: zeroOid('sha1'), newOid: moved }), 'committed');
  };
  await refresh();
  assert.equal(await ref('refs/heads/main'), moved);
  assert.equal(await ref('refs/heads/pushed'), moved, 'nor is a branch that the answer does not know deleted');
});

test('a push between question and write makes the refresh look again', async (t) => {
  const { upstream, refresh, ref, push } = await open(t);
  const old = oidOf(await ref('refs/heads/main'));
  const theirs = await upstream.commit('main');
  const before = upstream.counts.lsRefs;
  upstream.onFetch = async () => {
    upstream.onFetch = () => Promise.resolve();
    assert.equal(
      await push({ refname: 'refs/heads/main', oldOid: old, newOid: zeroOid('sha1') }),
      'refused',
      'HEAD stays',
    );
    assert.equal(await push({ refname: 'refs/heads/mine', oldOid: zeroOid('sha1'), newOid: old }), 'committed');
    await gitOk(upstream.path, 'update-ref', 'refs/heads/mine', theirs);
  };
  await upstream.commit('side');
  await gitOk(upstream.path, 'update-ref', 'refs/heads/mine', theirs);
  await refresh();
  assert.equal(upstream.counts.lsRefs, before + 2);
  assert.equal(await ref('refs/heads/mine'), theirs);
  assert.equal(await ref('refs/heads/main'), theirs);
});

test('within the bound nobody is asked; invalidate ends it, also while an older answer is on its way', async (t) => {
  let now = 0;
  let wall = Date.now();
  const clock: Clock = { ...systemClock, monotonicMs: () => now, now: () => wall };
  const { upstream, refresh, mirrors, mirror, outcomes } = await open(t, { freshMs: 1_000, clock });
  let before = upstream.counts.lsRefs;
  now = 999;
  await refresh();
  assert.equal(upstream.counts.lsRefs, before);
  assert.equal(outcomes.at(-1), 'fresh');
  now = 1_000;
  await refresh();
  assert.equal(upstream.counts.lsRefs, before + 1);
  for (const jumped of [1_000, -3_000]) {
    wall += jumped;
    const asked = upstream.counts.lsRefs;
    await refresh();
    assert.equal(upstream.counts.lsRefs, asked + 1, 'a machine that slept, a clock that was set back');
  }
  before += 2;
  mirrors.invalidate(mirror.id);
  upstream.onAsked = async () => {
    upstream.onAsked = () => Promise.resolve();
    mirrors.invalidate(mirror.id);
  };
  await refresh();
  assert.equal(upstream.counts.lsRefs, before + 2);
  await refresh();
  assert.equal(upstream.counts.lsRefs, before + 3, 'the answer is older than the word that it is stale');
  await refresh();
  assert.equal(upstream.counts.lsRefs, before + 3);
});

test('an upstream that fails makes clients fail with its reason, and is asked again each time', async (t) => {
  const { upstream, refresh, mirrors, mirror, outcomes } = await open(t);
  upstream.onAsked = () => Promise.reject(new Fault('upstream', 'down', { publicMessage: 'maintenance until noon' }));
  for (let round = 0; round < 2; round += 1) {
    const thrown = await refresh().catch((error: unknown) => error);
    assert.ok(thrown instanceof Fault && thrown.code === 'upstream');
    assert.equal(
      thrown.publicMessage,
      'refusing to serve stale data: the upstream https://git.example/org/api: maintenance until noon',
    );
  }
  assert.equal(outcomes.at(-1), 'failed');
  assert.equal((await mirrors.show(mirror.id))?.state.failure, 'maintenance until noon');
  upstream.onAsked = () => Promise.resolve();
  await refresh();
  assert.equal((await mirrors.show(mirror.id))?.state.failure, undefined);
});

test('after a refresh that failed nothing is fresh, however long the bound', async (t) => {
  const { upstream, mirrors, mirror, refresh } = await open(t, { freshMs: 3_600_000 });
  await refresh();
  const { lsRefs } = upstream.counts;
  await refresh();
  assert.equal(upstream.counts.lsRefs, lsRefs, 'within the bound');
  upstream.onAsked = () => Promise.reject(new Fault('upstream', 'down', { publicMessage: 'it is down' }));
  await assert.rejects(mirrors.refresh(mirror, { ...DOING, force: true }), /cannot be refreshed/);
  await assert.rejects(refresh(), /cannot be refreshed/);
  upstream.onAsked = () => Promise.resolve();
  await refresh();
  assert.equal(upstream.counts.lsRefs, lsRefs + 3);
});

test('what went wrong inside is not told to clients', async (t) => {
  const { upstream, refresh } = await open(t);
  upstream.onAsked = () => Promise.reject(new Error('a secret of ours'));
  const thrown = await refresh().catch((error: unknown) => error);
  assert.ok(thrown instanceof Fault);
  assert.match(thrown.publicMessage ?? '', /internal error \(request request-1\)$/);
});

test('a hostile upstream changes nothing: no pack, half a pack, another pack, silence', async (t) => {
  const { upstream, refresh, ref, mirror } = await open(t);
  const old = await ref('refs/heads/main');
  const whole = await packOf(upstream.path, await upstream.oid('main'));
  await upstream.commit('main');
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from('not a pack at all'),
    whole.subarray(0, 40),
    whole,
    Buffer.alloc(1 << 20),
  ]) {
    upstream.instead = bytes;
    await assert.rejects(refresh(), (error) => error instanceof Fault && error.code === 'upstream');
    assert.equal(await ref('refs/heads/main'), old);
  }
  upstream.instead = undefined;
  upstream.objectFormat = 'sha256';
  await assert.rejects(refresh(), /cannot be refreshed/);
  upstream.objectFormat = 'sha1';
  assert.deepEqual(readdirSync(join(mirror.path, 'gatehouse', 'incoming')), [], 'no quarantine is left');
  await refresh();
  assert.equal(await ref('refs/heads/main'), await upstream.oid('main'));
});

function packOf(path: string, oid: Oid): Promise<Buffer> {
  return new Promise((resolve) => {
    const git = spawn('git', ['pack-objects', '--revs', '--stdout', '-q'], { cwd: path, env: GIT_ENV });
    const chunks: Buffer[] = [];
    git.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    git.on('close', () => {
      resolve(Buffer.concat(chunks));
    });
    git.stdin.end(`${oid}\n`);
  });
}

test('more refs than a mirror may have are refused before anything is fetched', async (t) => {
  const { upstream, refresh } = await open(t);
  const oid = await upstream.oid('main');
  const names = Array.from({ length: BOUNDS.mirrorRefsMax + 1 }, (_, index) => [`refs/tags/${index}`, oid] as const);
  upstream.refs = new Map(names);
  const before = upstream.counts.fetches;
  const thrown = await refresh().catch((error: unknown) => error);
  assert.match(thrown instanceof Fault ? (thrown.publicMessage ?? '') : '', /it has 500001 refs there; at most 500000/);
  assert.equal(upstream.counts.fetches, before);
});

test('a refresh that nobody waits for any more ends and leaves nothing', async (t) => {
  const { upstream, mirrors, mirror, ref } = await open(t);
  const old = await ref('refs/heads/main');
  const gone = new AbortController();
  await upstream.commit('main');
  upstream.onFetch = async () => {
    gone.abort();
  };
  await assert.rejects(mirrors.refresh(mirror, { requestId: 'r', signal: gone.signal }), { code: 'aborted' });
  upstream.onFetch = () => Promise.resolve();
  await mirrors.close(); // waits for nothing that would hang
  assert.equal(await ref('refs/heads/main'), old);
});

test('a mirror that is removed while it is refreshed is not written any more', async (t) => {
  const { upstream, mirrors, mirror, refresh, ref, site } = await open(t);
  const old = await ref('refs/heads/main');
  await upstream.commit('main');
  upstream.onFetch = () => site.receive.exclusively(mirror.id, () => mirrors.forget(mirror.id));
  await assert.rejects(refresh(), /mirror changed/);
  assert.equal(mirrors.isMirror(mirror.id), false);
  assert.equal(await ref('refs/heads/main'), old);
  assert.equal((await site.store.list('mirror')).length, 0);
});

test('a check says what the upstream has and whether it would take a push, and sends nothing', async (t) => {
  const { upstream, desk, mirror, site } = await open(t);
  const before = await site.store.get('repository-state', mirror.id);
  upstream.onPush = async () => ({ kind: 'refused', why: 'lease', reason: 'refs/heads/gatehouse-check is not there' });
  const good = await desk.check(mirror, DOING);
  assert.deepEqual(
    [good.refs, good.head, good.objectFormat, good.pushProblem],
    [1, 'refs/heads/main', 'sha1', undefined],
  );
  const [asked] = upstream.pushes;
  assert.ok(
    asked?.updates.every(({ oldOid, newOid }) => /^e+$/.test(oldOid) && /^0+$/.test(newOid)),
    'a lease that cannot hold',
  );
  upstream.onPush = () => Promise.reject(new Fault('upstream', 'no', { publicMessage: 'this key is read-only' }));
  assert.equal((await desk.check(mirror, DOING)).pushProblem, 'this key is read-only');
  upstream.onPush = async () => ({ kind: 'refused', why: 'ability', reason: 'no receive-pack' });
  assert.equal((await desk.check(mirror, DOING)).pushProblem, 'no receive-pack');
  assert.deepEqual(await site.store.get('repository-state', mirror.id), before);
});

test('the journal says of a refresh that it is one, and for which request', async (t) => {
  const { upstream, refresh, site } = await open(t);
  const oid = await upstream.commit('topic');
  await refresh();
  const line = (await site.journalLines()).at(-1);
  assert.deepEqual(
    [line?.event, line?.principal, line?.request, line?.repository, line?.refs?.[0]?.name, line?.refs?.[0]?.new],
    ['refresh', 'gatehouse', 'request-1', 'mirrored', 'refs/heads/topic', oid],
  );
});

test('mirrors and what is known of them are there again after a start; those without a repository go', async (t) => {
  const { site, mirror, refresh, mirrors, upstream } = await open(t);
  upstream.onAsked = () => Promise.reject(new Fault('upstream', 'down', { publicMessage: 'it is down' }));
  await refresh().catch(() => {});
  await mirrors.close();
  const { store, catalogue, processes, receive } = site;
  const again = (): Promise<Mirrors> =>
    Mirrors.open({
      store,
      catalogue,
      processes,
      clock: systemClock,
      vault: undefined as never, // nothing is opened
      createRemote: () => upstream.remote(),
      refs: new RefCache({ processes }),
      limits: DEFAULT_RECEIVE_LIMITS,
      log: { info: () => {}, warn: () => {} },
      metrics: { mirrorRefresh: () => {} },
      commit: (own) => receive.commit(own),
      pointHead: () => Promise.reject(new Error('not asked')),
    });
  const opened = await again();
  assert.equal(opened.isMirror(mirror.id), true);
  assert.equal((await opened.show(mirror.id))?.state.failure, 'it is down');
  await catalogue.destroy(mirror);
  assert.equal((await again()).isMirror(mirror.id), true, 'it may come back from the graveyard');
  await catalogue.purge(mirror.id);
  assert.equal((await again()).isMirror(mirror.id), false);
  assert.equal((await store.list('mirror')).length, 0);
});
