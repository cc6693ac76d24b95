import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { OdbPool } from '../../src/git/odb/pool.ts';
import { OBJECT_FORMATS, type Oid, oidHexLength } from '../../src/git/oid.ts';
import { peelMany } from '../../src/git/peel.ts';
import { git, openGround, openProcesses, type ProcessGround } from './ground.ts';
import { makeRepository } from './odb/repositories.ts';

let open: ProcessGround;
before(async () => {
  open = await openProcesses({ isolation: 'off' });
});
after(() => open[Symbol.asyncDispose]());

for (const format of OBJECT_FORMATS) {
  test(`peelMany says the same with a git process and without (${format})`, async () => {
    await using ground = await openGround();
    const path = await makeRepository(join(ground.path, 'r.git'), format);
    const commit = await git(path, ['rev-parse', 'main']);
    const tree = await git(path, ['rev-parse', 'main^{tree}']);
    const none = 'a'.repeat(oidHexLength(format));
    const tag = (
      object: string,
      type: string,
      rest = 'tag t\ntagger A <a@example.org> 1 +0000\n\nt\n',
    ): Promise<string> => writeObject(path, 'tag', `object ${object}\ntype ${type}\n${rest}`);
    const bogus = await writeObject(path, 'commit', `parent ${commit}\n\nno tree\n`);
    const sound = [
      commit,
      tree,
      none,
      bogus,
      await git(path, ['rev-parse', 'main:growing']),
      await git(path, ['rev-parse', 'two']),
      await tag(tree, 'tree'),
      await tag(await tag(commit, 'commit'), 'tag'),
      await tag(none, 'commit'),
      await tag(await tag(none, 'tag'), 'tag'),
    ] as Oid[];
    const odd = [
      await tag(tree, 'commit'),
      await tag(bogus, 'commit'),
      await tag(commit, 'sapling'),
      await tag(commit, 'commit', 'no tag\n'),
      await tag(commit.slice(2), 'commit'),
      await writeObject(path, 'tag', ''),
    ] as Oid[];
    const pool = new OdbPool();
    const { processes } = open;
    const place = { processes, gitDir: path, objectFormat: format };
    const expected = await peelMany(place, [...sound, ...odd]);
    const before = processes.started;
    const odb = pool.of(path, format);
    const peelings = await peelMany({ ...place, odb }, sound);
    assert.equal(processes.started, before, 'no git was asked');
    for (const oid of sound) assert.deepEqual(peelings.get(oid), expected.get(oid), oid);
    assert.deepEqual(await peelMany({ ...place, odb }, [...sound, ...odd]), expected);
    assert.equal(processes.started, before + 1, 'git was asked once about what is odd');
    pool.close();
  });
}

/** As a loose object, whatever it says: hash-object of git would refuse some of these. */
async function writeObject(path: string, type: string, text: string): Promise<string> {
  const oid = await git(path, ['hash-object', '--literally', '-t', type, '--stdin'], text);
  const directory = join(path, 'objects', oid.slice(0, 2));
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, oid.slice(2)), deflateSync(`${type} ${Buffer.byteLength(text)}\0${text}`));
  return oid;
}
