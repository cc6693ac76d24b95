/** A pass that may push so many times: counted by the commit point, and by nothing else. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { PassPushes, type PushTickets } from '../../src/identity/pass-pushes.ts';
import type { PassCredential } from '../../src/identity/pass-scope.ts';
import type { CommitStep } from '../../src/receive/commit.ts';
import { commitFile, git, gitOk, openSite, PRINCIPAL, type Site } from './site.ts';

const NONE = { repositories: [], read: false, push: [], createOnly: false, rewind: false, delete: false, from: [] };
const PASS: PassCredential = {
  kind: 'pass',
  id: 'id',
  name: 'n',
  purpose: '',
  scope: NONE,
  expiresAt: 0,
  pushesMax: 2,
};

/** A site whose pusher has this pass; `failing` says where the next commit breaks. */
async function passSite(t: TestContext): Promise<{
  readonly site: Site;
  readonly tree: string;
  readonly count: () => Promise<number>;
  readonly break: { at: CommitStep | undefined };
}> {
  assert.ok(PRINCIPAL.kind === 'user');
  const principal = { ...PRINCIPAL, credential: PASS };
  const state: { at: CommitStep | undefined } = { at: undefined };
  let pushing: PassPushes | undefined;
  const passes: PushTickets = { ticket: () => pushing?.ticket(principal) };
  const onCommitStep = (step: CommitStep): void => {
    if (step === state.at) throw new Fault('internal', 'fault of the test');
  };
  const site = await openSite(t, { parts: { onCommitStep, passes } });
  const made = new PassPushes(site.store);
  pushing = made;
  return { site, tree: await site.workTree(), count: () => made.count(PASS.id), break: state };
}

test('a push that fails before its commit point costs nothing, one that fails after it is counted, each once', async (t) => {
  const { site, tree, count, break: broken } = await passSite(t);
  await commitFile(tree, 'a');
  for (const at of ['installed', 'logged', 'prepared'] as const) {
    broken.at = at;
    assert.notEqual((await git(tree, 'push', site.gitUrl, 'main')).code, 0);
    assert.equal(await count(), 0, at);
  }
  broken.at = 'committed';
  assert.notEqual((await git(tree, 'push', site.gitUrl, 'main')).code, 0);
  assert.equal(await count(), 1);
  broken.at = undefined;
  await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:two', 'main:three');
  assert.equal(await count(), 2, 'refs are not counted');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main:four');
  assert.notEqual(code, 0);
  assert.match(stderr, /this pass may push 2 times, and did/);
  assert.equal(await count(), 2);
});

test('of six pushes at once with a pass for two, two are acknowledged', async (t) => {
  const { site, tree, count } = await passSite(t);
  await commitFile(tree, 'a');
  const ended = await Promise.all(
    Array.from({ length: 6 }, (_, index) => git(tree, 'push', site.gitUrl, `main:refs/heads/b${index}`)),
  );
  assert.equal(ended.filter(({ code }) => code === 0).length, 2);
  assert.equal(await count(), 2);
  assert.equal((await site.refs()).split('\n').length, 2);
});

test('a push of which everything is refused costs nothing', async (t) => {
  const { site, tree, count } = await passSite(t);
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  assert.notEqual((await git(tree, 'push', site.gitUrl, 'main:refs/gatehouse/x')).code, 0);
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  assert.equal(await count(), 1, 'nor one that has nothing to say');
});
