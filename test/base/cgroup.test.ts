/** What bounds of memory of a cgroup and of those around it leave. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { droppableBytes, groupMemory } from '../../src/base/cgroup.ts';

interface Group {
  readonly max?: string;
  readonly high?: string;
  readonly current?: string;
  readonly stat?: string;
}

/** A hierarchy as the kernel shows it: these groups, by path. */
async function hierarchy(t: TestContext, groups: Readonly<Record<string, Group>>): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'gatehouse-cgroup-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, group] of Object.entries(groups)) {
    await mkdir(join(root, path), { recursive: true });
    for (const [name, text] of Object.entries(group)) await writeFile(join(root, path, `memory.${name}`), `${text}\n`);
  }
  return root;
}

const FREE = { max: 'max', high: 'max', current: '900', stat: 'anon 900' };

test('the nearest bound counts, whichever cgroup has it', async (t) => {
  const groups = (own: Group, around: Group, outer: Group = FREE) =>
    hierarchy(t, { 'a/b/c': { ...FREE, ...own }, 'a/b': { ...FREE, ...around }, a: outer });
  assert.equal(await groupMemory(await groups({}, {}), '/a/b/c'), undefined);
  assert.deepEqual(await groupMemory(await groups({ max: '1000' }, {}), '/a/b/c'), { bytes: 1000, freeBytes: 100 });
  assert.deepEqual(await groupMemory(await groups({}, { max: '1000' }), '/a/b/c'), { bytes: 1000, freeBytes: 100 });
  // The wider bound around it is the fuller one: neighbours use it up.
  const neighbours = await groups({ max: '1000', current: '200' }, { max: '5000', current: '4990' });
  assert.deepEqual(await groupMemory(neighbours, '/a/b/c'), { bytes: 1000, freeBytes: 10 });
  const far = await groups({}, {}, { max: '2000', current: '2100', stat: 'anon 2100' });
  assert.deepEqual(await groupMemory(far, '/a/b/c'), { bytes: 2000, freeBytes: 0 });
});

test('what slows a cgroup down is a bound as what ends it is', async (t) => {
  const root = await hierarchy(t, {
    a: { max: '2000', high: '1000', current: '950', stat: 'anon 950' },
    'a/b': { max: '3000', high: 'max', current: '500', stat: 'anon 500' },
  });
  assert.deepEqual(await groupMemory(root, '/a/b'), { bytes: 1000, freeBytes: 50 });
});

test('a container that sees only its own part finds its bound at the root of that', async (t) => {
  const root = await hierarchy(t, { '.': { max: '1000', current: '400', stat: '' } });
  for (const path of ['/', '/docker/0123', '/../elsewhere'])
    assert.deepEqual(await groupMemory(root, path), { bytes: 1000, freeBytes: 600 }, path);
  assert.equal(await groupMemory(join(root, 'nowhere'), '/a'), undefined);
});

test('pages of files that a cgroup is full of are no shortage', async (t) => {
  const stat =
    'anon 5\nfile 900\nshmem 100\ninactive_anon 7\nactive_file 600\ninactive_file 200\nslab_reclaimable 30\nslab 40\n';
  assert.equal(droppableBytes(stat), 830);
  assert.equal(droppableBytes(''), 0);
  const root = await hierarchy(t, { a: { max: '1000', current: '1000', stat } });
  assert.deepEqual(await groupMemory(root, '/a/b'), { bytes: 1000, freeBytes: 830 });
});
