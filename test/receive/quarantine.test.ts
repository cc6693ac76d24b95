/** What lies in a quarantine: synced once, as it is written or before the commit; and how its packs are kept from repacking. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { realDurable, type Durable } from '../../src/receive/durable.ts';
import { installObjects, releaseEveryPack, releasePacks, syncQuarantine } from '../../src/receive/install.ts';
import { openQuarantine, writeSynced, type Quarantine } from '../../src/receive/quarantine.ts';
import { workspace } from '../support/workspace.ts';

const BYTES = Buffer.from('bytes');

function recording(): { readonly durable: Durable; readonly synced: string[] } {
  const synced: string[] = [];
  const syncFile = (path: string): Promise<void> => {
    synced.push(basename(path));
    return Promise.resolve();
  };
  return { synced, durable: { ...realDurable, syncFile } };
}

function repositoryPath(t: TestContext): string {
  const path = join(workspace(t), 'r.git');
  mkdirSync(join(path, 'objects', 'pack'), { recursive: true });
  return path;
}

/** A pack of some pushes to come; what is in it does not matter here. */
async function withPack(path: string, digit: string): Promise<Quarantine> {
  const quarantine = await openQuarantine(path, systemClock);
  for (const end of ['pack', 'idx']) await writeSynced(quarantine, `pack/pack-${digit.repeat(40)}.${end}`, BYTES);
  return quarantine;
}

function install(path: string, { objectDirectory }: Quarantine, onKept: (pack: string) => void): Promise<unknown> {
  return installObjects({ objectDirectory, repositoryPath: path, onKept });
}

test('what was synced as it was written is not synced again, everything else is', async (t) => {
  const path = repositoryPath(t);
  await using quarantine = await withPack(path, 'a');
  writeFileSync(join(quarantine.objectDirectory, 'pack', 'pack-b.pack'), BYTES);
  mkdirSync(join(quarantine.objectDirectory, '12'));
  writeFileSync(join(quarantine.objectDirectory, '12', '34'), BYTES);
  const { durable, synced } = recording();
  await syncQuarantine(quarantine.objectDirectory, durable);
  assert.deepEqual(synced.sort(), ['34', 'pack-b.pack']);
});

test('nothing is believed of a file that failed, or of a quarantine that is gone', async (t) => {
  const path = repositoryPath(t);
  const quarantine = await withPack(path, 'a');
  const name = `pack/pack-${'b'.repeat(40)}.pack`;
  writeFileSync(join(quarantine.objectDirectory, name), '');
  await assert.rejects(writeSynced(quarantine, name, BYTES), { code: 'EEXIST' });
  const during = recording();
  await syncQuarantine(quarantine.objectDirectory, during.durable);
  assert.deepEqual(during.synced, [basename(name)]);
  await quarantine[Symbol.asyncDispose]();
  mkdirSync(join(quarantine.objectDirectory, 'pack'), { recursive: true });
  const again = `pack-${'a'.repeat(40)}.pack`;
  writeFileSync(join(quarantine.objectDirectory, 'pack', again), BYTES);
  const after = recording();
  await syncQuarantine(quarantine.objectDirectory, after.durable);
  assert.deepEqual(after.synced, [again]);
});

test('packs that come side by side are each kept, and say by whom; what others keep stays theirs', async (t) => {
  const path = repositoryPath(t);
  const packs = join(path, 'objects', 'pack');
  const foreign = join(packs, `pack-${'c'.repeat(40)}.keep`);
  writeFileSync(foreign, 'mine\n');
  const kept: string[] = [];
  const all = await Promise.all(['a', 'b', 'c'].map((digit) => withPack(path, digit)));
  await Promise.all(all.map((quarantine) => install(path, quarantine, (pack) => kept.push(pack))));
  assert.deepEqual(kept.sort(), [`pack-${'a'.repeat(40)}`, `pack-${'b'.repeat(40)}`]);
  for (const pack of kept) assert.match(readFileSync(join(packs, `${pack}.keep`), 'utf8'), /^gatehouse /);
  await releaseEveryPack(path);
  assert.deepEqual(
    readdirSync(packs).filter((name) => name.endsWith('.keep')),
    [basename(foreign)],
  );
  for (const quarantine of all) await quarantine[Symbol.asyncDispose]();
  assert.deepEqual(readdirSync(join(path, 'gatehouse', 'incoming')), []);
  // Later ones are kept by the same text.
  await using later = await withPack(path, 'd');
  await install(path, later, (pack) => kept.push(pack));
  assert.match(readFileSync(join(packs, `pack-${'d'.repeat(40)}.keep`), 'utf8'), /^gatehouse /);
});

test('who writes a reason of their own into the text of our keeps changes it for no later pack', async (t) => {
  const path = repositoryPath(t);
  const packs = join(path, 'objects', 'pack');
  await using first = await withPack(path, 'a');
  await install(path, first, () => {});
  const theirs = join(packs, `pack-${'a'.repeat(40)}.keep`);
  assert.equal(statSync(theirs).mode & 0o222, 0);
  // As root, or with force: the same file has all the names.
  chmodSync(theirs, 0o644);
  writeFileSync(theirs, 'a person keeps this\n');
  // As the next start does.
  await releaseEveryPack(path);
  assert.equal(readFileSync(theirs, 'utf8'), 'a person keeps this\n');
  await using second = await withPack(path, 'b');
  await install(path, second, () => {});
  await releaseEveryPack(path);
  assert.deepEqual(
    readdirSync(packs).filter((name) => name.endsWith('.keep')),
    [basename(theirs)],
  );
});

test('one pack that comes with two pushes at once is kept once, and is whole', async (t) => {
  const path = repositoryPath(t);
  const packs = join(path, 'objects', 'pack');
  const name = `pack-${'e'.repeat(40)}`;
  for (let round = 0; round < 8; round += 1) {
    const kept: string[] = [];
    const both = await Promise.all([withPack(path, 'e'), withPack(path, 'e')]);
    await Promise.all(both.map((quarantine) => install(path, quarantine, (pack) => kept.push(pack))));
    assert.deepEqual(kept, [name]);
    assert.deepEqual(readdirSync(packs).sort(), [`${name}.idx`, `${name}.keep`, `${name}.pack`]);
    for (const end of ['pack', 'idx']) assert.deepEqual(readFileSync(join(packs, `${name}.${end}`)), BYTES);
    for (const quarantine of both) await quarantine[Symbol.asyncDispose]();
    await releasePacks(path, kept);
    assert.deepEqual(readdirSync(join(path, 'gatehouse', 'incoming')), []);
    // So that each round makes the text anew, twice at once.
    for (const file of readdirSync(packs)) rmSync(join(packs, file));
    rmSync(join(path, 'gatehouse', 'keep'));
  }
});
