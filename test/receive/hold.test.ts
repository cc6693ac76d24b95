/** Held pushes: kept, told, approved as they are, or ended, and nothing of them seen before. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Decision, Question } from '../../src/access/decision.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Fault, ok, refuse } from '../../src/base/fault.ts';
import { fullness } from '../../src/receive/hold-bounds.ts';
import type { Step } from '../../src/receive/step.ts';
import {
  all,
  approve,
  approved,
  areas,
  decide,
  held,
  holdParts,
  holdSite,
  type HoldSite,
  LIMITS,
  OLIVE,
  only,
  person,
  pushed,
} from './hold-site.ts';
import { ALLOW, commitFile, git, GIT_ENV, gitOk, openSite, PRINCIPAL, startSite, type Site } from './site.ts';

test('a held push changes no ref, tells its id, keeps its objects out of reach, and its approval carries it out', async (t) => {
  const site = await holdSite(t);
  const { stderr, code, tip } = await pushed(site, ['main']);
  assert.notEqual(code, 0);
  const push = await only(site.desk);
  assert.match(stderr, new RegExp(`held for approval as ${push.id}: rules/x.lace:1: refs/heads/main wants a look\\)`));
  assert.match(stderr, new RegExp(`remote: .*hold show ${push.id}`));
  assert.equal(await site.refs(), '');
  assert.equal((await git(site.repository.path, 'cat-file', '-e', tip)).code, 1);
  assert.deepEqual(site.leftovers(), []);
  assert.equal((await approved(site.desk, push)).state, 'approved');
  assert.equal(await site.refs(), `${tip} refs/heads/main`);
  assert.deepEqual(areas(site), []);
  assert.deepEqual(site.leftovers(), []);
  assert.equal((await git(site.repository.path, 'fsck', '--strict')).code, 0);
});

test('the journal tells that a push was held, who approved it for whom, and that it was applied', async (t) => {
  const site = await holdSite(t);
  await pushed(site, ['main']);
  const push = await only(site.desk);
  await approved(site.desk, push);
  const lines = (await site.journalLines()).map(({ event, outcome, principal, reason }) => [
    event,
    outcome,
    principal,
    reason,
  ]);
  const why = `held for approval as ${push.id}: rules/x.lace:1: refs/heads/main wants a look`;
  assert.deepEqual(lines, [
    ['push', 'refused', 'alice', why],
    ['hold', 'served', 'olive', `approves ${push.id} of alice: looks right`],
    ['push', 'served', 'alice', `held as ${push.id}, approved by olive: looks right`],
  ]);
});

test('of a push that is not atomic what is allowed goes on, what is refused is refused, and the rest is held together', async (t) => {
  const site = await holdSite(t);
  const { tip, stderr } = await pushed(site, ['main', 'main:held', 'main:fine', 'main:no']);
  assert.equal(await site.refs(), `${tip} refs/heads/fine`);
  assert.match(stderr, /main -> no \(not there\)/);
  const push = await only(site.desk);
  assert.deepEqual(push.refs.map(({ refname }) => refname).sort(), ['refs/heads/held', 'refs/heads/main']);
  await approved(site.desk, push);
  assert.equal((await site.refs()).split('\n').length, 3);
});

test('an atomic push is held as a whole where one ref is held, and refused as a whole where one is refused', async (t) => {
  const site = await holdSite(t);
  const first = await pushed(site, ['main:fine', 'main:held'], '--atomic');
  assert.match(first.stderr, /fine \(held for approval as \w+, together with refs\/heads\/held\)/);
  const push = await only(site.desk);
  assert.deepEqual(
    push.refs.map(({ refname }) => refname),
    ['refs/heads/fine', 'refs/heads/held'],
  );
  const second = await pushed(site, ['main:other', 'main:held2', 'main:no'], '--atomic');
  assert.match(second.stderr, /held2 \(atomic push: refs\/heads\/no was refused\)/);
  assert.equal((await all(site.desk)).length, 1);
  assert.equal(await site.refs(), '');
});

test('an approval after the ref moved changes nothing and keeps the objects for who wants to look', async (t) => {
  const open = { main: false };
  const site = await holdSite(t, { decide: (question) => (open.main ? ALLOW : decide(question)) });
  const { tree } = await pushed(site, ['main']);
  const push = await only(site.desk);
  open.main = true;
  await commitFile(tree, 'b.txt');
  await gitOk(tree, 'push', site.gitUrl, 'main');
  const before = await site.refs();
  const done = await approved(site.desk, push);
  assert.equal(done.state, 'stale');
  assert.match(done.decision?.reason ?? '', /refs\/heads\/main: the ref exists already/);
  assert.equal(await site.refs(), before);
  assert.deepEqual(areas(site), [push.id]);
});

test('where one of two held refs moved, neither is applied', async (t) => {
  const open = { held: false };
  const site = await holdSite(t, {
    decide: (question) => (open.held && question.ref?.refname === 'refs/heads/held' ? ALLOW : decide(question)),
  });
  const { tree } = await pushed(site, ['main', 'main:held']);
  const push = await only(site.desk);
  open.held = true;
  await gitOk(tree, 'push', site.gitUrl, 'main:held');
  const before = await site.refs();
  assert.equal((await approved(site.desk, push)).state, 'stale');
  assert.equal(await site.refs(), before);
});

test('a replayed approval finds that it was decided', async (t) => {
  const site = await holdSite(t);
  await pushed(site, ['main']);
  const push = await only(site.desk);
  await approved(site.desk, push);
  await gitOk(site.repository.path, 'update-ref', '-d', 'refs/heads/main');
  const replayed = await approve(site.desk, push);
  assert.match(replayed.kind === 'refused' ? replayed.reason : '', /changed: look again/);
  const fresh = await site.desk.find(push.id);
  assert.ok(fresh);
  const again = await approve(site.desk, fresh.held);
  assert.match(again.kind === 'refused' ? again.reason : '', /was approved by olive/);
  assert.equal(await site.refs(), '');
});

test('of two approvals at the same time one applies', async (t) => {
  const site = await holdSite(t);
  await pushed(site, ['main']);
  const push = await only(site.desk);
  const both = await Promise.all([approve(site.desk, push), approve(site.desk, push, person('ivy'))]);
  assert.deepEqual(both.map(({ kind }) => kind).sort(), ['ok', 'refused']);
});

test('the approval of an update answers the reasons it was shown, and no other', async (t) => {
  const now = { reason: 'first' };
  const site = await holdSite(t, { decide: () => held(now.reason) });
  await pushed(site, ['main']);
  const push = await only(site.desk);
  now.reason = 'second';
  const again = await approved(site.desk, push);
  assert.deepEqual([again.state, again.round], ['waiting', 2]);
  assert.equal(await site.refs(), '');
  assert.deepEqual(
    again.refs[0]?.reasons.map(({ reason }) => reason),
    ['first', 'second'],
  );
  // Who looked before does not answer for what was found since.
  assert.equal((await site.desk.find(push.id))?.isLatest, false);
  assert.equal((await site.desk.find(`${push.id}.2`))?.isLatest, true);
  assert.equal((await approved(site.desk, again)).state, 'approved');
});

test('a pusher who may no longer push, or whom a rule denies by now, pushes nothing by somebody’s approval', async (t) => {
  const now: { standing: string | undefined; deny: boolean } = { standing: 'alice is suspended', deny: false };
  const site: HoldSite = await holdSite(t, {
    decide: (question) => (now.deny ? { kind: 'refused', reason: 'frozen', trace: [] } : decide(question)),
    standing: () =>
      now.standing === undefined
        ? ok({ principal: PRINCIPAL, repository: site.repository, mayRead: undefined })
        : refuse(now.standing),
  });
  await pushed(site, ['main']);
  const suspended = await approved(site.desk, await only(site.desk));
  assert.deepEqual([suspended.state, suspended.decision?.reason], ['refused', 'alice is suspended']);
  now.standing = undefined;
  await pushed(site, ['main']);
  now.deny = true;
  const denied = await approved(site.desk, await only(site.desk));
  assert.deepEqual([denied.state, denied.decision?.reason], ['refused', 'frozen']);
  assert.equal(await site.refs(), '');
  assert.deepEqual(areas(site), []);
});

test('steps are asked about held updates, and once more when they are approved', async (t) => {
  const seen: string[] = [];
  let verdict: 'hold' | 'refuse' | undefined = 'hold';
  const step: Step = {
    name: 'probe',
    async check({ updates }) {
      seen.push(updates.map(({ refname }) => refname).join());
      return verdict === undefined
        ? []
        : updates.map(({ refname }) => ({
            refname,
            reason: 'a secret?',
            ...(verdict === 'hold' ? { hold: true } : {}),
          }));
    },
  };
  const site = await holdSite(t, { parts: { steps: [step] } });
  const { tree } = await pushed(site, ['main']);
  const push = await only(site.desk);
  assert.deepEqual(
    push.refs[0]?.reasons.map(({ reason }) => reason),
    ['rules/x.lace:1: refs/heads/main wants a look', 'a secret?'],
  );
  assert.equal((await approved(site.desk, push)).state, 'approved');
  assert.deepEqual(seen, ['refs/heads/main', 'refs/heads/main']);
  verdict = undefined;
  await commitFile(tree, 'b.txt');
  await git(tree, 'push', site.gitUrl, 'main');
  verdict = 'refuse';
  assert.equal((await approved(site.desk, await only(site.desk))).state, 'refused');
});

test('reasons too long to keep are told apart by all of their words', async (t) => {
  const now = { reason: `${'x'.repeat(20_000)} first` };
  const site = await holdSite(t, { decide: () => held(now.reason) });
  await pushed(site, ['main']);
  now.reason = `${'x'.repeat(20_000)} second`;
  assert.equal((await approved(site.desk, await only(site.desk))).state, 'waiting');
});

test('an approved push goes upstream before it counts here; what the upstream refuses is refused, and a fault leaves it waiting', async (t) => {
  let answer: 'take' | 'refuse' | 'fault' = 'fault';
  const forwarded: string[] = [];
  const step: Step = {
    name: 'forward',
    check: async () => [],
    async forward({ updates }) {
      if (answer === 'fault') throw new Fault('upstream', 'no answer');
      forwarded.push(...updates.map(({ refname, oldOid, newOid }) => `${refname} ${oldOid} ${newOid}`));
      const verdicts = answer === 'take' ? [] : updates.map(({ refname }) => ({ refname, reason: 'upstream: no' }));
      return { to: 'git.example', verdicts, [Symbol.asyncDispose]: async () => {} };
    },
  };
  const site = await holdSite(t, { parts: { steps: [step] } });
  const { tip } = await pushed(site, ['main']);
  const push = await only(site.desk);
  await assert.rejects(approve(site.desk, push), { code: 'upstream' });
  assert.deepEqual([(await only(site.desk)).state, areas(site), await site.refs()], ['waiting', [push.id], '']);
  answer = 'take';
  assert.equal((await approved(site.desk, push)).state, 'approved');
  assert.deepEqual(forwarded, [`refs/heads/main ${'0'.repeat(40)} ${tip}`]);
  await pushed(site, ['main:held']);
  answer = 'refuse';
  const refused = await approved(site.desk, await only(site.desk));
  assert.deepEqual([refused.state, refused.decision?.reason], ['refused', 'upstream: no']);
  assert.equal(await site.refs(), `${tip} refs/heads/main`);
});

test('an approval that the gate cannot finish behind the upstream says that the upstream took it, before and after', async (t) => {
  const step: Step = {
    name: 'forward',
    check: async () => [],
    forward: async () => ({ to: 'git.example', verdicts: [], [Symbol.asyncDispose]: async () => {} }),
  };
  let fails = false;
  const onCommitStep = (border: string): void => {
    if (fails && border === 'prepared') throw new Error('the disk is full');
  };
  const site = await holdSite(t, { parts: { steps: [step], onCommitStep } });
  const { tree, tip } = await pushed(site, ['main']);
  const push = await only(site.desk);
  fails = true;
  await assert.rejects(approve(site.desk, push), {
    publicMessage: /^git\.example took the push, but the gate could not/,
  });
  fails = false;
  assert.deepEqual([(await only(site.desk)).state, await site.refs()], ['waiting', '']);
  // The next refresh of a mirror brings it here.
  await gitOk(tree, 'push', '-q', site.repository.path, 'main');
  const late = await approved(site.desk, push);
  assert.deepEqual(
    [late.state, late.decision?.reason, await site.refs()],
    ['stale', 'its refs are already where it would put them', `${tip} refs/heads/main`],
  );
});

test('nobody refuses, takes back or lets expire what an approval is taking upstream at that moment', async (t) => {
  const [under, go] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const step: Step = {
    name: 'forward',
    check: async () => [],
    async forward() {
      under.resolve(undefined);
      await go.promise;
      return { to: 'git.example', verdicts: [], [Symbol.asyncDispose]: async () => {} };
    },
  };
  let aheadMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  const site = await holdSite(t, { parts: { steps: [step], clock } });
  const { tip } = await pushed(site, ['main']);
  const push = await only(site.desk);
  const approval = approved(site.desk, push);
  await under.promise;
  const decider = { reason: 'no', requestId: 'x' };
  for (const ended of [
    await site.desk.cancel(push, { ...decider, principal: PRINCIPAL }),
    await site.desk.refuse(push, { ...decider, principal: OLIVE }),
    await approve(site.desk, push, person('rita')),
  ])
    assert.match(ended.kind === 'refused' ? ended.reason : '', /is being decided just now/);
  aheadMs = LIMITS.expiresMs;
  await site.desk.sweep();
  assert.equal((await only(site.desk)).id, push.id, 'not expired');
  go.resolve(undefined);
  assert.equal((await approval).state, 'approved');
  assert.equal(await site.refs(), `${tip} refs/heads/main`);
});

test('without a holding area a held update is refused with its reason', async (t) => {
  const site = await openSite(t, { decide });
  const { stderr, code } = await pushed(site, ['main', 'main:fine'], '--atomic');
  assert.notEqual(code, 0);
  assert.match(stderr, /rules\/x.lace:1: refs\/heads\/main wants a look/);
  assert.equal(await site.refs(), '');
  assert.deepEqual(areas(site), []);
});

test('a full holding area refuses in words, for the site, the repository and one principal, and leaves nothing', async (t) => {
  const cases = [
    [{ bytesMax: 10 }, /holding area is full \(10 bytes in all\)/],
    [{ repositoryBytesMax: 10 }, /holding area of this repository is full/],
    [{ perPrincipalMax: 0 }, /0 pushes of yours are held already/],
  ] as const;
  for (const [limits, words] of cases) {
    const site = await holdSite(t, { limits });
    const { stderr } = await pushed(site, ['main']);
    assert.match(stderr.replaceAll(/\nremote: */g, ' '), words);
    assert.deepEqual([areas(site), (await all(site.desk)).length, await site.refs()], [[], 0, '']);
  }
});

test('what nobody decides expires: its objects go, and it cannot be approved', async (t) => {
  const site = await holdSite(t, { limits: { expiresMs: 1 } });
  await pushed(site, ['main']);
  const push = await only(site.desk);
  const late = await approve(site.desk, push);
  assert.match(late.kind === 'refused' ? late.reason : '', /has expired/);
  await site.desk.sweep();
  assert.deepEqual([(await only(site.desk, 'expired')).id, areas(site)], [push.id, []]);
});

test('only who pushed takes a held push back', async (t) => {
  const site = await holdSite(t);
  await pushed(site, ['main']);
  const push = await only(site.desk);
  const decider = { reason: 'typing mistake', requestId: 'x' };
  assert.equal((await site.desk.cancel(push, { ...decider, principal: OLIVE })).kind, 'refused');
  assert.equal((await site.desk.cancel(push, { ...decider, principal: PRINCIPAL })).kind, 'ok');
  assert.deepEqual(areas(site), []);
});

test('nobody fills the holding area for everybody through repositories of their own', () => {
  const one = { state: 'waiting', principal: 'mallory', bytes: 30, hasObjects: true, expiresAt: 1, since: 0 } as const;
  const index = new Map(['a', 'b'].map((id) => [id, { ...one, repositoryId: id }]));
  const limits = { ...LIMITS, bytesMax: 1_000, repositoryBytesMax: 100 };
  const wanted = { bytes: 50, refs: [], repositoryId: 'c', principal: 'mallory' };
  assert.match(fullness(index, wanted, limits) ?? '', /fill the room of one user \(100 bytes\)/);
  assert.equal(fullness(index, { ...wanted, principal: 'alice' }, limits), undefined);
});

test('who pushed what no longer fits takes it back, and has the room again', async (t) => {
  const open = { main: false };
  const own = (question: Question): Decision => (open.main ? ALLOW : decide(question));
  const site = await holdSite(t, { limits: { perPrincipalMax: 1 }, decide: own });
  const { tree } = await pushed(site, ['main']);
  const push = await only(site.desk);
  open.main = true;
  await gitOk(tree, 'push', site.gitUrl, 'main');
  open.main = false;
  assert.equal((await approved(site.desk, push)).state, 'stale');
  const stale = await only(site.desk, 'stale');
  assert.match((await git(tree, 'push', site.gitUrl, 'main:held')).stderr, /1 pushes of yours are held already/);
  const decider = { reason: 'moved', requestId: 'x' };
  assert.equal((await site.desk.refuse(stale, { ...decider, principal: OLIVE })).kind, 'refused');
  assert.equal((await site.desk.cancel(stale, { ...decider, principal: PRINCIPAL })).kind, 'ok');
  assert.deepEqual(areas(site), []);
  assert.match((await git(tree, 'push', site.gitUrl, 'main:held')).stderr, /held for approval as/);
});

test('deletions and refs of objects that are there are held without objects', async (t) => {
  const open = { all: true };
  const site = await holdSite(t, { decide: (question) => (open.all ? ALLOW : decide(question)) });
  const { tree, tip } = await pushed(site, ['main', 'main:held']);
  open.all = false;
  await git(tree, 'push', site.gitUrl, ':held', 'main:held2');
  const push = await only(site.desk);
  assert.deepEqual([push.pack, areas(site)], [undefined, []]);
  assert.equal((await approved(site.desk, push)).state, 'approved');
  assert.equal(await site.refs(), `${tip} refs/heads/held2\n${tip} refs/heads/main`);
});

for (const transport of ['git', 'http'] as const) {
  test(`a client that waits over ${transport} reads ok when its push is approved, and holds up nobody`, async (t) => {
    const site = await holdSite(t, { parts: { limits: { deadlineMs: 3_000, keepAliveMs: 50 } } });
    const tree = await site.workTree();
    const tip = await commitFile(tree, 'a.txt');
    const url = transport === 'git' ? site.gitUrl : site.httpUrl;
    const next = site.nextHeld();
    const waiting = git(tree, 'push', '-o', 'wait=15s', url, 'main');
    const push = await next;
    await gitOk(tree, 'push', site.gitUrl, 'main:fine');
    await approved(site.desk, push);
    const { code, stderr } = await waiting;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /waiting for a decision/);
    assert.match(stderr, /was approved by olive: looks right/);
    assert.equal(await site.refs(), `${tip} refs/heads/fine\n${tip} refs/heads/main`);
  });
}

test('a client that waits reads who refused it and why, and one whose time is over that it stays held', async (t) => {
  const site = await holdSite(t);
  const tree = await site.workTree();
  await commitFile(tree, 'a.txt');
  const next = site.nextHeld();
  const waiting = git(tree, 'push', '-o', 'wait=15s', site.gitUrl, 'main');
  const push = await next;
  await site.desk.refuse(push, { principal: OLIVE, reason: 'not before Monday', requestId: 'x' });
  const refused = await waiting;
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /refused by olive: not before Monday/);
  const late = await git(tree, 'push', '-o', 'wait=1ms', site.gitUrl, 'main');
  assert.match(late.stderr, /nobody has decided yet: \w+ stays held/);
  assert.equal((await only(site.desk)).state, 'waiting');
  const odd = await git(tree, 'push', '-o', 'wait=soon', site.gitUrl, 'main:held');
  assert.match(odd.stderr, /-o wait=TIME/);
});

test('a gate that closes tells waiting clients that their push stays held', async (t) => {
  const site = await holdSite(t);
  const tree = await site.workTree();
  await commitFile(tree, 'a.txt');
  const next = site.nextHeld();
  const waiting = git(tree, 'push', '-o', 'wait=15s', site.gitUrl, 'main');
  await next;
  site.desk.stopWaiting();
  const { code, stderr } = await waiting;
  assert.notEqual(code, 0);
  assert.match(stderr, /nobody has decided yet: \w+ stays held/);
});

test('a waiting client that goes away leaves its push held', async (t) => {
  const site = await holdSite(t);
  const tree = await site.workTree();
  await commitFile(tree, 'a.txt');
  const ended = site.nextEnd();
  const abort = new AbortController();
  const next = site.nextHeld();
  const child = spawn('git', ['push', '-o', 'wait=15s', site.gitUrl, 'main'], {
    cwd: tree,
    env: GIT_ENV,
    signal: abort.signal,
  });
  child.on('error', () => {});
  const push = await next;
  abort.abort();
  await ended;
  assert.equal((await approved(site.desk, push)).state, 'approved');
});

test('start-up removes areas without a record and ends records whose objects are gone', async (t) => {
  const first: Site = await startSite({ decide, parts: holdParts({ decide }, () => first) });
  await pushed(first, ['main']);
  await pushed(first, ['main:held']);
  assert.ok(first.receive.holds);
  const [kept, lost] = await all(first.receive.holds);
  assert.ok(kept && lost);
  const directory = join(first.repository.path, 'gatehouse', 'held');
  await mkdir(join(directory, 'nobodys', 'objects'), { recursive: true });
  await rm(join(directory, lost.id), { recursive: true });
  await first.close();
  const second = await holdSite(t, { root: first.root });
  assert.deepEqual(areas(second), [kept.id]);
  assert.equal((await second.desk.find(lost.id))?.held.state, 'expired');
  assert.equal((await approved(second.desk, kept)).state, 'approved');
});
