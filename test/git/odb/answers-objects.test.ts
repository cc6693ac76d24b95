import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  bringsMerge,
  changedPaths,
  factsOf,
  isAncestor,
  listTree,
  type ObjectPlace,
  parentsOf,
  readObject,
} from '../../../src/git/objects.ts';
import { OdbPool } from '../../../src/git/odb/pool.ts';
import type { Oid } from '../../../src/git/oid.ts';
import { changedFiles, type CommitChanges } from '../../../src/receive/checks/changed-files.ts';
import { git, initBare, openGround, shareProcesses } from '../ground.ts';
import { diceOf, grow } from './histories.ts';

const open = shareProcesses();

const SEEDS = [1];

async function collect(place: ObjectPlace, commits: ReadonlyMap<string, readonly string[]>): Promise<CommitChanges[]> {
  const all: CommitChanges[] = [];
  for await (const one of changedFiles({ place, commits, deadlineMs: 60_000 })) all.push(one);
  return all;
}

for (const format of ['sha1', 'sha256'] as const) {
  test(`what is answered without a process is git's answer, over random histories (${format})`, async () => {
    await using ground = await openGround();
    const pool = new OdbPool();
    let own = 0;
    for (const seed of SEEDS) {
      const dice = diceOf(seed + (format === 'sha1' ? 0 : 100));
      const gitDir = await initBare(join(ground.path, `${seed}.git`), format);
      await grow(gitDir, dice, { branches: 3, commits: 14 });
      const slow: ObjectPlace = { processes: open.processes, gitDir };
      const fast: ObjectPlace = { ...slow, odb: pool.of(gitDir, format) };
      const commits = (await git(gitDir, ['rev-list', '--all'])).split('\n') as Oid[];
      const pick = (): Oid => commits[dice(commits.length)] as Oid;
      const blob = (await git(gitDir, ['rev-list', '--all', '--objects', '--filter=object:type=blob', '-n1'])).slice(
        0,
        0,
      );
      assert.equal(blob, '');
      const equal = async <T>(ask: (place: ObjectPlace) => Promise<T>): Promise<void> => {
        const expected = await ask(slow);
        const before = open.processes.started;
        assert.deepEqual(await ask(fast), expected, `seed ${seed}`);
        if (open.processes.started === before) own += 1;
      };
      const names = commits.flatMap((oid) => [oid, `${oid}^{tree}`, `${oid}^{commit}`]);
      await equal((place) => factsOf(place, names));
      await equal((place) => parentsOf(place, commits));
      const parents = await parentsOf(slow, commits);
      await equal((place) => collect(place, parents));
      for (let round = 0; round < 5; round += 1) {
        const [one, other] = [pick(), pick()];
        await equal((place) => isAncestor(place, one, other));
        await equal((place) => bringsMerge(place, one, other));
        await equal((place) => changedPaths(place, one, other));
        await equal((place) => listTree(place, one, { recursive: round % 2 === 0 }));
        await equal((place) => readObject(place, { name: one, type: 'commit', bytesMax: 10_000 }));
      }
    }
    pool.close();
    // Renames of similar files are git's to find; nearly all the rest is not.
    assert.ok(own > SEEDS.length * 15, `${own} answers without a process`);
  });
}

test('answers about tags, missing objects and wrong types are git’s', async () => {
  await using ground = await openGround();
  const pool = new OdbPool();
  const gitDir = await initBare(join(ground.path, 'r.git'));
  await grow(gitDir, diceOf(9), { branches: 1, commits: 3 });
  const tip = (await git(gitDir, ['rev-parse', 'refs/heads/b0'])) as Oid;
  await git(gitDir, ['tag', '-a', '-m', 'x', 'one', tip]);
  await git(gitDir, ['tag', '-a', '-m', 'x', 'two', 'one']);
  const text = (await git(gitDir, ['hash-object', '-w', '--stdin'], 'text')) as Oid;
  await git(gitDir, ['tag', '-a', '-m', 'x', 'file', text]);
  const tags = (await git(gitDir, ['rev-parse', 'one', 'two', 'file'])).split('\n') as Oid[];
  const slow: ObjectPlace = { processes: open.processes, gitDir };
  const fast: ObjectPlace = { ...slow, odb: pool.of(gitDir, 'sha1') };
  const missing = '5'.repeat(40) as Oid;
  const names = [...tags, text, tip, missing].flatMap((oid) => [oid, `${oid}^{commit}`, `${oid}^{tree}`]);
  for (const name of names) {
    assert.deepEqual(await factsOf(fast, [name]), await factsOf(slow, [name]), name);
  }
  for (const place of [slow, fast]) {
    await assert.rejects(isAncestor(place, missing, tip));
    await assert.rejects(isAncestor(place, text, tip));
    await assert.rejects(listTree(place, text));
    await assert.rejects(readObject(place, { name: tip, type: 'blob', bytesMax: 100 }), { code: 'bad-input' });
    await assert.rejects(readObject(place, { name: text, type: 'blob', bytesMax: 2 }), { code: 'bad-input' });
    assert.equal(await readObject(place, { name: missing, type: 'blob', bytesMax: 2 }), undefined);
  }
  pool.close();
});
