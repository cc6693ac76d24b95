import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { OdbPool } from '../../../src/git/odb/pool.ts';
import type { Oid } from '../../../src/git/oid.ts';
import { git, initBare, openGround } from '../ground.ts';
import { type CraftedEntry, delta, distance, entry, indexOf, oidOf, packOf, sealed, writePack } from './crafted.ts';
import { BEYOND, headersOf, makeRepository, objectsOf, reach, shell } from './repositories.ts';

const BASE = Buffer.from('the base of everything');
const base: CraftedEntry = { oid: oidOf('blob', BASE), bytes: entry('blob', BASE) };
const OTHER = 'a'.repeat(40) as Oid;
const COPY_ALL = [0x90, BASE.length];

interface Place extends AsyncDisposable {
  readonly path: string;
  readonly pool: OdbPool;
  ask(entries: readonly CraftedEntry[], oid?: Oid): Promise<readonly unknown[]>;
}

async function openPlace(): Promise<Place> {
  const ground = await openGround();
  const pool = new OdbPool();
  let count = 0;
  return {
    path: ground.path,
    pool,
    /** What reading and asking for an object of such a pack says. */
    async ask(entries, oid = OTHER) {
      count += 1;
      const path = await initBare(join(ground.path, `r${count}.git`));
      await writePack(path, entries);
      const odb = pool.of(path, 'sha1');
      return [await reach(odb.read(oid)), await reach(odb.header(oid))];
    },
    [Symbol.asyncDispose]() {
      pool.close();
      return ground[Symbol.asyncDispose]();
    },
  };
}

test('a crafted pack that is right is read', async () => {
  await using place = await openPlace();
  const twice = Buffer.concat([BASE, BASE]);
  const bytes = entry('ofs', delta(BASE.length, 2 * BASE.length, COPY_ALL, COPY_ALL), {
    base: distance(base.bytes.length),
  });
  const oid = oidOf('blob', twice);
  assert.deepEqual(await place.ask([base, { oid, bytes }], oid), [
    { type: 'blob', bytes: twice },
    { type: 'blob', size: twice.length },
  ]);
});

const onBase = (bytes: Buffer): Buffer => entry('ofs', bytes, { base: distance(base.bytes.length) });
const size = BASE.length;

const HOSTILE: Readonly<Record<string, Buffer>> = {
  'a copy from beyond the base': onBase(delta(size, 8, [0x91, size - 4, 8])),
  'a copy far beyond the base': onBase(delta(size, 8, [0xff, 255, 255, 255, 255, 8, 0, 0])),
  'an insertion beyond the delta': onBase(delta(size, 8, [8, 1, 2])),
  'a copy instruction that is cut off': onBase(delta(size, 8, [0xff, 1])),
  'a result longer than it says': onBase(delta(size, 8, COPY_ALL)),
  'a result shorter than it says': onBase(delta(size, size + 1, COPY_ALL)),
  'the reserved instruction': onBase(delta(size, size, [0], COPY_ALL)),
  'another base size': onBase(delta(size + 1, size, COPY_ALL)),
  'a delta without instructions': onBase(delta(size, 1)),
  'a delta with sizes alone, cut off': onBase(Buffer.from([0x80, 0x80])),
  'a delta with an absurd size': onBase(Buffer.concat([Buffer.alloc(16, 0xff), Buffer.from([1, 1, 1, 1])])),
  'a base before the pack': entry('ofs', delta(size, size, COPY_ALL), { base: distance(1_000_000) }),
  'a base at no distance': entry('ofs', delta(size, size, COPY_ALL), { base: distance(0) }),
  'a base in the middle of another': entry('ofs', delta(size, size, COPY_ALL), {
    base: distance(base.bytes.length - 3),
  }),
  'an endless distance': entry('ofs', delta(size, size, COPY_ALL), { base: Buffer.alloc(40, 0xff) }),
  'a base that is not there': entry('ref', delta(size, size, COPY_ALL), { base: Buffer.alloc(20, 7) }),
  'itself as its base': entry('ref', delta(size, size, COPY_ALL), { base: Buffer.from(OTHER, 'hex') }),
  'type 0': Buffer.concat([Buffer.from([0x05]), deflateSync(BASE)]),
  'type 5': Buffer.concat([Buffer.from([0x55]), deflateSync(BASE)]),
  'an endless size': Buffer.concat([Buffer.alloc(40, 0xff), deflateSync(BASE)]),
  'a name that is another one': entry('blob', Buffer.from('somebody else')),
};

test('no crafted entry is answered: it is beyond reach, and nothing hangs', async () => {
  await using place = await openPlace();
  for (const [name, bytes] of Object.entries(HOSTILE)) {
    const [read] = await place.ask([base, { oid: OTHER, bytes }]);
    assert.equal(read, BEYOND, name);
    const [sound] = await place.ask([base, { oid: OTHER, bytes }], base.oid);
    assert.deepEqual(sound, { type: 'blob', bytes: BASE }, `${name}: what is sound beside it`);
  }
});

test('a delta for a base of another size is beyond reach, even where it makes what its name says', async () => {
  await using place = await openPlace();
  const twice = Buffer.concat([BASE, BASE]);
  const oid = oidOf('blob', twice);
  const bytes = onBase(delta(size + 1, 2 * size, COPY_ALL, COPY_ALL));
  assert.equal((await place.ask([base, { oid, bytes }], oid))[0], BEYOND);
});

test('streams that are not what they say are beyond reach', async () => {
  await using place = await openPlace();
  const zeros = Buffer.alloc(3_000_000);
  const oid = oidOf('blob', BASE);
  const streams: Readonly<Record<string, Buffer>> = {
    garbage: entry('blob', BASE, { stream: Buffer.alloc(50, 0x99) }),
    'cut off': entry('blob', BASE, { stream: deflateSync(BASE).subarray(0, 12) }),
    'a wrong checksum': entry('blob', BASE, {
      stream: Buffer.concat([deflateSync(BASE).subarray(0, -4), Buffer.alloc(4)]),
    }),
    'longer than it says': entry('blob', BASE, { stream: deflateSync(Buffer.concat([BASE, BASE])) }),
    'shorter than it says': entry('blob', BASE, { size: BASE.length + 1 }),
    'a bomb': entry('blob', BASE, { stream: deflateSync(zeros) }),
    'a bomb that says less': entry('blob', BASE, { size: 2_000_000, stream: deflateSync(zeros) }),
    'too large': entry('blob', BASE, { size: 2 ** 40 }),
  };
  for (const [name, bytes] of Object.entries(streams)) {
    assert.equal((await place.ask([{ oid, bytes }], oid))[0], BEYOND, name);
  }
});

test('a circle of deltas and a chain without end are beyond reach, and a long one within bounds is read', async () => {
  await using place = await openPlace();
  const one = '1'.repeat(40) as Oid;
  const two = '2'.repeat(40) as Oid;
  const link = (to: Oid): Buffer => entry('ref', delta(size, size, COPY_ALL), { base: Buffer.from(to, 'hex') });
  const circle = [base, { oid: one, bytes: link(two) }, { oid: two, bytes: link(one) }];
  assert.deepEqual(await place.ask(circle, one), [BEYOND, BEYOND]);

  for (const { length, isRead } of [
    { length: 3_000, isRead: true },
    { length: 4_200, isRead: false },
  ]) {
    const entries = [base];
    let text = BASE;
    let last = base.bytes;
    for (let n = 0; n < length; n += 1) {
      const next = Buffer.from(`${n}`);
      // Each result differs from the one before, in a few bytes that are put in front of the same end.
      const bytes = entry(
        'ofs',
        delta(text.length, next.length + 10, [next.length, ...next], [0x91, text.length - 10, 10]),
        {
          base: distance(last.length),
        },
      );
      text = Buffer.concat([next, text.subarray(-10)]);
      entries.push({ oid: oidOf('blob', text), bytes });
      last = bytes;
    }
    const oid = entries.at(-1)?.oid;
    const expected = isRead
      ? [
          { type: 'blob', bytes: text },
          { type: 'blob', size: text.length },
        ]
      : [BEYOND, BEYOND];
    assert.deepEqual(await place.ask(entries, oid), expected, `${length} links`);
  }
});

test('deltas that make much of little are given up, and what is held stays bounded', async () => {
  await using place = await openPlace();
  // Each link has the largest size that is read here: the eighth is one too many.
  const large = 8 * 1024 * 1024;
  const copies = (from: number): Buffer => {
    const parts: number[][] = [];
    for (let left = large; left > 0; left -= Math.min(left, from, 0xff_ff)) {
      const length = Math.min(left, from, 0xff_ff);
      parts.push([0xb0, length & 0xff, length >> 8]);
    }
    return delta(from, large, ...parts);
  };
  const first = Buffer.alloc(60_000, 'a');
  const entries: CraftedEntry[] = [{ oid: oidOf('blob', first), bytes: entry('blob', first) }];
  let last = entries[0]?.bytes.length ?? 0;
  for (let n = 0; n < 10; n += 1) {
    const bytes = entry('ofs', copies(n === 0 ? first.length : large), { base: distance(last) });
    last = bytes.length;
    entries.push({ oid: `${n}`.repeat(40) as Oid, bytes });
  }
  // The last one is what its name says: nothing but the work forbids it.
  const oid = oidOf('blob', Buffer.alloc(large, 'a'));
  const ends = entries.splice(-1).map((entry) => ({ ...entry, oid }));
  assert.deepEqual(await place.ask([...entries, ...ends], oid), [BEYOND, { type: 'blob', size: large }]);
  assert.ok(place.pool.bytes < 64 * 1024 * 1024);
});

test('indexes that are wrong are beyond reach, whatever is asked', async () => {
  await using place = await openPlace();
  const entries = [base, { oid: OTHER, bytes: entry('blob', Buffer.from('x')) }];
  const pack = packOf(entries);
  const index = indexOf(entries, pack.subarray(-20));
  const edited = (edit: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(index.subarray(0, -20));
    edit(bytes);
    return sealed(bytes);
  };
  const offsetsAt = 8 + 1024 + 2 * 24;
  const wrong: Readonly<Record<string, Buffer>> = {
    empty: Buffer.alloc(0),
    'only its head': index.subarray(0, 1_032),
    'one byte short': index.subarray(0, -1),
    'one byte long': Buffer.concat([index, Buffer.alloc(1)]),
    'another magic': edited((bytes) => bytes.writeUInt32BE(1, 0)),
    'version 3': edited((bytes) => bytes.writeUInt32BE(3, 4)),
    'a fan-out that falls': edited((bytes) => bytes.writeUInt32BE(9, 8)),
    'a fan-out of billions': edited((bytes) => bytes.fill(0xff, 8, 1_032)),
    'offsets beyond the pack': edited((bytes) => bytes.fill(0x7f, offsetsAt, offsetsAt + 8)),
    'wide offsets that it does not have': edited((bytes) => bytes.fill(0xff, offsetsAt, offsetsAt + 8)),
    'offsets within the head of the pack': edited((bytes) => bytes.fill(0, offsetsAt, offsetsAt + 8)),
    'the checksum of another pack': edited((bytes) => bytes.fill(0, bytes.length - 20)),
    'offsets of each other': edited((bytes) => bytes.fill(12, offsetsAt + 3, offsetsAt + 4).fill(12, offsetsAt + 7)),
  };
  for (const [name, bytes] of Object.entries(wrong)) {
    const path = await initBare(join(place.path, `${name}.git`));
    await writeFile(join(path, 'objects/pack/pack-1.pack'), pack);
    await writeFile(join(path, 'objects/pack/pack-1.idx'), bytes);
    const odb = place.pool.of(path, 'sha1');
    assert.equal(await reach(odb.read(OTHER)), BEYOND, name);
    // What is sound elsewhere is still read.
    const oid = (await git(path, ['hash-object', '-w', '--stdin'], name)) as Oid;
    assert.equal(await reach(odb.read(oid)).then((object) => typeof object === 'object'), true, name);
  }
});

test('a pack that is cut off or flipped never gives wrong bytes, nor a miss that git does not see', async () => {
  await using place = await openPlace();
  const path = await makeRepository(join(place.path, 'r.git'), 'sha1');
  await git(path, ['repack', '-adfq']);
  const objects = await objectsOf(path);
  const oids = [...objects.keys()].filter((_, index) => index % 6 === 0);
  await shell(
    path,
    'chmod u+w objects/pack/*; for pack in objects/pack/*.pack; do mv $pack objects/pack/p.pack; mv ${pack%.pack}.idx objects/pack/p.idx; done; rm -f objects/pack/*.rev objects/pack/*.bitmap',
  );
  const files = ['pack', 'idx'].map((ending) => join(path, `objects/pack/p.${ending}`));
  const sound = await Promise.all(files.map((file) => readFile(file)));
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const seen = { right: 0, beyond: 0, missing: 0 };
  for (let round = 0; round < 40; round += 1) {
    const which = round % 2;
    const bytes = Buffer.from(sound[which] ?? Buffer.alloc(0));
    if (round % 8 < 6) for (let flip = 0; flip < 20; flip += 1) bytes[random(bytes.length)] = random(256);
    await writeFile(files[which] ?? '', bytes);
    if (round % 8 >= 6) await truncate(files[which] ?? '', random(bytes.length));
    const pool = new OdbPool();
    const odb = pool.of(path, 'sha1');
    const headers = await headersOf(path, oids);
    for (const oid of oids) {
      const header = await reach(odb.header(oid));
      if (header !== BEYOND) assert.deepEqual(header, headers.get(oid), `${oid} in round ${round}`);
      const object = await reach(odb.read(oid));
      if (object === BEYOND) seen.beyond += 1;
      else if (object === undefined) seen.missing += 1;
      else seen.right += 1;
      if (object === undefined) assert.equal(headers.get(oid), undefined);
      if (object !== BEYOND && object !== undefined) assert.ok(objects.get(oid)?.bytes.equals(object.bytes), oid);
    }
    pool.close();
    await writeFile(files[which] ?? '', sound[which] ?? '');
  }
  assert.ok(seen.right > 100 && seen.beyond > 100, JSON.stringify(seen));
});

test('garbage behind a loose object is beyond reach, whatever its size', async () => {
  await using place = await openPlace();
  const path = await initBare(join(place.path, 'r.git'));
  const odb = place.pool.of(path, 'sha1');
  for (const length of [10, 50_000, 2_000_000]) {
    const bytes = Buffer.alloc(length, 'text of some kind, ');
    const oid = oidOf('blob', bytes);
    await mkdir(join(path, 'objects', oid.slice(0, 2)), { recursive: true });
    const file = join(path, 'objects', oid.slice(0, 2), oid.slice(2));
    const stream = deflateSync(Buffer.concat([Buffer.from(`blob ${length}\0`), bytes]));
    await writeFile(file, Buffer.concat([stream, Buffer.alloc(3)]));
    assert.equal(await reach(odb.read(oid)), BEYOND, `${length} bytes`);
    await writeFile(file, stream);
    assert.ok((await odb.read(oid))?.bytes.equals(bytes));
  }
});

test('loose objects that are no objects are beyond reach', async () => {
  await using place = await openPlace();
  const path = await initBare(join(place.path, 'r.git'));
  const odb = place.pool.of(path, 'sha1');
  const oid = oidOf('blob', BASE);
  const file = join(path, 'objects', oid.slice(0, 2), oid.slice(2));
  await mkdir(join(path, 'objects', oid.slice(0, 2)));
  const good = Buffer.concat([Buffer.from(`blob ${BASE.length}\0`), BASE]);
  await writeFile(file, deflateSync(good));
  assert.deepEqual(await odb.read(oid), { type: 'blob', bytes: BASE });
  place.pool.close();
  const large = Buffer.concat([Buffer.from(`blob 2000000\0`), Buffer.alloc(3_000_000)]);
  const wrong: Readonly<Record<string, Buffer>> = {
    empty: Buffer.alloc(0),
    garbage: Buffer.alloc(100, 7),
    'cut off': deflateSync(good).subarray(0, -6),
    'garbage behind it': Buffer.concat([deflateSync(good), Buffer.alloc(1)]),
    'another type': deflateSync(Buffer.from(`blub ${BASE.length}\0${BASE.toString()}`)),
    'a size with a zero in front': deflateSync(Buffer.from(`blob 0${BASE.length}\0${BASE.toString()}`)),
    'no size': deflateSync(Buffer.from(`blob \0${BASE.toString()}`)),
    'no end of its head': deflateSync(Buffer.alloc(1_000, 'blob 1')),
    'another size': deflateSync(Buffer.from(`blob 5\0${BASE.toString()}`)),
    'another object': deflateSync(Buffer.from(`blob 5\0hello`)),
    'a bomb': deflateSync(large),
  };
  for (const [name, bytes] of Object.entries(wrong)) {
    await writeFile(file, bytes);
    assert.equal(await reach(odb.read(oid)), BEYOND, name);
    place.pool.close();
  }
  await rm(file);
  await mkdir(file);
  assert.equal(await reach(odb.read(oid)), BEYOND);
  if (process.getuid?.() === 0) return;
  await rm(file, { recursive: true });
  await writeFile(file, deflateSync(good));
  await chmod(file, 0);
  assert.equal(await reach(odb.header(oid)), BEYOND);
});
