/**
 * The gate killed at the borders of a push on its way upstream: after the next start both sides are the same. Moments in
 * between, and real upstreams that go on alone, are for `npm run soak:gate`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fsck } from '../soak/crash-check.ts';
import { workspace } from '../support/workspace.ts';
import { commitFile, git, GIT_ENV, gitOk } from '../receive/site.ts';
import { startForwardSite } from './ground.ts';
import { scriptedRemote } from './scripted-remote.ts';

/** Where it is killed, and whether the push is there afterwards: what the upstream has decides. */
const BORDERS: readonly (readonly [string, 'absent' | 'there'])[] = [
  ['forward: intended', 'absent'],
  ['at the upstream', 'absent'],
  ['taken upstream', 'there'],
  ['forward: reported', 'there'],
  ['commit: prepared', 'there'],
  ['commit: committed', 'there'],
  ['commit: applied', 'there'],
  ['forward: cleared', 'there'],
];

interface Ground {
  readonly root: string;
  readonly upstream: string;
  readonly tree: string;
}

/** An upstream with `main`, `old` and what a push is to change. */
async function ground(t: TestContext): Promise<Ground> {
  const root = workspace(t, 'gatehouse-forward-crash-');
  const [upstream, tree] = [join(root, 'upstream.git'), join(root, 'tree')];
  await gitOk(root, 'init', '-q', '--bare', '-b', 'main', upstream);
  await gitOk(root, 'init', '-q', '-b', 'main', tree);
  await commitFile(tree, 'base');
  await gitOk(tree, 'push', '-q', upstream, 'main', 'main:refs/heads/old');
  await commitFile(tree, 'next');
  return { root, upstream, tree };
}

/** Starts it, and pushes until it is dead. */
async function pushToDeath({ root, upstream, tree }: Ground, border: string): Promise<void> {
  const program = join(import.meta.dirname, 'forward-server.ts');
  const child = spawn(process.execPath, [program, join(root, 'site'), upstream, border], {
    env: GIT_ENV,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  for await (const url of createInterface(child.stdout)) {
    const { code } = await git(tree, 'push', url, 'main', 'main:refs/heads/new', ':refs/heads/old');
    assert.notEqual(code, 0, `${border}: the client has heard`);
  }
  assert.deepEqual(await ended, [null, 'SIGKILL']);
}

const refsOf = (path: string): Promise<string> => gitOk(path, 'for-each-ref', '--format=%(refname) %(objectname)');

for (const [border, fate] of BORDERS) {
  test(`killed at the border "${border}", the push is ${fate} on both sides after the next start`, async (t) => {
    const around = await ground(t);
    const { root, upstream, tree } = around;
    const before = await refsOf(upstream);
    await pushToDeath(around, border);
    const site = await startForwardSite({ root: join(root, 'site'), remote: scriptedRemote(upstream) });
    t.after(() => site.close());
    assert.equal(await site.refs().then((refs) => refs.split('\n').length), 2);
    assert.equal(await refsOf(site.repository.path), await refsOf(upstream));
    assert.equal((await refsOf(upstream)) === before, fate === 'absent');
    assert.equal(await site.intent(), undefined);
    assert.deepEqual(site.leftovers(), []);
    assert.deepEqual(await fsck(site.repository.path), []);
    const told = (await site.journalLines()).filter(({ refs }) => refs?.some(({ name }) => name === 'refs/heads/new'));
    const oks = told.filter(({ refs }) => refs?.every(({ result }) => result === 'ok'));
    assert.ok(told.length > 0, 'the journal knows of the push');
    assert.equal(oks.length > 0, fate === 'there', 'and tells its fate');
    if (fate === 'there') return;
    const again = await git(tree, 'push', site.gitUrl, 'main', 'main:refs/heads/new', ':refs/heads/old');
    assert.equal(again.code, 0, again.stderr);
  });
}

test('an upstream out of reach at the next start keeps its mirror closed, not the gate; then the mirror follows', async (t) => {
  const around = await ground(t);
  const { root, upstream } = around;
  await pushToDeath(around, 'taken upstream');
  const remote = scriptedRemote(upstream, { isDown: true });
  const site = await startForwardSite({ root: join(root, 'site'), remote });
  t.after(() => site.close());
  assert.deepEqual(site.reconciled, { found: 1, settled: 0, waiting: ['r'] });
  await assert.rejects(site.refresh(), /mirror cannot be refreshed/);
  assert.notEqual(await site.intent(), undefined);
  remote.script.isDown = false;
  await site.refresh();
  assert.equal(await refsOf(site.repository.path), await refsOf(upstream));
  assert.equal(await site.intent(), undefined);
});

test('the check catches a start that forgets intents', async (t) => {
  const around = await ground(t);
  const { root, upstream } = around;
  await pushToDeath(around, 'taken upstream');
  const site = await startForwardSite({
    root: join(root, 'site'),
    remote: scriptedRemote(upstream),
    forgetsIntents: true,
  });
  t.after(() => site.close());
  assert.notEqual(await refsOf(site.repository.path), await refsOf(upstream));
});
