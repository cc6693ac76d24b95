import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { OdbPool } from '../../../src/git/odb/pool.ts';
import { OBJECT_FORMATS, type Oid } from '../../../src/git/oid.ts';
import { git, openGround } from '../ground.ts';
import { makeRepository, objectsOf, shell } from './repositories.ts';

/** What a housekeeper does to a repository while it is read. */
const UPKEEP: readonly (readonly string[])[] = [
  ['repack', '-adfq', '--depth=20'],
  ['-c', 'gc.reflogExpire=now', 'gc', '-q', '--prune=now'],
  ['repack', '-aAdfq', '--unpack-unreachable=now'],
  ['repack', '-dq', '--geometric=2'],
];

for (const format of OBJECT_FORMATS) {
  test(`OdbPool misses nothing and mistakes nothing while git repacks, unpacks and prunes beside it (${format})`, async () => {
    await using ground = await openGround();
    // Little memory and few descriptors: files are opened again and again, when they may be gone.
    const pool = new OdbPool({ filesMax: 2, blockBytesMax: 300_000, objectBytesMax: 60_000 });
    const path = await makeRepository(join(ground.path, 'r.git'), format);
    await git(path, ['gc', '-q', '--prune=now']);
    const objects = [...(await objectsOf(path))];
    const odb = pool.of(path, format);
    const done = new AbortController();
    let reads = 0;
    const reader = async (step: number): Promise<void> => {
      for (let at = step; !done.signal.aborted; at += step) {
        const [oid, { type, bytes }] = objects[at % objects.length] ?? assert.fail();
        const object = await odb.read(oid);
        assert.equal(object?.type, type, oid);
        assert.ok(object?.bytes.equals(bytes), oid);
        assert.deepEqual(await odb.header(oid), { type, size: bytes.length }, oid);
        reads += 1;
      }
    };
    const upkeep = async (): Promise<void> => {
      try {
        for (let round = 0; round < 8; round += 1) {
          await git(path, UPKEEP[round % UPKEEP.length] ?? []);
          if (round % 3 === 2) await shell(path, UNPACK);
        }
      } finally {
        done.abort();
      }
    };
    await Promise.all([upkeep(), reader(1), reader(7), reader(13)]);
    assert.ok(reads > 100, `${reads} objects were read`);
    assert.ok(pool.openFiles <= 2);
    pool.close();
    assert.equal(pool.openFiles, 0);
  });
}

/** Each object as a file of its own, before the packs go. */
const UNPACK = `
  mkdir -p ../loose
  for pack in objects/pack/*.pack; do GIT_DIR=$PWD GIT_OBJECT_DIRECTORY=$PWD/../loose git unpack-objects -q <$pack; done
  cp -rl ../loose/. objects/
  rm -f objects/pack/*.idx objects/pack/*.rev objects/pack/*.bitmap objects/pack/*.pack
  rm -rf ../loose
`;

test('OdbPool does not hold the space of packs that are gone', async () => {
  await using ground = await openGround();
  let later: (() => void) | undefined;
  let nowMs = 0;
  const after = (_ms: number, callback: () => void): (() => void) => {
    later = callback;
    return () => {
      later = undefined;
    };
  };
  const clock = {
    now: () => Date.now(),
    monotonicMs: () => nowMs,
    randomBytes: (count: number) => Buffer.alloc(count),
    after,
  };
  const pool = new OdbPool({ clock });
  const path = await makeRepository(join(ground.path, 'r.git'), 'sha1');
  await git(path, ['repack', '-adq']);
  const head = (await git(path, ['rev-parse', 'main'])) as Oid;
  await pool.of(path, 'sha1').read(head);
  assert.equal(pool.openFiles, 2);
  assert.ok(later);
  later();
  assert.equal(pool.openFiles, 2, 'what was just used stays open');
  nowMs += 60_000;
  later();
  assert.equal(pool.openFiles, 0);
  assert.equal((await pool.of(path, 'sha1').read(head))?.type, 'commit');
  pool.close();
});
