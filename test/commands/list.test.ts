/** Long lists: the same text as in one piece, in pieces that come while the list is still being read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRepositoryName } from '../../src/repository/name.ts';
import type { RepositoryListOptions } from '../../src/repository/records.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { startHarness, type Harness } from './harness.ts';

/** As if so many repositories were there: `r0000`, `r0001` ... What was asked of the catalogue is counted. */
function pretend({ catalogue }: Harness, count: number): { pages: number } {
  const all = Array.from({ length: count }, (_, index): Repository => {
    const name = parseRepositoryName(`r${String(index).padStart(4, '0')}`);
    assert.ok(name.kind === 'ok');
    const id = String(index).padStart(32, '0');
    const facts = { id, name: name.value, owner: 'root1', settings: {}, path: `/${id}`, description: `N${index}` };
    return { ...facts, objectFormat: 'sha1', createdAt: 0, version: 1 };
  });
  const seen = { pages: 0 };
  const list = async ({ after = '', limit = 1_000 }: RepositoryListOptions): Promise<readonly Repository[]> => {
    seen.pages += 1;
    return all.filter(({ name }) => name > after).slice(0, limit);
  };
  Object.defineProperty(catalogue, 'list', { value: list, configurable: true });
  return seen;
}

test('ls --json is one document, byte for byte, however long; ls has a line for each', async () => {
  await using gate = await startHarness();
  for (const count of [0, 1, 499, 500, 501, 1_500]) {
    pretend(gate, count);
    const text = await gate.admin('ls --json');
    const parsed = JSON.parse(text) as readonly { readonly name: string }[];
    assert.equal(text, `${JSON.stringify(parsed, undefined, 2)}\n`, String(count));
    assert.equal(parsed.length, count);
    assert.equal(new Set(parsed.map(({ name }) => name)).size, count);
    const lines = (await gate.admin('ls')).split('\n');
    assert.equal(lines.pop(), '');
    assert.deepEqual(
      lines,
      parsed.map(({ name }) => `RW*  ${name}`),
    );
    const verbose = (await gate.admin('ls -v')).trimEnd();
    assert.equal(verbose === '' ? 0 : verbose.split('\n').length, count);
  }
});

test('ls prints what it found before it has read the rest', async () => {
  await using gate = await startHarness();
  const seen = pretend(gate, 3_000);
  const pagesAt: number[] = [];
  await gate.admin('ls', { onStdout: () => void pagesAt.push(seen.pages) });
  assert.ok(pagesAt.length >= 6, `${pagesAt.length} pieces`);
  assert.ok((pagesAt[0] ?? Infinity) < 3, `the first piece came after ${pagesAt[0]} pages`);
});

test('a greeting decides about a bounded number of repositories and sends the asker to ls', async () => {
  await using gate = await startHarness();
  await gate.admin('user add ian ian@example.org Ian');
  pretend(gate, 4_500);
  const before = gate.asked.length;
  assert.match(await gate.greeting('ian'), /`ls` lists the repositories that you may read/);
  assert.ok(gate.asked.length - before <= 2_100, `${gate.asked.length - before} questions`);
  pretend(gate, 1_500);
  assert.match(await gate.greeting('ian'), /There is no repository that you may read yet/);
});
