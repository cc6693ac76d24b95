/** Pushes that go upstream, against an upstream whose every mood is scripted: what the client hears is what happened. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { JournalLine } from '../../src/audit/entry.ts';
import type { PassScope } from '../../src/identity/pass-scope.ts';
import { commitFile, git, gitOk, PRINCIPAL, type Ran } from '../receive/site.ts';
import { suiteScope, workspace, type Scope } from '../support/workspace.ts';
import { parseRefname } from '../../src/git/refname.ts';
import { zeroOid } from '../../src/git/oid.ts';
import { readReport } from '../../src/upstream/forward-outcome.ts';
import { optionsFor } from '../../src/upstream/upstream-push.ts';
import { startForwardSite, type ForwardSite, type ForwardSiteOptions } from './ground.ts';
import { scriptedRemote, type Script, type ScriptedRemote } from './scripted-remote.ts';

interface Ground {
  readonly site: ForwardSite;
  readonly remote: ScriptedRemote;
  readonly script: Script;
  /** The upstream's bare repository. */
  readonly upstream: string;
  readonly tree: string;
  /** The first commit, on main at both sides. */
  readonly base: string;
  readonly push: (...words: readonly string[]) => Promise<Ran>;
  /** The upstream's, or the mirror's, value of a ref; '' for none. */
  readonly there: (refname: string) => Promise<string>;
  readonly here: (refname: string) => Promise<string>;
  readonly lastPush: () => Promise<JournalLine | undefined>;
}

const scope = suiteScope();
let common: Ground;

before(async () => {
  common = await ground(scope);
});

after(() => scope.close());

function recoverScript(script: Script): void {
  for (const key of Object.keys(script) as (keyof Script)[]) delete script[key];
}

async function recoveries(site: ForwardSite): Promise<readonly JournalLine[]> {
  return (await site.journalLines()).filter(({ event }) => event === 'recover');
}

/** The ground that tests share, as it was at first. */
async function shared(): Promise<Ground> {
  const { script, remote, upstream, site, tree, base } = common;
  recoverScript(script);
  remote.pushes.length = 0;
  const names = (await gitOk(upstream, 'for-each-ref', '--format=%(refname)')).split('\n');
  for (const name of names) if (name !== 'refs/heads/main') await gitOk(upstream, 'update-ref', '-d', name);
  await gitOk(upstream, 'update-ref', 'refs/heads/main', base);
  await gitOk(tree, 'reset', '-q', '--hard', base);
  await site.refresh();
  return common;
}

async function ground(within: Scope, options: Omit<ForwardSiteOptions, 'remote' | 'root'> = {}): Promise<Ground> {
  const root = workspace(within, 'gatehouse-forward-');
  const upstream = join(root, 'upstream.git');
  await gitOk(root, 'init', '-q', '--bare', '-b', 'main', upstream);
  const remote = scriptedRemote(upstream);
  const site = await startForwardSite({ root: join(root, 'site'), remote, ...options });
  within.after(() => site.close());
  const tree = await site.workTree();
  const base = await commitFile(tree, 'base');
  await gitOk(tree, 'push', '-q', upstream, 'main');
  await site.refresh();
  const value = async (path: string, refname: string): Promise<string> =>
    (await git(path, 'rev-parse', '-q', '--verify', refname)).stdout.trim();
  return {
    site,
    remote,
    script: remote.script,
    upstream,
    tree,
    base,
    push: (...words) => git(tree, 'push', site.gitUrl, ...words),
    there: (refname) => value(upstream, refname),
    here: (refname) => value(site.repository.path, refname),
    lastPush: async () => (await site.journalLines()).findLast(({ event }) => event === 'push'),
  };
}

test('a push is upstream before it is here, with the old values as leases, and its journal line says so', async () => {
  const { site, remote, script, tree, base, push, there, here, lastPush } = await shared();
  const next = await commitFile(tree, 'next');
  let hereThen = '';
  let intended = '';
  script.onTaken = async () => {
    hereThen = await here('refs/heads/main');
    intended = (await site.intent())?.updates.map(({ refname, newOid }) => `${refname} ${newOid}`).join() ?? '';
  };
  const { code, stderr } = await push('main');
  assert.equal(code, 0, stderr);
  assert.deepEqual([hereThen, intended], [base, `refs/heads/main ${next}`]);
  assert.deepEqual([await there('refs/heads/main'), await here('refs/heads/main')], [next, next]);
  const asked = remote.pushes[0]?.updates.map(({ refname, oldOid, newOid }) => [refname, oldOid, newOid]);
  assert.deepEqual(asked, [['refs/heads/main', base, next]]);
  const line = await lastPush();
  assert.deepEqual([line?.outcome, line?.forwardedTo], ['served', 'git://upstream.invalid/r.git']);
  assert.equal(await site.intent(), undefined);
});

test('only what the upstream lacks is sent, from tips that are here: what it has besides is no bound', async () => {
  const { remote, upstream, tree, push, there } = await shared();
  await commitFile(tree, 'large', randomBytes(60_000));
  assert.equal((await push('main')).code, 0);
  // A ref of the upstream whose object the gate has never seen.
  const other = await gitOk(tree, 'commit-tree', '-m', 'elsewhere', 'HEAD^{tree}');
  await gitOk(tree, 'push', '-q', upstream, `${other}:refs/pull/1/head`);
  const next = await commitFile(tree, 'small');
  assert.equal((await push('main:refs/heads/new')).code, 0);
  assert.equal(await there('refs/heads/new'), next);
  assert.ok(remote.packBytes < 10_000, `${remote.packBytes} bytes`);
});

test('branches, tags, a rewind and a deletion go upstream and are here afterwards', async () => {
  const { tree, base, push, there, here } = await shared();
  const next = await commitFile(tree, 'next');
  await gitOk(tree, 'tag', '-a', '-m', 'one', 'v1');
  const tag = await gitOk(tree, 'rev-parse', 'v1');
  assert.equal((await push('main', 'v1', 'main:refs/heads/side')).code, 0);
  assert.deepEqual([await there('refs/tags/v1'), await here('refs/tags/v1')], [tag, tag]);
  assert.equal((await push('--force', `${base}:refs/heads/main`)).code, 0);
  assert.deepEqual([await there('refs/heads/main'), await here('refs/heads/main')], [base, base]);
  assert.equal((await push(':refs/heads/side')).code, 0);
  assert.deepEqual([await there('refs/heads/side'), await here('refs/heads/side')], ['', '']);
  assert.notEqual(next, base);
});

test("an upstream's refusal of one ref is shown as the upstream's, and the others of the push are refused for it", async () => {
  const { site, remote, script, tree, base, push, there, here, lastPush } = await shared();
  script.refuses = new Map([['refs/heads/locked', 'protected branch hook declined']]);
  script.says = ['checking the rules\n', 'not today\n'];
  await commitFile(tree, 'next');
  const { code, stderr } = await push('main', 'main:refs/heads/locked');
  assert.equal(code, 1);
  assert.match(stderr, /remote: upstream: checking the rules/);
  assert.match(stderr, /remote: upstream: not today/);
  assert.match(stderr, /locked \(upstream: protected branch hook declined\)/);
  assert.match(stderr, /main -> main \(atomic push: refs\/heads\/locked was refused upstream\)/);
  assert.equal(remote.pushes[0]?.atomic, true);
  assert.deepEqual([await there('refs/heads/main'), await here('refs/heads/main')], [base, base]);
  const line = await lastPush();
  assert.deepEqual([line?.outcome, line?.forwardedTo], ['refused', 'git://upstream.invalid/r.git']);
  assert.match(JSON.stringify(line?.refs), /upstream: protected branch hook declined/);
  assert.equal(await site.intent(), undefined);
});

test('a mirror for reading takes no push, and a ref outside its patterns is refused with what is allowed', async (t) => {
  const reading = await ground(t, { upstream: { takesPushes: false } });
  await commitFile(reading.tree, 'next');
  assert.match((await reading.push('main')).stderr, /mirrors git:\/\/upstream\.invalid\/r\.git for reading only/);
  const narrow = await ground(t, { upstream: { refs: ['refs/heads/*'] } });
  await commitFile(narrow.tree, 'next');
  const { stderr } = await narrow.push('main', 'main:refs/tags/v1');
  assert.match(stderr, /v1 \(this mirror has only refs\/heads\/\* of its upstream: push to a ref among these\)/);
  assert.match(stderr, /main -> main\n/);
  assert.deepEqual([reading.remote.pushes.length, narrow.remote.pushes.length], [0, 1]);
});

test('an upstream that moved is not overwritten: the client is told to fetch, and the next fetch sees what moved', async (t) => {
  const { site, upstream, tree, base, push, there, here } = await ground(t, { upstream: { freshMs: 3_600_000 } });
  const human = await gitOk(tree, 'commit-tree', '-p', base, '-m', 'by hand', 'HEAD^{tree}');
  await gitOk(tree, 'push', '-q', upstream, `${human}:refs/heads/main`);
  await commitFile(tree, 'next');
  const { code, stderr } = await push('+main', 'main:refs/heads/other');
  assert.equal(code, 1);
  assert.match(stderr, /main \(fetch first: the upstream's refs\/heads\/main moved\)/);
  assert.match(stderr, /other \(atomic push: refs\/heads\/main was refused upstream\)/);
  assert.deepEqual([await there('refs/heads/main'), await there('refs/heads/other')], [human, '']);
  await site.mirrors.refresh(site.repository, { requestId: 'r', signal: new AbortController().signal });
  assert.equal(await here('refs/heads/main'), human);
});

test('an upstream without atomic is pushed one ref at a time, or in parts where the mirror allows it', async (t) => {
  const strict = await shared();
  strict.script.canAtomic = false;
  await commitFile(strict.tree, 'next');
  const refused = await strict.push('main', 'main:refs/heads/b');
  assert.match(refused.stderr, /cannot take several refs all or nothing: push one ref at a time/);
  assert.equal(await strict.there('refs/heads/b'), '');
  assert.equal((await strict.push('main')).code, 0);

  const lax = await ground(t, { upstream: { allowsPartialPushes: true } });
  lax.script.canAtomic = false;
  lax.script.refuses = new Map([['refs/heads/locked', 'no']]);
  const next = await commitFile(lax.tree, 'next');
  const { code, stderr } = await lax.push('main', 'main:refs/heads/locked');
  assert.equal(code, 1);
  assert.match(stderr, /locked \(upstream: no\)/);
  assert.deepEqual([await lax.there('refs/heads/main'), await lax.here('refs/heads/main')], [next, next]);
  assert.deepEqual([await lax.there('refs/heads/locked'), await lax.here('refs/heads/locked')], ['', '']);
  const whole = await lax.push('--atomic', 'main:refs/heads/c', 'main:refs/heads/d');
  assert.match(whole.stderr, /all or nothing/);
  assert.equal(await lax.there('refs/heads/c'), '');
  assert.equal(await lax.site.intent(), undefined);
});

test('push options go to an upstream that takes them, and are left out for one that does not', async () => {
  const { remote, script, tree, push } = await shared();
  await commitFile(tree, 'one');
  // How long to wait for an approval is for the gate to know.
  assert.equal((await push('-o', 'ci.skip', '-o', 'wait=5m', 'main')).code, 0);
  assert.deepEqual(remote.pushes.at(-1)?.options, ['ci.skip']);
  script.takesOptions = false;
  await commitFile(tree, 'two');
  assert.equal((await push('-o', 'ci.skip', 'main')).code, 0);
  assert.deepEqual(remote.pushes.at(-1)?.options, []);
});

test('the push options of a pass stay here: a forge would do with them what the credential of the gate may do', () => {
  assert.ok(PRINCIPAL.kind === 'user');
  const options = ['merge_request.create', 'merge_request.merge_when_pipeline_succeeds', 'wait=5m'];
  assert.deepEqual(optionsFor({ options, principal: PRINCIPAL }), options.slice(0, 2));
  const scope: PassScope = {
    repositories: ['*'],
    read: true,
    push: ['refs/heads/agent/*'],
    createOnly: false,
    rewind: false,
    delete: false,
    from: [],
  };
  const credential = { kind: 'pass', id: 'p', name: 'p', purpose: '', scope, expiresAt: 0 } as const;
  assert.deepEqual(optionsFor({ options, principal: { ...PRINCIPAL, credential } }), []);
});

test('an upstream out of reach changes nothing, and the client reads why for each ref', async () => {
  const { site, script, tree, base, push, here } = await shared();
  script.isDown = true;
  await commitFile(tree, 'next');
  const { code, stderr } = await push('main');
  assert.equal(code, 1);
  assert.match(stderr, /main \(nothing was changed: the upstream refused the connection\)/);
  assert.equal(await here('refs/heads/main'), base);
  assert.equal(await site.intent(), undefined);
});

test('a connection that breaks in the pack changes nothing for sure', async () => {
  const { site, script, tree, base, push, here } = await shared();
  script.ends = 'cut';
  for (const name of ['a', 'b', 'c', 'd']) {
    await commitFile(tree, name, randomBytes(200_000));
  }
  assert.match((await push('main')).stderr, /broke off before everything was sent: nothing was changed/);
  assert.equal(await here('refs/heads/main'), base);
  assert.equal(await site.intent(), undefined);
});

test('an upstream that took a push and lost its answer is asked, and the push stands', async () => {
  const { site, script, tree, push, here } = await shared();
  script.ends = 'silent-after';
  const next = await commitFile(tree, 'next');
  const { code, stderr } = await push('main', 'main:refs/heads/b');
  assert.equal(code, 0, stderr);
  assert.deepEqual([await here('refs/heads/main'), await here('refs/heads/b')], [next, next]);
  assert.equal(await site.intent(), undefined);
});

test('where nobody can tell, the client is told that, nothing is committed here, and the next refresh finds out', async () => {
  const { site, script, tree, base, push, there, here } = await shared();
  const next = await commitFile(tree, 'next');
  script.ends = 'silent-after';
  script.onTaken = () => {
    script.isDown = true;
  };
  const { code, stderr } = await push('main');
  assert.equal(code, 1);
  assert.match(stderr, /main \(the upstream did not say whether it took this: fetch and look\)/);
  assert.deepEqual([await there('refs/heads/main'), await here('refs/heads/main')], [next, base]);
  assert.equal((await site.intent())?.updates.length, 1);
  await assert.rejects(site.refresh(), /mirror cannot be refreshed/);
  recoverScript(script);
  await site.refresh();
  assert.equal(await here('refs/heads/main'), next);
  assert.equal(await site.intent(), undefined);
  const line = (await site.journalLines()).findLast(({ event }) => event === 'recover');
  assert.deepEqual([line?.outcome, line?.refs?.[0]?.result], ['served', 'ok']);
});

test('an upstream that shows old refs after a lost answer may still be at work: nothing is promised either way', async () => {
  const { site, script, tree, base, push, there } = await shared();
  const before = (await recoveries(site)).length;
  script.ends = 'silent-before';
  await commitFile(tree, 'next');
  assert.match((await push('main')).stderr, /did not say whether it took this/);
  script.ends = 'report';
  // The next push asks first, finds that nothing came of it, and goes its way.
  const { code, stderr } = await push('main');
  assert.equal(code, 0, stderr);
  assert.notEqual(await there('refs/heads/main'), base);
  const recovered = (await recoveries(site)).slice(before);
  assert.match(recovered[0]?.reason ?? '', /never reached the upstream/);
  assert.equal(recovered.length, 1);
  assert.equal(await site.intent(), undefined);
});

test('a push behind one that is not settled here is refused until a fetch has settled it', async () => {
  const { site, script, tree, push, here } = await shared();
  const next = await commitFile(tree, 'next');
  script.ends = 'silent-after';
  script.onTaken = () => {
    script.isDown = true;
  };
  await push('main');
  const waiting = await push('main:refs/heads/b');
  assert.match(waiting.stderr, /an earlier push is not settled with the upstream yet.*refused the connection/s);
  recoverScript(script);
  assert.match((await push('main:refs/heads/b')).stderr, /not settled.*fetch, then push again/);
  await site.refresh();
  assert.equal((await push('main:refs/heads/b')).code, 0);
  assert.deepEqual([await here('refs/heads/main'), await here('refs/heads/b')], [next, next]);
});

test('an upstream that keeps a part of what it was to take as a whole is not believed', async (t) => {
  const { site, remote, script, tree, base, push, here } = await shared();
  const whole = remote.push.bind(remote);
  remote.push = async (asked) => whole({ ...asked, atomic: false });
  t.after(() => {
    remote.push = whole;
  });
  script.refuses = new Map([['refs/heads/b', 'no']]);
  await commitFile(tree, 'next');
  assert.match((await push('main', 'main:refs/heads/b')).stderr, /took only a part of what it was to take as a whole/);
  assert.equal(await here('refs/heads/main'), base);
  await site.refresh();
  assert.equal(await site.intent(), undefined);
});

test('a refresh that began before a push never undoes it', async () => {
  const { site, script, tree, push, there, here } = await shared();
  const next = await commitFile(tree, 'next');
  // The refresh has its answer, older than the push, and waits with it until the push is over.
  const listed = Promise.withResolvers<undefined>();
  const goOn = Promise.withResolvers<undefined>();
  script.onListed = async () => {
    delete script.onListed;
    listed.resolve(undefined);
    await goOn.promise;
  };
  const refreshing = site.refresh();
  await listed.promise;
  assert.equal((await push('main', 'main:refs/heads/new')).code, 0);
  goOn.resolve(undefined);
  await refreshing;
  assert.deepEqual([await here('refs/heads/main'), await here('refs/heads/new')], [next, next]);
  assert.equal(await there('refs/heads/main'), next);
});

test('a refresh while the upstream has a push and the mirror not yet brings both to the same, and touches no living intent', async () => {
  const { site, script, tree, push, here } = await shared();
  const before = (await recoveries(site)).length;
  const next = await commitFile(tree, 'next');
  const listed = Promise.withResolvers<undefined>();
  let refreshing: Promise<void> | undefined;
  script.onListed = () => {
    listed.resolve(undefined);
  };
  script.onTaken = async () => {
    refreshing = site.refresh();
    await listed.promise;
  };
  const { code, stderr } = await push('main');
  assert.equal(code, 0, stderr);
  await refreshing;
  assert.equal(await here('refs/heads/main'), next);
  assert.equal(await site.intent(), undefined);
  assert.equal((await recoveries(site)).length, before);
});

test('where the local commit fails behind the upstream, the client is told so, and the next refresh brings it here', async (t) => {
  let fails = false;
  const { site, tree, base, push, there, here } = await ground(t, {
    parts: {
      onCommitStep(step) {
        if (step === 'prepared' && fails) throw new Error('the disk is full');
      },
    },
  });
  const next = await commitFile(tree, 'next');
  fails = true;
  const { code, stderr } = await push('main');
  fails = false;
  assert.notEqual(code, 0);
  assert.match(stderr, /took the push, but the gate could not finish it/);
  assert.deepEqual([await there('refs/heads/main'), await here('refs/heads/main')], [next, base]);
  await site.refresh();
  assert.equal(await here('refs/heads/main'), next);
  assert.equal(await site.intent(), undefined);
});

test('an upstream that unpacked nothing and took a ref all the same is not believed', () => {
  const refname = parseRefname('refs/heads/main') ?? assert.fail();
  const updates = [{ refname, oldOid: zeroOid('sha1'), newOid: zeroOid('sha1') }];
  const report = (reason: string | undefined): ReturnType<typeof readReport> =>
    readReport(updates, { unpack: 'index-pack died', refs: new Map([[refname, reason]]) }, true);
  assert.equal(report(undefined), undefined);
  assert.deepEqual(report('unpacker error')?.verdicts, [{ refname, reason: 'upstream: unpack: index-pack died' }]);
});
