/** What changes while a push runs: its user, its repository, its rules. The commit point sees the last of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Question } from '../../src/access/decision.ts';
import { Fault, ok, refuse } from '../../src/base/fault.ts';
import { askAhead } from '../../src/receive/decide.ts';
import { ALLOW, commitFile, git, openSite, PRINCIPAL, startSite, type Site } from './site.ts';

async function push(site: Site, ...refs: readonly string[]): Promise<string> {
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  const { stderr } = await git(tree, 'push', '--porcelain', site.gitUrl, ...refs);
  return stderr;
}

test('a user who is suspended while the push runs commits nothing, and reads why', async (t) => {
  const reason = 'your account, or the key or token you showed, is not accepted any more';
  const site = await openSite(t, { confirm: async () => refuse(reason) });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  const ended = site.nextEnd();
  const { code, stdout, stderr } = await git(tree, 'push', '--porcelain', site.gitUrl, 'main', 'main:refs/heads/other');
  assert.equal(code, 1);
  assert.ok(`${stdout}${stderr}`.includes(reason));
  await ended;
  assert.equal(await site.refs(), '');
  const lines = (await site.journalLines()).filter(({ event }) => event === 'push');
  assert.deepEqual(
    lines.map(({ outcome, refs }) => [outcome, refs?.length]),
    [['refused', 2]],
  );
  assert.deepEqual(site.leftovers(), []);
  assert.equal(await site.store.get('pending', site.repository.id), undefined);
});

test('who loses the right to push while an upstream is waited for sees none of its refs, over any transport', async (t) => {
  const reason = 'your account, or the key or token you showed, is not accepted any more';
  let isRevoked = false;
  const site = await openSite(t, {
    async freshen() {
      isRevoked = true;
    },
    confirm: async () => (isRevoked ? refuse(reason) : ok({ principal: PRINCIPAL, repository: site.repository })),
  });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await git(tree, 'push', '-q', site.repository.path, 'main:refs/heads/hidden');
  for (const url of [site.gitUrl, site.httpUrl]) {
    isRevoked = false;
    const ended = site.nextEnd();
    const { code, stdout, stderr } = await git(tree, 'push', '--porcelain', url, ':refs/heads/hidden');
    assert.notEqual(code, 0);
    assert.ok(`${stdout}${stderr}`.includes(reason), stderr);
    const end = await ended;
    assert.ok('fault' in end && end.fault instanceof Fault && end.fault.code === 'missing');
  }
  assert.match(await site.refs(), /refs\/heads\/hidden$/);
});

test('rules that changed while the push runs decide again, ref by ref; rules that did not are not asked twice', async (t) => {
  const asked: string[] = [];
  let isClosed = false;
  const site = await openSite(t, {
    decide: ({ ref, operation }: Question) => {
      asked.push(`${operation} ${ref?.refname ?? ''}`);
      if (!isClosed || ref?.refname !== 'refs/heads/main') return ALLOW;
      return { kind: 'refused', reason: 'rules/main.lace:7: main is closed', rule: 'rules/main.lace:7', trace: [] };
    },
    async confirm() {
      isClosed = true;
      return ok({ principal: PRINCIPAL, repository: { ...site.repository, version: site.repository.version + 1 } });
    },
  });
  await push(site, 'main', 'main:refs/heads/other');
  assert.match(await site.refs(), /^[0-9a-f]{40} refs\/heads\/other$/);
  assert.equal(asked.length, 4);

  const calm = await openSite(t, {
    decide: ({ ref }: Question) => {
      asked.push(ref?.refname ?? '');
      return ALLOW;
    },
  });
  asked.length = 0;
  await push(calm, 'main', 'main:refs/heads/other');
  assert.equal(asked.length, 2);
});

test('a push during which a ref is hidden from its pusher is refused: it may stand on what that ref leads to', async (t) => {
  const NOW = (refname: string): boolean => !refname.includes('secret');
  let mayRead: ((refname: string) => boolean) | undefined;
  const site = await openSite(t, {
    confirm: async () => ok({ principal: PRINCIPAL, repository: site.repository, mayRead }),
  });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await git(tree, 'push', '-q', site.repository.path, 'main', 'main:refs/heads/open');
  await commitFile(tree, 'b');
  await git(tree, 'push', '-q', site.repository.path, 'main:refs/heads/secret');
  mayRead = NOW;
  // Names what the hidden ref has, and by that would show it.
  const naming = await git(tree, 'push', '--porcelain', site.gitUrl, 'main:refs/heads/mine', ':refs/heads/open');
  assert.match(naming.stdout, /refs\/heads\/mine.*just been changed: push again/);
  const deleting = await git(tree, 'push', '--porcelain', site.gitUrl, ':refs/heads/secret');
  assert.match(deleting.stdout, /refs\/heads\/secret.*you may not read this ref/);
  const making = await git(tree, 'push', '--porcelain', site.gitUrl, 'main~1:refs/heads/secret-2');
  assert.match(making.stdout, /refs\/heads\/secret-2.*you may not read this ref/);
  assert.doesNotMatch(await site.refs(), /mine|secret-2/);
  assert.match(await site.refs(), /refs\/heads\/secret$/m);
  // Another function that answers the same hides nothing, and other refs that come into sight are no reason either.
  mayRead = () => true;
  assert.equal((await git(tree, 'push', '--porcelain', site.gitUrl, 'main:refs/heads/mine')).code, 0);
});

test('who pushes to a mirror is shown what may be read once its upstream was waited for', async (t) => {
  let mayRead: ((refname: string) => boolean) | undefined;
  const site = await openSite(t, {
    async freshen() {
      mayRead = (refname) => !refname.includes('secret');
    },
    confirm: async () => ok({ principal: PRINCIPAL, repository: site.repository, mayRead }),
  });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await git(tree, 'push', '-q', site.repository.path, 'main:refs/heads/secret');
  for (const url of [site.gitUrl, site.httpUrl]) {
    mayRead = undefined;
    const { stderr } = await git(tree, 'push', url, ':secret');
    assert.match(stderr, /secret.*remote ref does not exist|unable to delete 'secret'/, 'it is not advertised');
  }
});

test('an atomic push of which one ref may not be updated any more is refused whole', async (t) => {
  let isClosed = false;
  const site = await openSite(t, {
    decide: ({ ref }: Question) =>
      isClosed && ref?.refname === 'refs/heads/main' ? { kind: 'refused', reason: 'closed', trace: [] } : ALLOW,
    async confirm() {
      isClosed = true;
      return ok({ principal: { kind: 'anonymous' }, repository: site.repository });
    },
  });
  await push(site, '--atomic', 'main', 'main:refs/heads/other');
  assert.equal(await site.refs(), '');
});

test('a push that races the destruction of its repository commits nothing', async (t) => {
  const site = await openSite(t, {
    async confirm() {
      const destroyed = await site.catalogue.destroy(site.repository);
      assert.equal(destroyed.kind, 'ok');
      return ok({ principal: PRINCIPAL, repository: site.repository });
    },
  });
  const ended = site.nextEnd();
  await push(site, 'main');
  assert.ok('fault' in (await ended));
  assert.equal(await site.store.get('pending', site.repository.id), undefined);
  assert.equal(await site.store.get('repository-state', site.repository.id), undefined);
});

test('a committed push that was not applied when its repository was destroyed is applied after it is restored', async (t) => {
  let stop = true;
  const first = await startSite({
    parts: {
      onCommitStep: (step) => {
        if (stop && step === 'committed') throw new Error('the disk is full');
      },
    },
  });
  const { id } = first.repository;
  await push(first, 'main');
  assert.notEqual(await first.store.get('pending', id), undefined);
  stop = false;
  assert.equal((await first.catalogue.destroy(first.repository)).kind, 'ok');
  await first.close();

  const second = await startSite({ root: first.root });
  assert.notEqual(await second.store.get('pending', id), undefined, 'it waits in the graveyard');
  assert.deepEqual(second.recovery.failed, []);
  const grave = await second.catalogue.restore(id, (await second.catalogue.buried(id))?.name);
  assert.equal(grave.kind, 'refused', 'the harness made another r in between');
  assert.equal((await second.catalogue.destroy(second.repository)).kind, 'ok');
  const restored = await second.catalogue.restore(id);
  assert.ok(restored.kind === 'ok');
  await second.close();

  const third = await openSite(t, { root: first.root });
  assert.equal(third.repository.id, id);
  assert.match(await third.refs(), /^[0-9a-f]{40} refs\/heads\/main$/);
  assert.equal(await third.store.get('pending', id), undefined);
});

test('rules see through which door a push came, as the variable source', async (t) => {
  const sources: unknown[] = [];
  const site = await openSite(t, {
    decide: ({ variables, together }: Question) => {
      sources.push([variables, typeof together]);
      return ALLOW;
    },
  });
  await push(site, 'main');
  assert.deepEqual(sources, [[{ source: 'git' }, 'object']]);
});

test('askAhead asks about each ref once and lets others have their turn', async () => {
  let ms = 0;
  let turns = 0;
  let isDone = false;
  const tick = (): void => {
    turns += 1;
    if (!isDone) setImmediate(tick);
  };
  setImmediate(tick);
  const asked: string[] = [];
  const names = Array.from({ length: 100 }, (_, count) => `refs/heads/${count}`);
  await askAhead(names, {
    clock: { monotonicMs: () => (ms += 5) },
    mayRead: (refname) => {
      asked.push(refname);
      return true;
    },
  });
  isDone = true;
  assert.deepEqual(asked, names);
  assert.ok(turns >= 10, `${turns} turns`);
  await askAhead(names, { clock: { monotonicMs: () => 0 }, mayRead: undefined });
  assert.equal(asked.length, 100);
});

test('a push that failed behind its commit point is applied before the next one, and told to whoever follows', async (t) => {
  let stop = true;
  const settled: string[] = [];
  const site = await openSite(t, {
    parts: {
      onCommitStep: (step) => {
        if (stop && step === 'committed') throw new Error('the disk is full');
      },
      onSettled: async ({ name }) => {
        settled.push(`${name} ${(await site.refs()).replace(/^[0-9a-f]+ /, '')}`);
      },
    },
  });
  await push(site, 'main');
  assert.equal(await site.refs(), '');
  stop = false;
  await push(site, 'main:refs/heads/other');
  assert.deepEqual(settled, ['r refs/heads/main']);
  assert.match(await site.refs(), /refs\/heads\/main\n[0-9a-f]+ refs\/heads\/other$/);
});
