import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inMemory, layered } from '../../../src/git/odb/layers.ts';
import { BeyondReach, withinReach } from '../../../src/git/odb/odb.ts';
import { OdbPool, type OdbPoolOptions } from '../../../src/git/odb/pool.ts';
import { OBJECT_FORMATS, type Oid, oidHexLength } from '../../../src/git/oid.ts';
import { git, type Ground, initBare, openGround } from '../ground.ts';
import { assertAllAsGit, BEYOND, headersOf, makeRepository, noise, objectsOf, reach, shell } from './repositories.ts';

interface Place extends AsyncDisposable {
  readonly ground: Ground;
  readonly pool: OdbPool;
}

async function openPlace(options: OdbPoolOptions = {}): Promise<Place> {
  const ground = await openGround();
  const pool = new OdbPool(options);
  return {
    ground,
    pool,
    async [Symbol.asyncDispose]() {
      pool.close();
      assert.equal(pool.openFiles, 0);
      assert.equal(pool.bytes, 0);
      await ground[Symbol.asyncDispose]();
    },
  };
}

for (const format of OBJECT_FORMATS) {
  test(`OdbPool reads every object as git does, however it is stored (${format})`, async () => {
    await using place = await openPlace();
    const path = await makeRepository(join(place.ground.path, 'r.git'), format);
    const odb = place.pool.of(path, format);
    await assertAllAsGit(odb, path);
    const repacks: readonly (readonly string[])[] = [
      ['repack', '-adfq', '--depth=400', '--window=50'],
      ['-c', 'repack.useDeltaBaseOffset=false', 'repack', '-adfq', '--depth=50'],
      ['-c', 'pack.compression=0', 'repack', '-adFq', '--depth=3'],
      ['-c', 'pack.indexVersion=2', 'repack', '-adq', '--max-pack-size=1m'],
    ];
    for (const argv of repacks) {
      await git(path, argv);
      await assertAllAsGit(odb, path);
    }
    assert.equal(await odb.read('1'.repeat(oidHexLength(format)) as Oid), undefined);
    assert.equal(await odb.header('1'.repeat(104 - oidHexLength(format)) as Oid), undefined);
  });

  test(`OdbPool reads loose objects, many packs, and both side by side (${format})`, async () => {
    await using place = await openPlace({ filesMax: 4, blockBytesMax: 400_000, objectBytesMax: 100_000 });
    const path = await makeRepository(join(place.ground.path, 'r.git'), format);
    await git(path, ['repack', '-adq']);
    const oids = [...(await objectsOf(path)).keys()];
    for (let part = 0; part < 12; part += 1) {
      const some = oids.filter((_, index) => index % 12 === part);
      await git(path, ['pack-objects', '-q', 'objects/pack/pack'], some.map((oid) => `${oid}\n`).join(''));
    }
    const odb = place.pool.of(path, format);
    await assertAllAsGit(odb, path);
    assert.ok(place.pool.openFiles <= 4, `${place.pool.openFiles} files are open`);
    assert.ok(place.pool.bytes <= 500_000, `${place.pool.bytes} bytes are held`);
    await shell(path, 'mv objects/pack ../away');
    assert.equal(await odb.read(oids[0] as Oid), undefined);
    await shell(path, 'for pack in ../away/*.pack; do git -c core.fsync=none unpack-objects -q <$pack; done');
    assert.equal(await assertAllAsGit(odb, path), oids.length);
    assert.equal(place.pool.openFiles, 0);
    await shell(path, 'rm -r objects/[0-9a-f][0-9a-f]');
    assert.equal(await odb.read(oids[0] as Oid), undefined);
    await shell(path, 'mv ../away objects/pack');
    assert.equal(await assertAllAsGit(odb, path), oids.length);
  });
}

test('OdbPool reads packs whose index has offsets of 64 bits, and leaves indexes of version 1 to git', async () => {
  await using place = await openPlace();
  const path = await makeRepository(join(place.ground.path, 'r.git'), 'sha1');
  const odb = place.pool.of(path, 'sha1');
  await git(path, ['repack', '-adq']);
  const [oid = ''] = (await objectsOf(path)).keys();
  await shell(path, 'cd objects/pack; rm -f *.rev; chmod u+w *; git index-pack --index-version=2,0x400 *.pack');
  await assertAllAsGit(odb, path);
  await shell(path, 'cd objects/pack; rm -f *.idx; git index-pack --index-version=1 *.pack');
  place.pool.close();
  assert.equal(await reach(odb.read(oid as Oid)), BEYOND);
  assert.equal(await reach(odb.header('1'.repeat(40) as Oid)), BEYOND);
});

test('OdbPool follows alternates: relative, nested as deep as git, commented, circular, missing', async () => {
  await using place = await openPlace({ mayBorrow: true });
  const paths: string[] = [];
  for (let depth = 0; depth <= 8; depth += 1) {
    const path = await initBare(join(place.ground.path, `r${depth}.git`));
    await git(path, ['hash-object', '-w', '--stdin'], `blob ${depth}`);
    const next = depth === 8 ? '../../r0.git/objects' : `../../r${depth + 1}.git/objects`;
    const line = depth % 2 === 0 ? next : join(path, 'objects', next);
    await writeFile(join(path, 'objects/info/alternates'), `# comment\n\n/nonexistent\n${line}\n`);
    paths.push(path);
  }
  const odb = place.pool.of(paths[0] ?? '', 'sha1');
  const oids = await Promise.all(
    Array.from({ length: 9 }, (_, n) => git('/', ['hash-object', '--stdin'], `blob ${n}`)),
  );
  const headers = await headersOf(paths[0] ?? '', oids as Oid[]);
  assert.ok([...headers.values()].includes(undefined) && headers.get(oids[4] as Oid) !== undefined);
  for (const [oid, header] of headers) assert.deepEqual(await odb.header(oid), header);
  await writeFile(join(paths[0] ?? '', 'objects/info/alternates'), '"quoted"\n');
  assert.equal(await reach(odb.header(oids[0] as Oid)), BEYOND);
  await rm(join(paths[0] ?? '', 'objects/info/alternates'));
  assert.deepEqual(await odb.header(oids[0] as Oid), headers.get(oids[0] as Oid));
  assert.equal(await odb.header(oids[1] as Oid), undefined);
});

test('OdbPool follows neither links nor alternates out of a repository that may not borrow', async () => {
  await using place = await openPlace();
  const other = await makeRepository(join(place.ground.path, 'other.git'), 'sha1');
  await git(other, ['repack', '-adq']);
  const secret = (await git(other, ['hash-object', '-w', '--stdin'], 'secret')) as Oid;
  const packed = (await git(other, ['rev-parse', 'main'])) as Oid;
  const loose = `${secret.slice(0, 2)}/${secret.slice(2)}`;
  const ways: Readonly<Record<string, string>> = {
    alternates: 'echo ../../other.git/objects >objects/info/alternates',
    'the object directory': 'rm -r objects; ln -s ../other.git/objects objects',
    'the directory of packs': 'rm -r objects/pack; ln -s ../../other.git/objects/pack objects/pack',
    'a pack': 'cd objects/pack; ln -s ../../../other.git/objects/pack/*.pack ../../../other.git/objects/pack/*.idx .',
    'a directory of objects': `cd objects; ln -s ../../other.git/objects/${secret.slice(0, 2)} .`,
    'an object': `cd objects; mkdir ${secret.slice(0, 2)}; ln -s ../../../other.git/objects/${loose} ${loose}`,
  };
  for (const [name, script] of Object.entries(ways)) {
    const path = await initBare(join(place.ground.path, `${name}.git`));
    const odb = place.pool.of(path, 'sha1');
    const mine = (await git(path, ['hash-object', '-w', '--stdin'], 'mine, whose name begins otherwise')) as Oid;
    assert.equal((await odb.read(mine))?.type, 'blob');
    await shell(path, script);
    for (const oid of [secret, packed]) {
      for (const answer of [await reach(odb.read(oid)), await reach(odb.header(oid))]) {
        assert.ok(answer === BEYOND || answer === undefined, name);
      }
    }
    assert.ok([await reach(odb.read(secret)), await reach(odb.read(packed))].includes(BEYOND), name);
  }
  const quarantine = place.pool.openDirectory(join(place.ground.path, 'alternates.git/objects'), 'sha1');
  assert.equal(await reach(quarantine.read(secret)), BEYOND);
});

test('OdbPool knows the empty tree everywhere, as git does, and says nothing of a repository that is not there', async () => {
  await using place = await openPlace();
  for (const format of OBJECT_FORMATS) {
    const path = await initBare(join(place.ground.path, format), format);
    const tree = (await git(path, ['hash-object', '-t', 'tree', '--stdin'])) as Oid;
    const other = (await git(path, ['hash-object', '--stdin'])) as Oid;
    const odb = place.pool.of(path, format);
    const headers = await headersOf(path, [tree, other]);
    assert.deepEqual(await odb.header(tree), headers.get(tree));
    assert.deepEqual(await odb.read(tree), { type: 'tree', bytes: Buffer.alloc(0) });
    assert.equal(await odb.header(other), headers.get(other));
    assert.equal(await reach(place.pool.of(`${path}-none`, format).read(other)), BEYOND);
  }
});

test('OdbPool leaves large objects to git, and tells their size: loose, packed, as a delta', async () => {
  await using place = await openPlace({ readBytesMax: 1_500_000 });
  const path = await initBare(join(place.ground.path, 'r.git'));
  const odb = place.pool.of(path, 'sha1');
  const small = noise(1_400_000, 1);
  const large = noise(2_000_000, 2);
  const oids: Oid[] = [];
  for (const text of [small, large, `${large}and more`]) {
    oids.push((await git(path, ['hash-object', '-w', '--stdin'], text)) as Oid);
  }
  const check = async (): Promise<void> => {
    const headers = await headersOf(path, oids);
    for (const [oid, header] of headers) assert.deepEqual(await odb.header(oid), header);
    assert.equal((await odb.read(oids[0] as Oid))?.bytes.toString(), small);
    for (const oid of oids.slice(1)) assert.equal(await reach(odb.read(oid)), BEYOND);
  };
  await check();
  await git(path, ['pack-objects', '-q', 'objects/pack/pack'], oids.map((oid) => `${oid} same\n`).join(''));
  await git(path, ['prune-packed']);
  await check();
});

test('OdbPool shows an object from the moment its pack is there, and to the moment when it is gone', async () => {
  await using place = await openPlace();
  const path = await initBare(join(place.ground.path, 'r.git'));
  const odb = place.pool.of(path, 'sha1');
  for (let n = 0; n < 20; n += 1) {
    const oid = (await git(path, ['hash-object', '-w', '--stdin'], `object ${n}`)) as Oid;
    assert.equal((await odb.read(oid))?.bytes.toString(), `object ${n}`);
    const name = await git(path, ['pack-objects', '-q', 'objects/pack/pack'], `${oid}\n`);
    const loose = join(path, 'objects', oid.slice(0, 2), oid.slice(2));
    await rm(loose);
    assert.deepEqual(await odb.header(oid), { type: 'blob', size: `object ${n}`.length });
    await rm(join(path, `objects/pack/pack-${name}.idx`));
    await rm(join(path, `objects/pack/pack-${name}.pack`));
    assert.equal(await odb.read(oid), undefined);
    assert.equal(await odb.header(oid), undefined);
  }
});

test('OdbPool reads a pack that was put in the place of one of the same name', async () => {
  await using place = await openPlace({ filesMax: 1, blockBytesMax: 140_000, objectBytesMax: 0 });
  const path = await makeRepository(join(place.ground.path, 'r.git'), 'sha1');
  await git(path, ['repack', '-adq']);
  const odb = place.pool.of(path, 'sha1');
  await assertAllAsGit(odb, path);
  // A restored backup: the same bytes in another file, which is found when the old one has to be opened again.
  await shell(path, 'cd objects/pack; for file in *; do cp $file ../copy; mv -f ../copy $file; done');
  await assertAllAsGit(odb, path);
});

test('OdbPool does not believe that a miss is one where a remote promised what is missing', async () => {
  await using place = await openPlace();
  const path = await makeRepository(join(place.ground.path, 'r.git'), 'sha1');
  await git(path, ['repack', '-adq']);
  await shell(path, 'for pack in objects/pack/*.pack; do touch ${pack%.pack}.promisor; done');
  const odb = place.pool.of(path, 'sha1');
  await assertAllAsGit(odb, path);
  assert.equal(await reach(odb.read('1'.repeat(40) as Oid)), BEYOND);
});

test('a quarantine lies before its repository, and nothing is held of it when it is gone', async () => {
  await using place = await openPlace();
  const path = await makeRepository(join(place.ground.path, 'r.git'), 'sha1');
  const objects = join(place.ground.path, 'incoming');
  await mkdir(objects);
  const oid = (await git(path, ['hash-object', '--stdin'], 'pushed')) as Oid;
  await shell(path, `printf pushed | GIT_OBJECT_DIRECTORY=${objects} git hash-object -w --stdin`);
  await shell(path, `echo ${oid} | GIT_OBJECT_DIRECTORY=${objects} git pack-objects -q ${objects}/pack/pack`);
  const repository = place.pool.of(path, 'sha1');
  {
    await using quarantine = place.pool.openDirectory(objects, 'sha1');
    const both = layered(quarantine, repository);
    await assertAllAsGit(both, path);
    assert.equal((await both.read(oid))?.bytes.toString(), 'pushed');
    assert.equal(await repository.read(oid), undefined);
    assert.ok(place.pool.openFiles > 0);
    place.pool.close();
    assert.equal((await both.read(oid))?.bytes.toString(), 'pushed');
  }
  assert.equal(place.pool.openFiles, 0);
  const memory = layered(inMemory(new Map([[oid, { type: 'blob', bytes: Buffer.from('pushed') }]])), repository);
  assert.deepEqual(await memory.header(oid), { type: 'blob', size: 6 });
  await assertAllAsGit(memory, path);
});

test('withinReach tells what is beyond reach from what fails', async () => {
  assert.deepEqual(await withinReach(() => Promise.resolve(1)), { answer: 1 });
  assert.equal(await withinReach(() => Promise.reject(new BeyondReach('far'))), undefined);
  await assert.rejects(
    withinReach(() => Promise.reject(new Error('broken'))),
    { message: 'broken' },
  );
});
