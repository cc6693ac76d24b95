/** Held pushes with real clients: an agent pushes, somebody else lets it through, and every way round that is closed. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  ssh,
  sshConfirmed,
  sshOk,
  startGate,
  startSite,
  url,
  type Gate,
  type Person,
  type Site,
} from '../support/gate.ts';
import { suiteScope } from '../support/workspace.ts';

const RULES = [
  'define is_reviewer group is reviewers',
  'define is_shared anyof [ref is refs/heads/main] [ref prefix refs/tags/]',
  'define is_merge allof op_is_ref is_shared',
  'define is_watched anyof [repository is api] [repository is copy] [repository is moved]',
  'allow "reviewers approve" [operation is holdapprove] is_reviewer',
  'hold "a second person looks at ${ref}" is_merge is_watched',
  '',
].join('\n');

describe('held pushes', () => {
  let site: Site;
  let gate: Gate;
  let alice: Person;
  let rita: Person;
  let mallory: Person;
  let tree: string;
  let root: string;
  let tokens = 0;
  const scope = suiteScope();

  before(
    async () => {
      site = await startSite(scope);
      gate = site.gate;
      const { admin } = site;
      [alice, rita, mallory] = [
        await addPerson(site, 'alice'),
        await addPerson(site, 'rita'),
        await addPerson(site, 'mallory'),
      ];
      await sshOk(admin, gate, ['group', 'add', 'reviewers', 'People who look']);
      await sshOk(admin, gate, ['group', 'adduser', 'reviewers', 'rita']);
      for (const name of ['api', 'copy']) {
        await sshOk(admin, gate, ['create', name, 'alice']);
        await sshOk(admin, gate, ['config', name, 'set', 'readers', 'reviewers']);
      }
      tree = join(alice.home, 'api');
      await gitOk(alice, ['init', '-q', '-b', 'main', tree]);
      await gitOk(alice, ['config', 'user.email', 'alice@example.org'], tree);
      await gitOk(alice, ['config', 'user.name', 'Alice'], tree);
      root = await commitFile(alice, tree, 'first.txt', 'first');
      for (const name of ['api', 'copy']) await gitOk(alice, ['push', '-q', url(gate, 'ssh', name), 'main'], tree);
      const rules = join(admin.home, 'rules');
      await gitOk(admin, ['clone', '-q', url(gate, 'ssh', 'gatehouse-admin'), rules]);
      const core = join(rules, 'rules/core.lace');
      const text = readFileSync(core, 'utf8');
      // In front of the line that lets administrators do anything: they are held, too.
      writeFileSync(
        core,
        text.replace('allow "administrators may do anything"', `${RULES}allow "administrators may do anything"`),
      );
      await gitOk(admin, ['commit', '-q', '-a', '-m', 'Hold what is shared'], rules);
      await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'gatehouse-admin'), 'HEAD:main'], rules);
    },
    { timeout: 60_000 },
  );
  after(() => scope.close());

  const push = (name: string, ...words: readonly string[]) =>
    git(alice, ['push', url(gate, 'ssh', name), ...words], tree);
  const tips = async (name: string) =>
    new Map(
      (await gitOk(alice, ['ls-remote', url(gate, 'ssh', name)])).split('\n').map((line) => {
        const [oid = '', ref = ''] = line.split('\t');
        return [ref, oid];
      }),
    );
  const idIn = (stderr: string): string => {
    const id = /held for approval as ([a-z0-9]+)/.exec(stderr)?.[1];
    assert.ok(id, stderr);
    return id;
  };
  const approve = (who: Person, id: string) => ssh(who, gate, ['hold', 'approve', id, '--reason', 'read it']);
  const back = (): Promise<string> => gitOk(alice, ['reset', '-q', '--hard', root], tree);

  async function heldCommit(name: string, file: string, ...words: readonly string[]) {
    const oid = await commitFile(alice, tree, file, file);
    const ended = await push(name, ...(words.length === 0 ? ['main'] : words));
    assert.notEqual(ended.code, 0);
    return { oid, id: idIn(ended.stderr), stderr: ended.stderr };
  }

  test('an owner’s push to main is held; a reviewer reads it, approves it, and it is there', async () => {
    const before = (await tips('api')).get('refs/heads/main');
    const { oid, id, stderr } = await heldCommit('api', 'second.txt');
    assert.match(stderr, /a second person looks at refs\/heads\/main/);
    assert.equal((await tips('api')).get('refs/heads/main'), before);
    assert.match(await sshOk(rita, gate, ['hold', 'list']), new RegExp(`${id} +waiting +api +alice +refs/heads/main`));
    const shown = await sshOk(rita, gate, ['hold', 'show', id, '--diff']);
    assert.match(shown, /1 new commit\n.*Change second\.txt/);
    assert.match(shown, /added {2}second\.txt/);
    assert.match(shown, /\+second\.txt/);
    assert.match(await sshOk(rita, gate, ['hold', 'approve', id, '--reason', 'fine']), /is applied: refs\/heads\/main/);
    assert.equal((await tips('api')).get('refs/heads/main'), oid);
    const lines = await sshOk(site.admin, gate, ['audit', 'log', '--repo', 'api']);
    assert.match(lines, new RegExp(`approves ${id} of alice: fine`));
  });

  test('nobody gets at the objects of a held push by fetching', async () => {
    const { oid, id } = await heldCommit('api', 'unseen.txt');
    const empty = join(rita.home, 'empty');
    await gitOk(rita, ['init', '-q', empty]);
    const token = await tokenOf(rita);
    for (const target of [url(gate, 'ssh', 'api'), url(gate, 'http', 'api', token)]) {
      const fetched = await git(rita, ['fetch', '-q', target, oid], empty);
      assert.notEqual(fetched.code, 0);
      assert.doesNotMatch(await gitOk(rita, ['ls-remote', target]), new RegExp(oid));
    }
    await sshOk(alice, gate, ['hold', 'cancel', id]);
    await back();
  });

  test('who pushed does not approve: not the owner, not an administrator, not through `as`', async () => {
    const { id } = await heldCommit('api', 'own.txt', 'HEAD:refs/tags/own');
    const own = await approve(alice, id);
    assert.notEqual(own.code, 0);
    assert.match(own.stderr, /nobody approves their own push/);
    const { admin } = site;
    const clone = join(admin.home, 'api');
    await gitOk(admin, ['clone', '-q', url(gate, 'ssh', 'api'), clone]);
    await commitFile(admin, clone, 'admin.txt', 'x');
    const ended = await git(admin, ['push', url(gate, 'ssh', 'api'), 'HEAD:refs/tags/admins'], clone);
    const admins = idIn(ended.stderr);
    assert.match((await approve(admin, admins)).stderr, /nobody approves their own push/);
    const through = await ssh(admin, gate, ['as', 'rita', 'hold', 'approve', admins, '--reason', 'x']);
    assert.match(through.stderr, /nobody approves their own push/);
    assert.equal((await tips('api')).has('refs/tags/admins'), false);
    await sshOk(rita, gate, ['hold', 'refuse', admins, '--reason', 'no']);
    await sshOk(alice, gate, ['hold', 'cancel', id]);
    await back();
  });

  test('to who may not read the repository a held push and an id that is none look the same', async () => {
    const { id } = await heldCommit('api', 'secret.txt', 'HEAD:refs/tags/secret');
    for (const words of [['show'], ['approve', '--reason', 'x'], ['refuse', '--reason', 'x'], ['cancel']]) {
      const [verb = '', ...flags] = words;
      const [there, absent] = await Promise.all(
        [id, 'zzzzzzzz'].map((each) => ssh(mallory, gate, ['hold', verb, each, ...flags])),
      );
      assert.equal(there?.code, absent?.code);
      assert.equal(there?.stderr.replaceAll(id, 'ID'), absent?.stderr.replaceAll('zzzzzzzz', 'ID'));
    }
    assert.doesNotMatch(await sshOk(mallory, gate, ['hold', 'list', '--all']), new RegExp(id));
    await sshOk(alice, gate, ['hold', 'cancel', id]);
    await back();
  });

  test('weakness: an approval that names only old and new oid lets the push go to another repository, and unreviewed commits along with tags', async () => {
    await gitOk(alice, ['fetch', '-q', url(gate, 'ssh', 'copy'), 'main'], tree);
    const oid = await commitFile(alice, tree, 'reviewed.txt', 'x');
    const api = idIn((await push('api', 'HEAD:refs/tags/v1')).stderr);
    const copy = idIn((await push('copy', 'HEAD:refs/tags/v1')).stderr);
    assert.notEqual(api, copy);
    assert.equal((await approve(rita, api)).code, 0);
    assert.equal((await tips('api')).get('refs/tags/v1'), oid);
    // The same oids for another repository wait for their own approval.
    assert.equal((await tips('copy')).has('refs/tags/v1'), false);
    // Tags that come later bring what nobody looked at, on top of what was approved.
    const unreviewed = await commitFile(alice, tree, 'unreviewed.txt', 'x');
    const many = await push('api', `${oid}:refs/tags/v2`, `${unreviewed}:refs/tags/v3`);
    const id = idIn(many.stderr);
    const shown = await sshOk(rita, gate, ['hold', 'show', id]);
    assert.match(shown, /refs\/tags\/v2[^]*0 new commits[^]*refs\/tags\/v3[^]*1 new commit\n.*unreviewed\.txt/);
    assert.deepEqual(
      [(await tips('api')).has('refs/tags/v2'), (await tips('api')).has('refs/tags/v3')],
      [false, false],
    );
    // What was approved is used up: the same push again is held again.
    await sshOk(rita, gate, ['hold', 'refuse', id, '--reason', 'too much']);
    assert.match((await push('api', `${oid}:refs/tags/v2`)).stderr, /held for approval/);
    assert.notEqual((await approve(rita, api)).code, 0);
    await back();
  });

  test('an approval after the ref moved changes nothing, nor does one after the pusher was suspended', async () => {
    const main = (await tips('api')).get('refs/heads/main') ?? '';
    await gitOk(alice, ['reset', '-q', '--hard', main], tree).catch(() => back());
    const first = await heldCommit('api', 'one.txt');
    await gitOk(alice, ['reset', '-q', '--hard', `${first.oid}^`], tree);
    const second = await heldCommit('api', 'two.txt');
    assert.equal((await approve(rita, first.id)).code, 0);
    const stale = await approve(rita, second.id);
    assert.notEqual(stale.code, 0);
    assert.match(stale.stderr, /it is stale: refs\/heads\/main: the ref has changed/);
    assert.equal((await tips('api')).get('refs/heads/main'), first.oid);
    const third = await heldCommit('api', 'three.txt', 'HEAD:refs/tags/three');
    await sshOk(site.admin, gate, ['suspend', 'alice']);
    const suspended = await approve(rita, third.id);
    assert.match(suspended.stderr, /not accepted any more/);
    await sshOk(site.admin, gate, ['resume', 'alice']);
    assert.equal((await tips('api')).has('refs/tags/three'), false);
  });

  test('the owner of a pass does not approve what the pass pushed, and a revoked pass has pushed nothing', async () => {
    const scope = ['--repo', 'api', '--read', '--push', 'refs/tags/*', '--expires', '1h'];
    const issued = await sshOk(alice, gate, ['pass', 'issue', 'agent', ...scope, '--json']);
    const secret = /\bgpass_[A-Za-z0-9]+/.exec(issued)?.[0];
    const pass = /"id": ?"([^"]+)"/.exec(issued)?.[1];
    assert.ok(secret !== undefined && pass !== undefined, issued);
    const target = url(gate, 'http', 'api', secret);
    const first = idIn((await git(alice, ['push', target, 'HEAD:refs/tags/by-pass'], tree)).stderr);
    assert.match((await approve(alice, first)).stderr, /nobody approves their own push/);
    assert.equal((await approve(rita, first)).code, 0);
    assert.equal((await tips('api')).has('refs/tags/by-pass'), true);
    const second = idIn((await git(alice, ['push', target, 'HEAD:refs/tags/by-pass-2'], tree)).stderr);
    await sshOk(alice, gate, ['pass', 'revoke', pass]);
    assert.match((await approve(rita, second)).stderr, /is not accepted any more/);
    assert.equal((await tips('api')).has('refs/tags/by-pass-2'), false);
  });

  test('who issued a pass for somebody else does not approve what it pushed: they have seen its token', async () => {
    const { admin } = site;
    const reach = ['--repo', 'api', '--read', '--push', 'refs/tags/*', '--expires', '1h', '--purpose', 'helping'];
    const issued = await sshOk(admin, gate, ['pass', 'issue', 'sock', '--for', 'alice', ...reach, '--json']);
    const secret = /\bgpass_[A-Za-z0-9]+/.exec(issued)?.[0];
    assert.ok(secret !== undefined, issued);
    const id = idIn((await git(alice, ['push', url(gate, 'http', 'api', secret), 'HEAD:refs/tags/sock'], tree)).stderr);
    await sshOk(admin, gate, ['group', 'adduser', 'reviewers', admin.name]);
    for (const who of [[], ['as', 'rita']]) {
      const refused = await ssh(admin, gate, [...who, 'hold', 'approve', id, '--reason', "'mine, by another name'"]);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /nobody approves their own push, nor one by a pass that they issued/);
    }
    assert.match(await sshOk(rita, gate, ['hold', 'show', id]), new RegExp(`issued by ${admin.name}: helping`));
    assert.match(
      await sshOk(admin, gate, ['audit', 'log', '--json', '--repo', 'api']),
      new RegExp(`"credential":"pass \\w+ \\(sock\\), issued by ${admin.name}: helping"`),
    );
    assert.equal((await approve(rita, id)).code, 0);
    assert.equal((await tips('api')).has('refs/tags/sock'), true);
    await sshOk(admin, gate, ['group', 'deluser', 'reviewers', admin.name]);
  });

  test('another name does not make the issuer of a pass somebody else, whether it came before the push or behind it', async () => {
    const { admin } = site;
    const otto = await addPerson(site, 'otto');
    for (const group of ['administrators', 'reviewers']) await sshOk(admin, gate, ['group', 'adduser', group, 'otto']);
    const reach = ['--repo', 'api', '--read', '--push', 'refs/tags/*', '--expires', '1h'];
    const secret = /\bgpass_[A-Za-z0-9]+/.exec(
      await sshOk(otto, gate, ['pass', 'issue', '--for', 'alice', ...reach]),
    )?.[0];
    const target = url(gate, 'http', 'api', secret ?? '');
    const first = idIn((await git(alice, ['push', target, 'HEAD:refs/tags/otto-1'], tree)).stderr);
    await sshOk(admin, gate, ['user', 'rename', 'otto', 'otis']);
    const second = idIn((await git(alice, ['push', target, 'HEAD:refs/tags/otto-2'], tree)).stderr);
    for (const id of [first, second]) {
      const refused = await approve(otto, id);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /nobody approves their own push, nor one by a pass that they issued/);
      assert.equal((await approve(rita, id)).code, 0);
    }
    await sshOk(admin, gate, ['group', 'deluser', 'administrators', 'otis']);
  });

  test('the push of a pass that does not fetch is held, and applied when it is approved', async () => {
    const words = ['pass', 'issue', '--repo', 'api', '--push', 'refs/tags/*', '--expires', '1h'];
    const secret = /\bgpass_[A-Za-z0-9]+/.exec(await sshOk(alice, gate, words))?.[0];
    const target = url(gate, 'http', 'api', secret);
    const id = idIn((await git(alice, ['push', target, 'HEAD:refs/tags/unread'], tree)).stderr);
    const ended = await approve(rita, id);
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal((await tips('api')).has('refs/tags/unread'), true);
    const second = idIn((await git(alice, ['push', target, 'HEAD:refs/tags/unread-2'], tree)).stderr);
    const run = async (...argv: readonly string[]): Promise<string> => {
      const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
      const body = JSON.stringify({ argv });
      return (await fetch(`http://${gate.http}/api/v1/commands`, { method: 'POST', headers, body })).text();
    };
    assert.match(await run('hold', 'show', second, '--diff'), /there is no held push/);
    assert.match(await run('hold', 'cancel', second), /is cancelled/);
  });

  test('clients wait over ssh and http, and read ok once somebody approves', async () => {
    const main = (await tips('api')).get('refs/heads/main') ?? '';
    await gitOk(alice, ['reset', '-q', '--hard', main], tree);
    const token = await tokenOf(alice);
    for (const transport of ['ssh', 'http'] as const) {
      const oid = await commitFile(alice, tree, `${transport}.txt`, transport);
      const target = url(gate, transport, 'api', transport === 'http' ? token : undefined);
      const waiting = git(alice, ['push', '-o', 'wait=1m', target, 'main'], tree);
      assert.equal((await approve(rita, await heldId(oid))).code, 0);
      const ended = await waiting;
      assert.equal(ended.code, 0, ended.stderr);
      assert.match(ended.stderr, /was approved by rita: read it/);
      assert.equal((await tips('api')).get('refs/heads/main'), oid);
    }
  });

  test('a held push outlives kill -9, a renamed repository and a destroyed one that comes back', async () => {
    const { admin } = site;
    const { oid, id } = await heldCommit('copy', 'kept.txt', 'HEAD:refs/tags/kept');
    await gate.kill();
    gate = await startGate(scope, { data: gate.data, home: admin.home });
    await sshOk(admin, gate, ['rename', 'copy', 'moved']);
    assert.match(await sshOk(rita, gate, ['hold', 'show', id, '--diff']), /\+kept\.txt/);
    await sshConfirmed(admin, gate, ['destroy', 'moved']);
    assert.notEqual((await approve(rita, id)).code, 0);
    await sshOk(admin, gate, ['graveyard', 'restore', 'moved']);
    assert.equal((await approve(rita, id)).code, 0);
    assert.equal((await tips('moved')).get('refs/tags/kept'), oid);
    const metrics = await (await fetch(`http://${gate.http}/metrics`)).text();
    assert.match(metrics, /gatehouse_held_pushes_total\{outcome="approved"\} 1/);
  });

  async function tokenOf(person: Person): Promise<string> {
    tokens += 1;
    const made = await sshOk(person, gate, ['token', 'create', `t-${tokens}`, '--json']);
    const token = /ght_[A-Za-z0-9]+/.exec(made)?.[0];
    assert.ok(token, made);
    return token;
  }

  /** The id under which a commit is held; asks until it is there. */
  async function heldId(oid: string): Promise<string> {
    for (;;) {
      const all: unknown = JSON.parse(await sshOk(rita, gate, ['hold', 'list', '--json']));
      assert.ok(Array.isArray(all));
      for (const each of all as { id: string; refs: { newOid: string }[] }[]) {
        if (each.refs.some(({ newOid }) => newOid === oid)) return each.id;
      }
    }
  }
});
