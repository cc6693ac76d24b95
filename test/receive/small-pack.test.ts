/** Packs taken in without git: the files are those of index-pack, what is not plain goes back whole, memory is bounded. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { OdbPool } from '../../src/git/odb/pool.ts';
import { OBJECT_FORMATS, type ObjectFormat, type Oid } from '../../src/git/oid.ts';
import { DEFAULT_RECEIVE_LIMITS } from '../../src/receive/limits.ts';
import { PackInput } from '../../src/receive/pack-input.ts';
import { openQuarantine } from '../../src/receive/quarantine.ts';
import { SMALL_PACK_LIMITS, SmallPackDesk, type TakenSmall } from '../../src/receive/small-pack-desk.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { Drawing, treeOf } from '../soak/receive-objects.ts';
import { deltaSize, entryHead, makePack, sealed, wholeEntry } from '../soak/receive-packs.ts';
import { git } from '../soak/receive-pushes.ts';
import { Chance } from '../soak/receive-random.ts';
import { runRound } from '../soak/receive-round.ts';
import { commitFile, openSite } from './site.ts';

interface Ground {
  readonly repository: Repository;
  readonly drawing: Drawing;
  readonly take: (pack: Buffer, options?: { readonly chunk?: number; readonly desk?: SmallPackDesk }) => Promise<Took>;
}

interface Took {
  readonly taken: TakenSmall | undefined;
  /** What is left in the input. */
  readonly rest: Buffer;
  /** The files in the quarantine, by how they end. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/** A repository with one commit, and objects that change it. */
async function openGround(context: TestContext, format: ObjectFormat, seed = 1): Promise<Ground> {
  const root = await mkdtemp(join(tmpdir(), 'gatehouse-small-'));
  context.after(() => rm(root, { recursive: true, force: true, maxRetries: 5 }));
  const path = join(root, 'r');
  await git(['init', '-q', '--bare', `--object-format=${format}`, path]);
  const chance = new Chance(seed);
  const first = new Drawing(format, chance, new Map());
  const tip = first.commit(first.changed(first.changed(undefined)), []);
  const pack = makePack({ format, chance, objects: first.made, outside: new Map(), deltas: 0 });
  await git(['-C', path, 'index-pack', '--stdin', '--strict'], pack);
  const drawing = new Drawing(format, chance, first.made);
  drawing.commit(drawing.changed(treeOf(first.get(tip))), [tip]);
  const repository = { path, objectFormat: format, settings: {} } as Repository;
  const pool = new OdbPool();
  return {
    repository,
    drawing,
    async take(bytes, { chunk = bytes.length, desk = new SmallPackDesk() } = {}) {
      const slices = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, index) =>
        bytes.subarray(index * chunk, (index + 1) * chunk),
      );
      const chunks = Object.assign(async function* () {
        yield* slices;
      })();
      const input = new PackInput({ chunks, clock: systemClock, idleMs: 10_000 });
      await using quarantine = await openQuarantine(path, systemClock);
      const { signal } = new AbortController();
      const odb = pool.of(path, format);
      const taken = await desk.take({
        repository,
        quarantine,
        input,
        odb,
        mayComplete: true,
        limits: DEFAULT_RECEIVE_LIMITS,
        signal,
      });
      const directory = join(quarantine.objectDirectory, 'pack');
      const files = new Map<string, Buffer>();
      for (const name of await readdir(directory)) files.set(name, await readFile(join(directory, name)));
      const rest: Buffer[] = [];
      for (let next = await input.next(); next !== undefined; next = await input.next()) rest.push(next);
      return { taken, rest: Buffer.concat(rest), files };
    },
  };
}

/** A pack of whole objects, no deltas. */
function wholeOf({ format, chance, made }: Drawing, objects = made): Buffer {
  return makePack({ format, chance, objects, outside: new Map(), deltas: 0 });
}

for (const format of OBJECT_FORMATS) {
  test(`a small pack is written as index-pack writes it, byte for byte (${format})`, async (context) => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const { drawing, repository, take } = await openGround(context, format, seed);
      const { chance, made, had } = drawing;
      const outside = seed % 2 === 0 ? had : new Map<Oid, never>();
      const pack = makePack({ format, chance, objects: made, outside, deltas: 0.7 });
      const desk = new SmallPackDesk();
      const { taken, files, rest } = await take(pack, { desk, chunk: chance.of([700, 5_000, 1_000_000]) });
      assert.ok(taken !== undefined, [...desk.figures.givenBack.keys()].join());
      assert.equal(rest.length, 0);
      const ours = files.get(`${taken.pack}.pack`) ?? Buffer.alloc(0);
      const index = files.get(`${taken.pack}.idx`);
      const said = String(await git(['-C', repository.path, 'index-pack', '--stdin', '--fix-thin', '--strict'], pack));
      const name = `pack-${said.trim().split('\t')[1] ?? ''}`;
      const theirs = await readFile(join(repository.path, 'objects', 'pack', `${name}.pack`));
      if (taken.small.bases.size === 0) assert.deepEqual(ours, theirs);
      // Appended bases are the same objects in the same order; only their compression is another.
      else
        assert.deepEqual(
          ours.subarray(0, pack.length - taken.pack.length),
          theirs.subarray(0, pack.length - taken.pack.length),
        );
      const copy = join(repository.path, 'copy.pack');
      await writeFile(copy, ours);
      await git(['-C', repository.path, 'index-pack', `--object-format=${format}`, '-o', `${copy}.idx`, copy]);
      assert.deepEqual(index, await readFile(`${copy}.idx`));
      await rm(`${copy}.idx`, { force: true });
    }
  });
}

test('what is not plain goes back whole, however it came', async (context) => {
  const { drawing, take } = await openGround(context, 'sha1');
  const good = wholeOf(drawing);
  const wrong = Buffer.from(good);
  wrong[wrong.length - 1] = (wrong[wrong.length - 1] ?? 0) ^ 1;
  const spoilt = [wrong, good.subarray(0, -1), Buffer.concat([good, Buffer.from('x')]), good.subarray(0, 20)];
  for (const pack of spoilt) {
    for (const chunk of [1, 97, pack.length]) {
      const { taken, rest, files } = await take(pack, { chunk });
      assert.equal(taken, undefined);
      assert.deepEqual(rest, pack);
      assert.equal(files.size, 0);
    }
  }
});

test('a sender that dribbles is left to git, with all that it sent', async (context) => {
  const { drawing, take } = await openGround(context, 'sha1');
  drawing.add('blob', drawing.chance.bytes(5_000));
  const pack = wholeOf(drawing);
  const desk = new SmallPackDesk();
  assert.deepEqual((await take(pack, { chunk: 1, desk })).rest, pack);
  assert.equal(desk.figures.givenBack.get('pack comes in crumbs'), 1);
  assert.ok((await take(pack, { chunk: 700, desk })).taken !== undefined);
});

test('a delta that grows beyond the bounds is left to git before it grows', async (context) => {
  const { drawing, take } = await openGround(context, 'sha1');
  const base = { type: 'blob', bytes: Buffer.alloc(60_000, 'some text\n') } as const;
  const copy = Buffer.from([0xb0, base.bytes.length & 0xff, base.bytes.length >> 8]);
  const delta = Buffer.concat([
    deltaSize(60_000),
    deltaSize(60_000 * 1_000),
    ...Array.from({ length: 1_000 }, () => copy),
  ]);
  const { deflateSync } = await import('node:zlib');
  const entry = wholeEntry(base, drawing.chance);
  const bomb = Buffer.concat([entryHead(6, delta.length), distanceOf(entry.length), deflateSync(delta)]);
  const desk = new SmallPackDesk();
  const pack = sealed('sha1', [entry, bomb]);
  assert.deepEqual((await take(pack, { desk })).rest, pack);
  assert.deepEqual([...desk.figures.givenBack], [['object is too large', 1]]);
});

test('a tree too large to be taken apart at once is left to git', async (context) => {
  const { drawing, take } = await openGround(context, 'sha1');
  const name = (index: number): string => index.toString(36).padStart(4, '0');
  const blob = drawing.add('blob', Buffer.from('one file under many names'));
  const entries = Array.from({ length: 12_000 }, (_, index) =>
    Buffer.concat([Buffer.from(`100644 ${name(index)}\0`), Buffer.from(blob, 'hex')]),
  );
  drawing.add('tree', Buffer.concat(entries));
  const pack = wholeOf(drawing);
  const desk = new SmallPackDesk();
  assert.deepEqual((await take(pack, { desk })).rest, pack);
  assert.equal(desk.figures.givenBack.get('a tree, commit or tag is large'), 1);
});

test('many objects that are there already are left to git, few are not', async (context) => {
  const { drawing, repository, take } = await openGround(context, 'sha1');
  for (let count = 0; count < 100; count += 1) drawing.add('blob', `sent again ${count}`);
  const [some, all] = [wholeOf(drawing, new Map([...drawing.made].slice(-50))), wholeOf(drawing)];
  await git(['-C', repository.path, 'index-pack', '--stdin'], all);
  const desk = new SmallPackDesk();
  assert.ok((await take(some, { desk })).taken !== undefined);
  assert.deepEqual((await take(all, { desk })).rest, all);
  assert.equal(desk.figures.givenBack.get('many objects are there already'), 1);
});

function distanceOf(value: number): Buffer {
  assert.ok(value < 128 * 128);
  return value < 128 ? Buffer.from([value]) : Buffer.from([(((value >> 7) - 1) & 0x7f) | 0x80, value & 0x7f]);
}

test('small packs share one bound of memory: beyond it git takes the push, and all of it is given back', async (context) => {
  const { drawing, take } = await openGround(context, 'sha1');
  const pack = wholeOf(drawing);
  const tight = new SmallPackDesk({ ...SMALL_PACK_LIMITS, heldBytes: pack.length + 10 });
  assert.deepEqual((await take(pack, { desk: tight })).rest, pack);
  assert.equal(tight.figures.givenBack.get('small packs take too much memory now'), 1);
  assert.equal(tight.figures.heldBytes, 0);
  const ample = new SmallPackDesk();
  assert.ok((await take(pack, { desk: ample })).taken !== undefined);
  assert.equal(ample.figures.heldBytes, 0, 'the quarantine is disposed of');
});

test('a repository whose files belong to a group is left to git, which gives them the modes', async (context) => {
  const { drawing, take, repository } = await openGround(context, 'sha1');
  const pack = wholeOf(drawing);
  await git(['-C', repository.path, 'config', 'core.sharedRepository', 'group']);
  assert.equal((await take(pack)).taken, undefined);
});

test('an object in the place of a repository object of that name is not taken', async (context) => {
  const { drawing, take, repository } = await openGround(context, 'sha1');
  const pack = wholeOf(drawing);
  // As if two contents had one name: another object lies where the pushed one would.
  const [oid] = drawing.made.keys();
  assert.ok(oid !== undefined);
  const { deflateSync } = await import('node:zlib');
  await mkdir(join(repository.path, 'objects', oid.slice(0, 2)), { recursive: true });
  await writeFile(
    join(repository.path, 'objects', oid.slice(0, 2), oid.slice(2)),
    deflateSync(Buffer.from('blob 5\0other')),
  );
  assert.equal((await take(pack)).taken, undefined);
});

test('a push with bytes behind its pack is taken as git takes it', async (context) => {
  const small = new SmallPackDesk();
  const site = await openSite(context, { parts: { small } });
  const tree = await site.workTree();
  const tip = await commitFile(tree, 'file');
  const pack = await git(['-C', tree, 'pack-objects', '--revs', '--stdout', '-q'], Buffer.from(`${tip}\n`));
  const { converse, pkt, ZERO } = await import('./raw-client.ts');
  const command = pkt(`${ZERO} ${tip} refs/heads/main\0 report-status`);
  const { report } = await converse(site, [command, '0000', pack, 'more']);
  assert.deepEqual(report, ['unpack ok', 'ok refs/heads/main']);
  assert.equal(small.figures.taken, 0);
});

test('files of small packs are read-only, as those of git', async (context) => {
  const site = await openSite(context);
  const tree = await site.workTree();
  await commitFile(tree, 'file');
  await git(['-C', tree, 'push', '-q', site.gitUrl, 'HEAD:refs/heads/main']);
  const directory = join(site.repository.path, 'objects', 'pack');
  for (const name of await readdir(directory))
    assert.equal((await stat(join(directory, name))).mode & 0o777, 0o444, name);
});

test('drawn pushes, good and hostile, end as git ends them (npm run soak:receive draws more)', async () => {
  let own = 0;
  for (const seed of [100, 101]) {
    const { kinds, differences } = await runRound({ seed, pushes: 40 });
    assert.deepEqual(differences, []);
    for (const [kind, tally] of kinds) if (kind === 'good' || kind === 'thin') own += tally.own;
  }
  assert.ok(own > 10, `${own} good pushes were taken in without git`);
});
