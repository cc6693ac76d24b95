import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import type { HeldPush } from '../../src/receive/hold-record.ts';
import { HOLD_ALL, roomyHolding } from './hold-ground.ts';
import { commitFile, git, openSite, type Site } from './site.ts';

const CHILD = join(import.meta.dirname, 'hold-child.ts');

interface Child {
  readonly process: ChildProcess;
  readonly url: string;
  readonly ended: Promise<unknown>;
}

async function startChild(t: TestContext, root: string, point: string): Promise<Child> {
  const child = spawn(process.execPath, [CHILD, root, point], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  for await (const url of createInterface(child.stdout)) return { process: child, url, ended };
  throw new Error('the child said nothing');
}

/** What the next start finds. */
async function reopen(t: TestContext, root: string) {
  const site: Site = await openSite(t, {
    root,
    decide: HOLD_ALL,
    parts: {
      holding: roomyHolding(() => site),
    },
  });
  const { holds } = site.receive;
  assert.ok(holds);
  const all: HeldPush[] = [];
  for await (const held of holds.list()) all.push(held);
  const path = join(site.repository.path, 'gatehouse', 'held');
  return { site, all, areas: existsSync(path) ? readdirSync(path) : [] };
}

async function setUp(t: TestContext, point: string) {
  const root = mkdtempSync(join(tmpdir(), 'gatehouse-hold-'));
  const child = await startChild(t, root, point);
  const tree = join(root, 'tree');
  assert.equal((await git(root, 'init', '-q', '-b', 'main', tree)).code, 0);
  const tip = await commitFile(tree, 'a.txt');
  const pushed = await git(tree, 'push', child.url, 'main');
  return { root, child, tip, pushed };
}

for (const [point, whole] of [
  ['objects', false],
  ['record', true],
] as const) {
  test(`killed when the ${point} of a held push are on disk, there is ${whole ? 'a whole hold' : 'none'}, and nobody was told`, async (t) => {
    const { root, child, pushed } = await setUp(t, point);
    await child.ended;
    assert.doesNotMatch(pushed.stderr, /held for approval/);
    const { site, all, areas } = await reopen(t, root);
    assert.deepEqual(
      all.map(({ state }) => state),
      whole ? ['waiting'] : [],
    );
    assert.deepEqual(
      areas,
      all.map(({ id }) => id),
    );
    assert.equal(await site.refs(), '');
    assert.deepEqual(site.leftovers(), []);
  });
}

for (const [point, isApplied] of [
  ['installed', false],
  ['prepared', false],
  ['committed', true],
  ['journaled', true],
  ['told', true],
] as const) {
  test(`an approval killed at "${point}" is ${isApplied ? 'applied' : 'still waiting'} at the next start`, async (t) => {
    const { root, child, tip, pushed } = await setUp(t, point);
    const id = /held for approval as (\w+)/.exec(pushed.stderr)?.[1];
    assert.ok(id, pushed.stderr);
    child.process.stdin?.write(`${id}\n`);
    await child.ended;
    const { site, all, areas } = await reopen(t, root);
    assert.deepEqual(
      all.map(({ state }) => state),
      [isApplied ? 'approved' : 'waiting'],
    );
    assert.equal(await site.refs(), isApplied ? `${tip} refs/heads/main` : '');
    assert.deepEqual(areas, isApplied ? [] : [id]);
    assert.deepEqual(site.leftovers(), []);
    assert.equal((await git(site.repository.path, 'fsck', '--strict')).code, 0);
  });
}
