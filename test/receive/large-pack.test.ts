/**
 * Packs that git takes, when places for work are few: how many are taken in at once, what a slow, a vanished or a lying client
 * costs others, and that nothing is left of any.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { GitProcesses } from '../../src/git/processes.ts';
import type { Conversation, WaitingFor, WorkGate } from '../../src/git/service.ts';
import type { Step } from '../../src/receive/step.ts';
import { Work, workLimits } from '../../src/request/work.ts';
import { principalNamed } from '../support/principals.ts';
import { pkt, readLines, ZERO } from './raw-client.ts';
import { commitFile, dial, git, GIT_ENV, gitOk, openSite, type Site, type SiteOptions } from './site.ts';
import { PktReader } from '../../src/git/pkt-line.ts';

const MIB = 1024 * 1024;
/** More than the gate takes in by itself. */
const LARGE_BYTES = 1.25 * MIB;
const PACK_BYTES_MAX = 2 * MIB;
/** Where clients stop: the gate has given the pack to git by then. */
const HALF_BYTES = 1.125 * MIB;

/** Counts index-packs, in all and at once; `begun` resolves with the next one. */
class Indexers {
  started = 0;
  most = 0;
  #running = 0;
  #waiting: (() => void)[] = [];

  wrap(processes: GitProcesses): GitProcesses {
    return {
      get started() {
        return processes.started;
      },
      close: () => processes.close(),
      start: async (spec) => {
        const child = await processes.start(spec);
        if (spec.subcommand === 'index-pack') {
          this.started += 1;
          this.#running += 1;
          this.most = Math.max(this.most, this.#running);
          const isOver = (): void => void (this.#running -= 1);
          child.exit.then(isOver, isOver);
          for (const begun of this.#waiting.splice(0)) begun();
        }
        return child;
      },
    };
  }

  begun(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

interface Ground {
  readonly site: Site;
  readonly work: Work;
  readonly indexers: Indexers;
  readonly tree: string;
  /** Resolves when the next conversation asks for a place that it has to wait for. */
  readonly nextWait: () => Promise<WaitingFor>;
}

interface GroundOptions extends Pick<SiteOptions, 'format'> {
  readonly places: number;
  /** False: git never reads along. */
  readonly readsAlong?: boolean;
  readonly placeWaitsMs?: number;
  readonly steps?: readonly Step[];
}

/** Whoever speaks Git's own protocol is eve, who comes over HTTP is ada. */
async function groundOf(t: TestContext, options: GroundOptions): Promise<Ground> {
  const { places, readsAlong = true, placeWaitsMs = 60_000, steps = [], ...rest } = options;
  const indexers = new Indexers();
  const work = new Work(systemClock, { ...workLimits(places), perRepositoryMax: places });
  const waiters: ((about: WaitingFor) => void)[] = [];
  const gateOf = ({ mode, requestId: id }: Conversation): WorkGate => {
    const principal = principalNamed(mode === 'stateful' ? 'eve' : 'ada');
    const gate = work.gate({ id, transport: 'http', address: 'x', principal }, 'r');
    const enter = (about: WaitingFor): Promise<Disposable> => {
      const entered = gate(about);
      for (const waiter of waiters.splice(0)) waiter(about);
      return entered;
    };
    return readsAlong && gate.ifFree !== undefined ? Object.assign(enter, { ifFree: gate.ifFree }) : enter;
  };
  const site = await openSite(t, {
    ...rest,
    parts: { steps, limits: { placeWaitsMs, keepAliveMs: 100, packBytesMax: PACK_BYTES_MAX } },
    work: gateOf,
    wrapProcesses: (processes) => indexers.wrap(processes),
  });
  const tree = await site.workTree();
  await gitOk(tree, 'config', 'core.compression', '0');
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.httpUrl, 'main');
  return { site, work, indexers, tree, nextWait: () => new Promise((resolve) => waiters.push(resolve)) };
}

/** Places of somebody else. */
async function takeAll({ work }: Ground, count = 1): Promise<Disposable> {
  using stack = new DisposableStack();
  for (let index = 0; index < count; index += 1) {
    const origin = { id: 'r', transport: 'local', address: 'x', principal: principalNamed(`other${index}`) } as const;
    stack.use(await work.gate(origin, `other${index}`)({ signal: new AbortController().signal }));
  }
  return stack.move();
}

async function largeCommit(tree: string, name: string, bytes = LARGE_BYTES): Promise<string> {
  await gitOk(tree, 'checkout', '-q', '-B', name, 'main');
  return commitFile(tree, name, randomBytes(bytes));
}

/** What pushing `name` on top of main says, split where its pack begins. */
async function wordsOf(tree: string, name: string): Promise<{ readonly head: Buffer; readonly pack: Buffer }> {
  const oid = await gitOk(tree, 'rev-parse', name);
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const child = spawn('git', ['pack-objects', '--revs', '--stdout', '-q'], { cwd: tree, env: GIT_ENV });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdout.on('end', () => resolve(Buffer.concat(chunks)));
  child.stdin.end(`${oid}\n^main\n`);
  const head = Buffer.concat([
    pkt(`${ZERO} ${oid} refs/heads/${name}\0report-status side-band-64k`),
    Buffer.from('0000'),
  ]);
  return { head, pack: await promise };
}

/** A client that has said `words`; what it is told is read by `answerOf`. */
async function says(
  site: Site,
  words: readonly Buffer[],
): Promise<{ readonly socket: Socket; readonly reader: PktReader }> {
  const socket = dial(site);
  await once(socket, 'connect');
  const reader = new PktReader(socket);
  await readLines(reader);
  for (const word of words) socket.write(word);
  return { socket, reader };
}

async function answerOf({ socket, reader }: Awaited<ReturnType<typeof says>>): Promise<string> {
  const lines = await readLines(reader);
  socket.destroy();
  return lines.join('\n');
}

async function assertClean({ site, work }: Ground): Promise<void> {
  assert.deepEqual(site.leftovers(), []);
  assert.deepEqual([work.running, work.waiting], [0, 0]);
  await gitOk(site.repository.path, 'fsck', '--strict');
}

for (const readsAlong of [true, false]) {
  test(
    `many large pushes of one user start no more index-packs than it has places (reads along: ${readsAlong})`,
    { timeout: 120_000 },
    async (t) => {
      const ground = await groundOf(t, { places: 2, readsAlong });
      const { site, indexers, tree } = ground;
      const names = Array.from({ length: 4 }, (_, index) => `large${index}`);
      for (const name of names) await largeCommit(tree, name);
      await Promise.all(
        names.map((name, index) => gitOk(tree, 'push', '-q', index < 2 ? site.httpUrl : site.gitUrl, name)),
      );
      assert.equal(indexers.started, names.length);
      assert.ok(indexers.most <= 2, `${indexers.most} at once`);
      const refs = await site.refs();
      for (const name of names) assert.match(refs, new RegExp(`refs/heads/${name}$`, 'm'));
      await assertClean(ground);
    },
  );
}

/** One place, a client that sent half of a pack, and another commit to push meanwhile. */
async function halfPushed(t: TestContext, placeWaitsMs: number) {
  const ground = await groundOf(t, { places: 1, placeWaitsMs });
  const { site, indexers, tree } = ground;
  await largeCommit(tree, 'slow');
  await largeCommit(tree, 'other');
  const { head, pack } = await wordsOf(tree, 'slow');
  const begun = indexers.begun();
  const ended = site.nextEnd();
  const slow = await says(site, [head, pack.subarray(0, HALF_BYTES)]);
  return { ground, slow, pack, begun, ended };
}

test(
  'a client that stops in the middle of a pack loses its place to others, and not its push',
  { timeout: 120_000 },
  async (t) => {
    const { ground, slow, pack, begun, ended } = await halfPushed(t, 20);
    const { site, indexers, tree } = ground;
    await begun;
    await gitOk(tree, 'push', '-q', site.httpUrl, 'other');
    assert.match(await site.refs(), /refs\/heads\/other$/m);
    slow.socket.write(pack.subarray(HALF_BYTES));
    assert.match(await answerOf(slow), /unpack ok/);
    await ended;
    assert.match(await site.refs(), /refs\/heads\/slow$/m);
    assert.ok(indexers.started >= 3, 'what was read along was begun anew');
    assert.equal(indexers.most, 1);
    await assertClean(ground);
  },
);

test('a client that drips loses its place as one that stops does', { timeout: 60_000 }, async (t) => {
  const { ground, slow, pack, begun, ended } = await halfPushed(t, 100);
  const { site, tree } = ground;
  let at = HALF_BYTES;
  const dripping = setInterval(() => slow.socket.write(pack.subarray(at, ++at)), 5);
  await begun;
  await gitOk(tree, 'push', '-q', site.httpUrl, 'other');
  clearInterval(dripping);
  slow.socket.write(pack.subarray(at));
  assert.match(await answerOf(slow), /unpack ok/);
  await ended;
  await assertClean(ground);
});

test('a crowd of clients that stop in the middle keep no git', { timeout: 120_000 }, async (t) => {
  const ground = await groundOf(t, { places: 2, placeWaitsMs: 1 });
  const { site, tree } = ground;
  await largeCommit(tree, 'slow');
  await largeCommit(tree, 'other');
  const { head, pack } = await wordsOf(tree, 'slow');
  const ends = Array.from({ length: 12 }, () => site.nextEnd());
  const slow = await Promise.all(ends.map(() => says(site, [head, pack.subarray(0, HALF_BYTES)])));
  await gitOk(tree, 'push', '-q', site.httpUrl, 'other');
  for (const { socket } of slow) socket.destroy();
  await Promise.all(ends);
  await assertClean(ground);
});

test('whose turn waits for somebody else holds no place meanwhile', { timeout: 120_000 }, async (t) => {
  const names: string[] = [];
  const second = Promise.withResolvers<void>();
  let held = 0;
  let places: Work | undefined;
  // As a mirror's upstream that takes its time: until somebody else was judged.
  const step: Step = {
    name: 'elsewhere',
    check: async ({ updates }) => {
      held = Math.max(held, places?.running ?? 0);
      if (names.push(...updates.map(({ refname }) => refname)) > 2) second.resolve();
      return [];
    },
    forward: async ({ updates }) => {
      if (updates.some(({ refname }) => refname === names[1])) await second.promise;
      return undefined;
    },
  };
  const ground = await groundOf(t, { places: 1, steps: [step] });
  places = ground.work;
  const { site, tree } = ground;
  for (const name of ['large', 'other']) await largeCommit(tree, name);
  await Promise.all(['large', 'other'].map((name) => gitOk(tree, 'push', '-q', site.httpUrl, name)));
  assert.equal(held, 1);
  assert.equal(names.length, 3);
  await assertClean(ground);
});

for (const door of ['http', 'git'] as const) {
  test(`who leaves while it waits for a place leaves nothing behind (${door})`, { timeout: 120_000 }, async (t) => {
    const ground = await groundOf(t, { places: 1 });
    const { site, work, indexers, tree, nextWait } = ground;
    await largeCommit(tree, 'large');
    using _ = await takeAll(ground);
    const waits = nextWait();
    // Over HTTP git asks for the refs, tries whether it may post, and posts.
    const ends = Array.from({ length: door === 'http' ? 3 : 1 }, () => site.nextEnd());
    const url = door === 'http' ? site.httpUrl : site.gitUrl;
    const client = spawn('git', ['push', '-q', url, 'large'], {
      cwd: tree,
      env: GIT_ENV,
      detached: true,
      stdio: 'ignore',
    });
    await waits;
    assert.equal(work.waiting, 1);
    process.kill(-(client.pid ?? 0), 'SIGKILL');
    await Promise.all(ends);
    assert.equal(work.waiting, 0);
    assert.equal(indexers.started, 0);
    assert.deepEqual(site.leftovers(), []);
  });
}

test('a gate that closes sends home who waits for a place, and who comes then', { timeout: 120_000 }, async (t) => {
  const ground = await groundOf(t, { places: 1 });
  const { site, work, indexers, tree, nextWait } = ground;
  await largeCommit(tree, 'large');
  using _ = await takeAll(ground);
  const waits = nextWait();
  const pushing = git(tree, 'push', site.httpUrl, 'large');
  await waits;
  work.close();
  for (const { code, stderr } of [await pushing, await git(tree, 'push', site.gitUrl, 'large')]) {
    assert.notEqual(code, 0);
    assert.match(stderr, /the server is shutting down: try again shortly/);
  }
  assert.equal(indexers.started, 0);
  assert.deepEqual(site.leftovers(), []);
});

test(
  'what is too large, cut off, corrupt or only looks whole is refused as it is without a wait',
  { timeout: 120_000 },
  async (t) => {
    for (const format of ['sha1', 'sha256'] as const) {
      const ground = await groundOf(t, { places: 1, readsAlong: false, format });
      const { site, indexers, tree } = ground;
      await largeCommit(tree, 'large');
      const zero = '0'.repeat(format === 'sha1' ? 40 : 64);
      const oid = await gitOk(tree, 'rev-parse', 'large');
      const words = await wordsOf(tree, 'large');
      const capabilities = `report-status side-band-64k object-format=${format}`;
      const head = Buffer.concat([pkt(`${zero} ${oid} refs/heads/large\0${capabilities}`), Buffer.from('0000')]);
      const { pack } = words;
      const half = pack.subarray(0, HALF_BYTES);
      const lying = Buffer.concat([half, createHash(format).update(half).digest()]);
      const corrupt = Buffer.from(pack);
      corrupt.writeUInt8(corrupt.readUInt8(1_000_000) ^ 1, 1_000_000);
      for (const [name, bytes, why] of [
        ['cut off', half, /unpack .*early EOF/],
        ['only looks whole', lying, /unpack /],
        ['corrupt', corrupt, /unpack /],
      ] as const) {
        const ended = site.nextEnd();
        const client = await says(site, [head, bytes]);
        // Who lies does not say that it is over: it looks as if it were.
        if (name === 'only looks whole') client.socket.write('');
        else client.socket.end();
        const answer = await answerOf(client);
        assert.match(answer, why, name);
        assert.doesNotMatch(answer, /unpack ok/, name);
        await ended;
        await assertClean(ground);
      }
      const before = indexers.started;
      await largeCommit(tree, 'huge', PACK_BYTES_MAX + 1);
      const { code, stderr } = await git(tree, 'push', site.httpUrl, 'huge');
      assert.notEqual(code, 0);
      assert.match(stderr, new RegExp(`the pack is larger than ${PACK_BYTES_MAX} bytes`));
      assert.equal(indexers.started, before, 'no git saw it');
      await assertClean(ground);
    }
  },
);
