/** Bundles: what is in them, who hears of them, and that nobody gets by one what a fetch would not give. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { ObjectFormat } from '../../src/git/oid.ts';
import { House, type HouseOptions, pkts, readPkts } from './house.ts';

const KEEPING: HouseOptions = { packCache: { bytesMax: 64 * 1024 * 1024, keepMs: 600_000 }, hasBundles: true };
const endless = new AbortController().signal;

interface Lab {
  readonly house: House;
  readonly work: string;
}

async function lab(t: TestContext, options: HouseOptions = KEEPING, format: ObjectFormat = 'sha1'): Promise<Lab> {
  const house = await House.open(t, options);
  await house.create('lab', format);
  const work = join(house.directory, 'work');
  await house.git(['init', '-q', '-b', 'main', `--object-format=${format}`, work]);
  await commit({ house, work }, 'one');
  await push({ house, work }, 'main');
  return { house, work };
}

async function commit({ house, work }: Lab, name: string, bytes = 2_000): Promise<string> {
  writeFileSync(join(work, name), randomBytes(bytes));
  await house.git(['add', '-A'], work);
  await house.git(['commit', '-q', '-m', name], work);
  return house.git(['rev-parse', 'HEAD'], work);
}

async function push({ house, work }: Lab, ...refs: readonly string[]): Promise<void> {
  await house.git(['push', '-q', house.repository('lab').path, ...refs], work);
}

interface Got {
  readonly etag: string;
  readonly bytes: Buffer;
}

/** The bundle, or a part of it, as the principal of the house gets it. */
async function fetched({ house }: Lab, from = 0, to = Number.POSITIVE_INFINITY): Promise<Got | undefined> {
  const asked = { repository: house.repository('lab'), mayRead: house.mayRead, requestId: 'test', signal: endless };
  using bundle = await house.upload.openBundle(asked);
  if (bundle === undefined) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of bundle.read({ start: from, end: Math.min(to, bundle.size) }, endless))
    chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, Math.min(to, bundle.size) - from, 'as many bytes as were told');
  return { etag: bundle.etag, bytes };
}

async function whole(about: Lab): Promise<Got> {
  const got = await fetched(about);
  assert.ok(got !== undefined, 'there is a bundle');
  return got;
}

/** What git finds in a bundle: its refs; every object is checked. */
async function unbundled({ house }: Lab, { bytes, etag }: Got, format: ObjectFormat = 'sha1'): Promise<string> {
  const file = join(house.directory, `${etag}.bundle`);
  const target = join(house.directory, `from-${randomBytes(4).toString('hex')}`);
  writeFileSync(file, bytes);
  await house.git(['init', '-q', '--bare', `--object-format=${format}`, target]);
  await house.git(['fetch', '-q', file, '+refs/*:refs/*'], target);
  await house.git(['fsck', '--strict'], target);
  return house.git(['for-each-ref', '--format=%(refname) %(objectname)'], target);
}

function steppingClock(): Clock & { pass(ms: number): void } {
  let passedMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + passedMs,
    pass(ms) {
      passedMs += ms;
    },
  };
}

test('a bundle has the branches that are shown, in both object formats, and git takes it', async (t) => {
  for (const format of ['sha1', 'sha256'] as const) {
    const about = await lab(t, KEEPING, format);
    const oid = await about.house.git(['rev-parse', 'main'], about.work);
    await about.house.git(['tag', '-a', '-m', 'one', 'v1'], about.work);
    await push(about, 'v1');
    const got = await whole(about);
    assert.equal((await unbundled(about, got, format)).trim(), `refs/heads/main ${oid.trim()}`);
  }
});

test('any part of it is the same bytes again, and its name tells when they are others', async (t) => {
  const about = await lab(t);
  await commit(about, 'large', 3_000_000);
  await push(about, 'main');
  const first = await whole(about);
  for (const [from, to] of [[0, 10], [5, 700], [400_000, 2_500_000], [first.bytes.length - 1]] as const) {
    const part = await fetched(about, from, to);
    assert.ok(part !== undefined && part.bytes.equals(first.bytes.subarray(from, to)));
    assert.equal(part.etag, first.etag);
  }
  assert.equal(about.house.asked.miss, 1);
});

test('after a push the old bundle serves on, and is made anew when it is old', async (t) => {
  const clock = steppingClock();
  const about = await lab(t, { ...KEEPING, clock });
  const before = await whole(about);
  const oid = await commit(about, 'two');
  await push(about, 'main');
  assert.equal((await whole(about)).etag, before.etag);
  clock.pass(3_600_001);
  const after = await whole(about);
  assert.notEqual(after.etag, before.etag);
  assert.match(await unbundled(about, after), new RegExp(oid.trim()));
});

test('a branch that is rewound or deleted takes its bundle with it', async (t) => {
  const about = await lab(t);
  await about.house.git(['checkout', '-q', '-b', 'leaked'], about.work);
  const secret = (await commit(about, 'password')).trim();
  await push(about, 'leaked');
  assert.match(await unbundled(about, await whole(about)), new RegExp(secret));
  await push(about, '+main:leaked');
  assert.doesNotMatch(await unbundled(about, await whole(about)), new RegExp(secret));
  await push(about, '+leaked:leaked');
  await whole(about);
  await push(about, ':leaked');
  assert.doesNotMatch(await unbundled(about, await whole(about)), new RegExp(secret));
});

test('who may not read a branch gets another bundle than who may, before and after', async (t) => {
  const about = await lab(t);
  await about.house.git(['checkout', '-q', '-b', 'secret'], about.work);
  const secret = (await commit(about, 'plan')).trim();
  await push(about, 'secret');
  const everything = await whole(about);
  about.house.mayRead = (refname) => refname !== 'refs/heads/secret';
  const some = await whole(about);
  assert.notEqual(some.etag, everything.etag);
  assert.doesNotMatch(await unbundled(about, some), /secret/);
  const target = join(about.house.directory, 'empty');
  await about.house.git(['init', '-q', '--bare', target]);
  writeFileSync(join(about.house.directory, 'some.bundle'), some.bytes);
  await about.house.git(['bundle', 'unbundle', join(about.house.directory, 'some.bundle')], target);
  assert.notEqual((await about.house.tryGit(['cat-file', '-e', secret], target)).code, 0, 'nor its objects');
  about.house.mayRead = undefined;
  assert.equal((await whole(about)).etag, everything.etag);
  // The other way round: a right that is taken away counts at once.
  about.house.mayRead = () => false;
  assert.equal(await fetched(about), undefined);
});

test('there is no bundle of nothing, of what does not fit, nor where they are off', async (t) => {
  const empty = await House.open(t, KEEPING);
  await empty.create('lab');
  assert.equal(await fetched({ house: empty, work: '' }), undefined);
  const tight = await lab(t, { ...KEEPING, packCache: { bytesMax: 1_000, keepMs: 60_000 } });
  assert.equal(await fetched(tight), undefined);
  const { started } = tight.house.processes;
  assert.equal(await fetched(tight), undefined);
  assert.equal(tight.house.processes.started, started, 'what does not fit is not made again and again');
  const { packCache } = KEEPING;
  const off = await lab(t, packCache ? { packCache } : {});
  assert.equal(await fetched(off), undefined);
});

const ASK = pkts('command=bundle-uri', 'object-format=sha1', '0000');

test('clients hear of a bundle where it pays: after some clones of everything', async (t) => {
  const about = await lab(t);
  const { house } = about;
  const greeting = async (): Promise<string> =>
    (await house.say(Buffer.alloc(0), { name: 'lab', mode: 'advertise' })).output.toString('latin1');
  const list = async (): Promise<string[]> => readPkts((await house.say(ASK, { name: 'lab', mode: 'rpc' })).output);
  const url = `${await house.openGit(t)}/lab`;
  assert.doesNotMatch(await greeting(), /bundle-uri/);
  assert.deepEqual(await list(), ['0000']);
  for (const options of [['--depth=1'], ['--filter=blob:none'], [], []])
    await house.git(['clone', '-q', '--bare', ...options, url, `clone-${randomBytes(4).toString('hex')}`]);
  assert.doesNotMatch(await greeting(), /bundle-uri/, 'two were of everything');
  await house.git(['clone', '-q', '--bare', url, 'third']);
  assert.match(await greeting(), /bundle-uri\n/);
  assert.deepEqual(await list(), ['bundle.version=1', 'bundle.mode=all', 'bundle.clone.uri=clone.bundle', '0000']);
});

test('a question about bundles is taken as strictly as any other', async (t) => {
  const { house } = await lab(t);
  const wrong = await house.say(pkts('command=bundle-uri', '0001', 'more', '0000'), { name: 'lab', mode: 'rpc' });
  assert.match(wrong.output.toString('latin1'), /ERR bundle-uri: unexpected argument: 'more'/);
  const { packCache } = KEEPING;
  const off = await lab(t, packCache ? { packCache } : {});
  const unknown = await off.house.say(ASK, { name: 'lab', mode: 'rpc' });
  assert.match(unknown.output.toString('latin1'), /ERR invalid command 'bundle-uri'/);
});

test('who leaves while a bundle is made ends its making', async (t) => {
  const about = await lab(t);
  const gone = new AbortController();
  gone.abort();
  const asked = {
    repository: about.house.repository('lab'),
    mayRead: undefined,
    requestId: 'test',
    signal: gone.signal,
  };
  await assert.rejects(about.house.upload.openBundle(asked), { code: 'aborted' });
  assert.match(await unbundled(about, await whole(about)), /refs\/heads\/main/, 'and the next one gets it');
});
