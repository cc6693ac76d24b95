/** Identical fetches share one making, and a kept pack gives nobody what they may not have. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { onLength } from '../../src/git/stream.ts';
import { BlockShelf } from '../../src/upload/blocks.ts';
import { MadePack, type Room } from '../../src/upload/made-pack.ts';
import { HandClock } from '../support/hand-clock.ts';
import { workspace } from '../support/workspace.ts';
import { conversationOf, House, type HouseOptions, pkts } from './house.ts';

const KEEPING: HouseOptions = { packCache: { bytesMax: 64 * 1024 * 1024, keepMs: 60_000 } };

/** A repository with some history; its work tree. */
async function fill(house: House, name: string, bytes = 1_000): Promise<string> {
  const { path } = await house.create(name);
  const work = join(house.directory, `${name}-work`);
  await house.git(['init', '-q', '-b', 'main', work]);
  for (let index = 0; index < 3; index += 1) {
    writeFileSync(join(work, `file-${index}`), randomBytes(bytes));
    await house.git(['add', '-A'], work);
    await house.git(['commit', '-q', '-m', `change ${index}`], work);
  }
  await house.git(['push', '-q', path, 'main'], work);
  return work;
}

async function clone(house: House, url: string, target: string, options: readonly string[] = []): Promise<string> {
  const tree = join(house.directory, target);
  await house.git(['clone', '-q', '--bare', ...options, url, tree]);
  await house.git(['fsck', '--strict'], tree);
  return house.git(['for-each-ref'], tree);
}

async function opened(
  t: TestContext,
  options = KEEPING,
  bytes?: number,
): Promise<{ house: House; url: string; work: string }> {
  const house = await House.open(t, options);
  const work = await fill(house, 'lab', bytes);
  return { house, url: `${await house.openGit(t)}/lab`, work };
}

test('a second clone is served from what the first one left, by another transport too', async (t) => {
  const { house, url } = await opened(t);
  const first = await clone(house, url, 'one');
  const started = house.processes.started;
  assert.equal(await clone(house, url, 'two'), first);
  assert.equal(await clone(house, `${await house.openHttp(t)}/lab`, 'three'), first);
  assert.equal(house.processes.started, started, 'no process');
  assert.deepEqual(house.asked, { hit: 2, joined: 0, miss: 1 });
});

test('clones at the same time share one making, of a pack larger than what stays in memory', async (t) => {
  const { house, url } = await opened(t, KEEPING, 3_000_000);
  await Promise.all(Array.from({ length: 8 }, (_, index) => clone(house, url, `at-once-${index}`)));
  assert.equal(house.asked.miss, 1);
  assert.equal(house.asked.hit + house.asked.joined, 7);
});

test('shallow clones, filters and later fetches are kept apart', async (t) => {
  const { house, url, work } = await opened(t);
  for (const [index, options] of [['--depth=1'], ['--filter=blob:none'], []].entries()) {
    await clone(house, url, `kind-${index}`, options);
  }
  assert.equal(house.asked.hit, 0);
  await house.git(['commit', '-q', '--allow-empty', '-m', 'later'], work);
  await house.git(['push', '-q', house.repository('lab').path, 'main'], work);
  assert.match(await clone(house, url, 'later'), new RegExp(await house.git(['rev-parse', 'main'], work)));
});

test('a tag that is put on an old commit comes with the next clone', async (t) => {
  const { house, url, work } = await opened(t);
  await clone(house, url, 'before', ['--single-branch']);
  await house.git(['tag', '-a', '-m', 'one', 'v1', 'HEAD~1'], work);
  await house.git(['push', '-q', house.repository('lab').path, 'v1'], work);
  assert.match(await clone(house, url, 'behind', ['--single-branch']), /refs\/tags\/v1/);
});

test('who may not read a branch is refused what another just fetched', async (t) => {
  const { house, url, work } = await opened(t);
  await house.git(['checkout', '-q', '-b', 'secret'], work);
  await house.git(['commit', '-q', '--allow-empty', '-m', 'secret'], work);
  await house.git(['push', '-q', house.repository('lab').path, 'secret'], work);
  await clone(house, url, 'all');
  const oid = await house.git(['rev-parse', 'secret'], work);
  house.mayRead = (refname) => refname === 'refs/heads/main';
  const words = pkts('command=fetch', 'object-format=sha1', '0001', `want ${oid}`, 'done', '0000');
  const asked = await house.say(words, { name: 'lab', mode: 'rpc' });
  assert.match(asked.output.toString('latin1'), /ERR upload-pack: not our ref/);
  assert.doesNotMatch(await clone(house, url, 'some'), /secret/);
});

test('a fetch that does not fit is served, and nothing of it stays', async (t) => {
  const { house, url } = await opened(t, { packCache: { bytesMax: 100_000, keepMs: 60_000 } }, 400_000);
  const first = await clone(house, url, 'one');
  assert.equal(await clone(house, url, 'two'), first);
  assert.deepEqual(house.asked, { hit: 0, joined: 0, miss: 2 });
});

test('a fetch that needs more than half of the room is not kept, and costs no other its place', async (t) => {
  // Of random bytes that do not compress: packs of some 300 and 1,200 kB.
  const { house, url } = await opened(t, { packCache: { bytesMax: 2_000_000, keepMs: 60_000 } }, 100_000);
  await fill(house, 'large', 400_000);
  const large = url.replace(/lab$/, 'large');
  const small = await clone(house, url, 'one');
  await clone(house, large, 'two');
  await clone(house, large, 'three');
  assert.deepEqual(house.asked, { hit: 0, joined: 0, miss: 3 });
  assert.equal(await clone(house, url, 'four'), small);
  assert.deepEqual(house.asked, { hit: 1, joined: 0, miss: 3 });
});

test('without a place for files, fetches are served as ever', async (t) => {
  const { house, url } = await opened(t, KEEPING, 400_000);
  rmSync(join(house.directory, 'packs'), { recursive: true });
  await clone(house, url, 'one');
  assert.deepEqual(
    await Promise.all([clone(house, url, 'two'), clone(house, url, 'three')]).then((refs) => refs.length),
    2,
  );
});

test('a making that fails is told to its client and not kept', async (t) => {
  const { house, url, work } = await opened(t);
  const blob = await house.git(['rev-parse', 'HEAD:file-0'], work);
  // A small push leaves loose objects.
  const loose = join(house.repository('lab').path, 'objects', blob.slice(0, 2), blob.slice(2));
  renameSync(loose, `${loose}-aside`);
  const failed = await house.tryGit(['clone', '-q', url, join(house.directory, 'broken')]);
  assert.notEqual(failed.code, 0);
  assert.match(
    failed.stderr,
    /remote: (?:aborting due to possible repository corruption|the server could not complete this)/,
  );
  renameSync(`${loose}-aside`, loose);
  await clone(house, url, 'mended');
  assert.deepEqual(house.asked, { hit: 0, joined: 0, miss: 2 });
});

test('a kept pack that the disk lost a part of is not served to its end, and made anew for the next', async (t) => {
  const clock = new HandClock();
  const { house, url } = await opened(t, { ...KEEPING, clock }, 400_000);
  const whole = await clone(house, url, 'one');
  await truncateKept(house, 500_000);
  // Until then it is still in memory.
  clock.advance(10_000);
  const failed = await house.tryGit(['clone', '-q', '--bare', url, join(house.directory, 'torn')]);
  assert.notEqual(failed.code, 0);
  assert.equal(await clone(house, url, 'mended'), whole);
  assert.deepEqual(house.asked, { hit: 1, joined: 0, miss: 2 });
});

test('the length of an answer is announced where it is at hand and whole, and only there', async (t) => {
  const clock = new HandClock();
  const { house } = await opened(t, { ...KEEPING, clock }, 400_000);
  const oid = await house.git(['rev-parse', 'HEAD'], house.repository('lab').path);
  const ask = async (): Promise<{ announced: number | undefined; written: number }> => {
    let announced: number | undefined;
    let written = 0;
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        written += chunk.length;
        done();
      },
    });
    onLength(output, (bytes) => {
      assert.equal(written, 0, 'before the first byte');
      announced = bytes;
    });
    const input = Readable.from(
      [pkts('command=fetch', 'object-format=sha1', '0001', 'no-progress', `want ${oid}`, 'done', '0000')],
      { objectMode: false },
    );
    await house.serve(conversationOf({ input, output, mode: 'rpc' }), { name: 'lab', service: 'upload-pack' });
    return { announced, written };
  };
  const first = await ask();
  assert.equal(first.announced, undefined);
  assert.deepEqual(await ask(), { announced: first.written, written: first.written });
  await truncateKept(house, 500_000);
  clock.advance(10_000);
  const torn = await ask();
  assert.equal(torn.announced, first.written);
  assert.ok(torn.written < first.written);
  assert.equal((await ask()).announced, undefined, 'made anew');
});

test('clients that read slowly, or leave in the middle, spoil nothing for the others', async (t) => {
  const { house } = await opened(t, KEEPING, 1_500_000);
  const url = await house.openGit(t);
  const oid = await house.git(['rev-parse', 'HEAD'], house.repository('lab').path);
  const fetchOnce = (paceMs: number, leaveAfter = Number.POSITIVE_INFINITY): Promise<string> =>
    rawFetch(new URL(url), { oid, paceMs, leaveAfter });
  const clean = await fetchOnce(0);
  const all = await Promise.all([
    ...Array.from({ length: 6 }, () => fetchOnce(0)),
    ...Array.from({ length: 4 }, (_, index) => fetchOnce(0, 400_000 * (index + 1))),
    ...Array.from({ length: 3 }, () => fetchOnce(1)),
  ]);
  assert.deepEqual(
    all.filter((digest) => digest !== 'left'),
    Array.from({ length: 9 }, () => clean),
  );
});

/** Cuts what is kept in files. */
async function truncateKept(house: House, bytes: number): Promise<void> {
  for (const fd of readdirSync('/proc/self/fd')) {
    const target = await readlink(`/proc/self/fd/${fd}`).catch(() => '');
    if (target.startsWith(join(house.directory, 'packs'))) truncateSync(`/proc/self/fd/${fd}`, bytes);
  }
}

/** A digest of the whole answer to a fetch, with a pause of `paceMs` before each piece is read. */
async function rawFetch(
  url: URL,
  { oid, paceMs, leaveAfter }: { readonly oid: string; readonly paceMs: number; readonly leaveAfter: number },
): Promise<string> {
  const socket = connect({ host: url.hostname, port: Number(url.port) });
  socket.write(pkts('git-upload-pack /lab\0host=localhost\0\0version=2\0'));
  socket.write(pkts('command=fetch', 'object-format=sha1', '0001', 'no-progress', `want ${oid}`, 'done', '0000'));
  const digest = createHash('sha256');
  let bytes = 0;
  let tail = '';
  for await (const piece of socket as AsyncIterable<Buffer>) {
    digest.update(piece);
    bytes += piece.length;
    tail = (tail + piece.toString('latin1')).slice(-4);
    if (bytes > leaveAfter) {
      socket.destroy();
      return 'left';
    }
    // The answer's last flush: an end of the pack looks like it by chance only.
    if (tail === '0000' && bytes > 4_500_000) break;
    if (paceMs > 0) await later(paceMs);
  }
  socket.destroy();
  return digest.digest('hex');
}

test('what nobody asks for again is let go', async (t) => {
  const clock = new HandClock();
  const { house, url } = await opened(t, { ...KEEPING, clock });
  await clone(house, url, 'one');
  clock.advance(60_001);
  await clone(house, url, 'two');
  assert.equal(house.asked.miss, 2);
});

const endless = new AbortController().signal;

function room(bytesMax: number): { take(bytes: number): boolean; giveBack(bytes: number): void; held: number } {
  return {
    held: 0,
    take(bytes) {
      if (this.held + bytes > bytesMax) return false;
      this.held += bytes;
      return true;
    },
    giveBack(bytes) {
      this.held -= bytes;
    },
  };
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

function emptyPack(t: TestContext, held: Room): MadePack {
  const directory = workspace(t);
  return new MadePack({ directory, room: held, name: 'a', shelf: new BlockShelf(), clock: systemClock });
}

test('a reader that rests keeps neither the maker nor another reader waiting', async (t) => {
  const held = room(10_000_000);
  const pack = emptyPack(t, held);
  const resting = pack.read({ signal: endless });
  const quick = collect(pack.read({ signal: endless }));
  const bytes = randomBytes(1_000_000);
  for (let at = 0; at < bytes.length; at += 50_000) await pack.add(bytes.subarray(at, at + 50_000));
  pack.finish();
  assert.ok((await quick).equals(bytes));
  assert.ok((await collect(resting)).equals(bytes), 'in its own time');
  assert.equal(held.held, bytes.length);
  await pack.close();
  assert.equal(held.held, 0);
});

test('where nothing more can be kept, all readers get the rest in step', async (t) => {
  const held = room(300_000);
  const pack = emptyPack(t, held);
  const readers = [collect(pack.read({ signal: endless })), collect(pack.read({ signal: endless }))];
  const bytes = randomBytes(1_000_000);
  for (let at = 0; at < bytes.length; at += 70_000) await pack.add(bytes.subarray(at, at + 70_000));
  pack.finish();
  for (const read of await Promise.all(readers)) assert.ok(read.equals(bytes));
  assert.equal(pack.isWhole, false);
  assert.equal(held.held, 0);
});

test('memory of the maker is given back only for what is in the file: neither what is kept in memory, nor what is passed on', async (t) => {
  const directory = workspace(t);
  const options = { directory, room: room(600_000), name: 'a', shelf: new BlockShelf(), clock: systemClock };
  const pack = new MadePack(options);
  const bytes = randomBytes(700_000);
  const reading = collect(pack.read({ signal: endless }));
  const taken: boolean[] = [];
  for (const [from, to] of [
    [0, 200_000],
    [200_000, 500_000],
    [500_000, 700_000],
  ] as const) {
    const own = Buffer.from(bytes.subarray(from, to));
    taken.push(await pack.add(own));
    if (taken.at(-1) === true) own.fill(0);
  }
  pack.finish();
  assert.ok((await reading).equals(bytes));
  assert.deepEqual(taken, [false, true, false]);
});

test('a disk that fills up in the middle ends the keeping, and every reader gets every byte', async (t) => {
  const held = room(10_000_000);
  const directory = workspace(t);
  const pack = new MadePack({ directory, room: held, name: 'a', shelf: new BlockShelf(), clock: systemClock });
  const full = await fullAfter(t, directory, 3);
  const readers = Array.from({ length: 3 }, () => collect(pack.read({ signal: endless, isExact: true })));
  const bytes = randomBytes(1_000_000);
  for (let at = 0; at < bytes.length; at += 100_000)
    await pack.add(bytes.subarray(at, at + 30_000), bytes.subarray(at + 30_000, at + 100_000));
  pack.finish();
  for (const read of await Promise.all(readers)) assert.ok(read.equals(bytes));
  assert.ok(full.refused > 0, 'the disk was full');
  assert.equal(pack.isWhole, false);
  assert.equal(held.held, 0);
});

/** From its `count`th write on, each to a file of this process finds no space, half of it already written. */
async function fullAfter(t: TestContext, directory: string, count: number): Promise<{ readonly refused: number }> {
  const handle = await open(join(directory, 'handle'), 'w');
  const prototype = Object.getPrototypeOf(handle) as Pick<FileHandle, 'writev'>;
  await handle.close();
  const original = prototype.writev;
  const state = { refused: 0 };
  let calls = 0;
  async function writev(this: FileHandle, ...args: Parameters<FileHandle['writev']>): ReturnType<FileHandle['writev']> {
    calls += 1;
    if (calls < count) return original.apply(this, args);
    state.refused += 1;
    await original.apply(this, [args[0].slice(0, 1), args[1]]);
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  }
  prototype.writev = writev as FileHandle['writev'];
  t.after(() => {
    prototype.writev = original;
  });
  return state;
}

test('a maker whose readers have all gone is told so, and a failed one tells its readers', async (t) => {
  const pack = new MadePack({
    directory: workspace(t),
    room: room(10),
    name: 'a',
    shelf: new BlockShelf(),
    clock: systemClock,
  });
  const gone = new AbortController();
  const reading = collect(pack.read({ signal: gone.signal }));
  const adding = pack.add(Buffer.alloc(100));
  gone.abort();
  await assert.rejects(reading, { code: 'aborted' });
  await adding.catch((error: unknown) => assert.ok(error instanceof Fault));
  await assert.rejects(pack.add(Buffer.alloc(100)), { code: 'aborted' });
  const failing = new MadePack({
    directory: workspace(t),
    room: room(1_000),
    name: 'b',
    shelf: new BlockShelf(),
    clock: systemClock,
  });
  const told = collect(failing.read({ signal: endless }));
  await failing.add(Buffer.alloc(10));
  failing.finish(new Fault('process', 'git failed'));
  await assert.rejects(told, { code: 'process' });
});
