import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePolicy, isPolicyPath } from '../../../src/access/compile.ts';
import type { Operation, Question } from '../../../src/access/decision.ts';
import { houseFiles } from '../../../src/access/house.ts';
import type { Policy } from '../../../src/access/policy.ts';
import { renderProblem } from '../../../src/access/problem.ts';
import { principal, repository } from '../site.ts';

function site(conf: string, more: Readonly<Record<string, string>> = {}): Policy {
  const compiled = compilePolicy(new Map([...houseFiles(), ['conf/gitolite.conf', conf], ...Object.entries(more)]));
  assert.ok(compiled.kind === 'ok', compiled.kind === 'wrong' ? compiled.problems.map(renderProblem).join('\n') : '');
  return compiled.policy;
}

function problems(conf: string, more: Readonly<Record<string, string>> = {}): string {
  const compiled = compilePolicy(new Map([...houseFiles(), ['conf/gitolite.conf', conf], ...Object.entries(more)]));
  return compiled.kind === 'ok' ? '' : compiled.problems.map(renderProblem).join('\n');
}

const ann = principal({ name: 'ann', groups: ['staff'] });
const bob = principal({ name: 'bob' });
const boss = principal({ name: 'boss', groups: ['administrators'] });
const anonymous = principal({ name: 'anonymous' });

function ask(policy: Policy, who: Question['principal'], operation: Operation, more: Partial<Question> = {}): string {
  const decision = policy.decide({ principal: who, operation, repository: repository('foo', 'owner'), ...more });
  return decision.kind === 'allowed' ? 'allowed' : decision.reason;
}

const at = (refname: string, facts: object = {}) => ({ ref: { refname, ...facts } });

test('a repository that the conf names is governed by it, any other by Lace', () => {
  const policy = site('repo foo w/..*\n  RW = ann\nrepo @all\n  R = bob');
  const open = { public: 'yes' };
  assert.equal(ask(policy, ann, 'read'), 'allowed');
  assert.equal(ask(policy, bob, 'read'), 'allowed');
  const carl = principal({ name: 'carl' });
  assert.match(
    ask(policy, carl, 'read', { repository: repository('foo', 'x', open) }),
    /^conf\/gitolite\.conf: DENIED by fallthru/,
  );
  assert.match(ask(policy, carl, 'read', { repository: repository('w/x', 'x', open) }), /DENIED by fallthru/);
  assert.equal(ask(policy, carl, 'read', { repository: repository('other', 'x', open) }), 'allowed');
  assert.match(ask(policy, bob, 'read', { repository: repository('other', 'x') }), /^rules\//);
  // The owner's own Lace rules do not reach into what the conf governs.
  const own = 'allow "everybody" [operation is read]';
  assert.match(ask(policy, carl, 'read', { repository: repository('foo', 'x', {}, own) }), /DENIED/);
});

test('the repository of the policy stays with Lace whatever the conf says', () => {
  const policy = site('repo gatehouse-admin @all g..*\n  RW+ = @all');
  const admin = { repository: repository('gatehouse-admin', 'boss') };
  assert.match(ask(policy, ann, 'read', admin), /^rules\//);
  assert.equal(ask(policy, boss, 'write', admin), 'allowed');
  const compiled = compilePolicy(new Map([...houseFiles(), ['conf/gitolite.conf', 'repo gatehouse-admin\n  R = ann']]));
  assert.ok(compiled.kind === 'ok');
  assert.match(
    compiled.warnings.map(renderProblem).join(),
    /conf\/gitolite\.conf:2: gatehouse-admin is governed by rules\//,
  );
});

test('a refusal names the line, and what would be allowed with its line', () => {
  const policy = site('repo foo\n  - master = ann\n  RW dev/ = @staff\n  R = bob');
  assert.equal(
    ask(policy, ann, 'update-ref', at('refs/heads/master')),
    'conf/gitolite.conf:2: DENIED by refs/heads/master (W refs/heads/master foo ann); ann has W for refs/heads/dev/ (conf/gitolite.conf:3)',
  );
  assert.equal(
    ask(policy, bob, 'write'),
    'conf/gitolite.conf: DENIED by fallthru (W any foo bob); no rule gives bob W in foo',
  );
});

test('each update asks what gitolite would ask', () => {
  const lax = site('repo foo\n  RW = ann\n  RW+ = bob');
  const ref = at('refs/heads/x');
  const allowed = (policy: Policy, who: Question['principal'], more: Partial<Question>) =>
    (['create-ref', 'update-ref', 'rewind-ref', 'delete-ref'] as const).filter(
      (operation) => ask(policy, who, operation, more) === 'allowed',
    );
  assert.deepEqual(allowed(lax, ann, ref), ['create-ref', 'update-ref']);
  assert.deepEqual(allowed(lax, bob, ref), ['create-ref', 'update-ref', 'rewind-ref', 'delete-ref']);
  assert.deepEqual(allowed(lax, ann, at('refs/tags/v1')), ['create-ref']);
  const strict = site('repo foo\n  RW+ = ann\n  RWCD = bob');
  assert.deepEqual(allowed(strict, ann, ref), ['update-ref', 'rewind-ref']);
  assert.deepEqual(allowed(strict, bob, ref), ['create-ref', 'update-ref', 'delete-ref']);
});

test('merges are looked for only where a rule has M, and then need it', () => {
  const policy = site('repo foo\n  RW = ann\n  RWM = bob\nrepo bar\n  RW = ann');
  assert.equal(policy.needsFor(repository('foo', 'x')).merges, true);
  assert.equal(policy.needsFor(repository('bar', 'x')).merges, false);
  assert.match(
    ask(policy, ann, 'update-ref', at('refs/heads/x', { merges: true })),
    /^conf\/gitolite\.conf: DENIED by fallthru \(WM /,
  );
  assert.equal(ask(policy, ann, 'update-ref', at('refs/heads/x', { merges: false })), 'allowed');
  assert.equal(ask(policy, bob, 'update-ref', at('refs/heads/x', { merges: true })), 'allowed');
  assert.equal(
    ask(policy, ann, 'update-ref', { ...at('refs/heads/x', { merges: true }), repository: repository('bar', 'x') }),
    'allowed',
  );
});

test('paths are asked for only where a NAME rule stands, and a refused one refuses the update', () => {
  const policy = site(
    'repo foo\n  RW = ann bob\n  - NAME/secret/ = ann\n  - NAME/"caf = ann\nrepo bar\n  RW = ann'.replace(
      '\n  - NAME/"caf = ann',
      '',
    ),
  );
  assert.equal(policy.needsFor(repository('foo', 'x')).paths, true);
  assert.equal(policy.needsFor(repository('bar', 'x')).paths, false);
  const changed = (...modified: string[]) =>
    at('refs/heads/x', { changed: { added: [], deleted: [], modified, renamed: [] } });
  assert.equal(ask(policy, ann, 'update-ref', changed('a', 'b/secret/c')), 'allowed');
  assert.match(
    ask(policy, ann, 'update-ref', changed('a', 'secret/b')),
    /^conf\/gitolite\.conf:3: DENIED by VREF\/NAME\/secret\/ \(W VREF\/NAME\/secret\/b foo ann\)/,
  );
  assert.equal(ask(policy, bob, 'update-ref', changed('secret/b')), 'allowed');
});

test('nobody in particular is daemon: what @all grants is not theirs, what it refuses is', () => {
  const policy = site(
    'repo foo\n  R = @all\nrepo bar\n  R = daemon\nrepo baz\n  option deny-rules = 1\n  - = @all\n  R = daemon',
  );
  assert.match(ask(policy, anonymous, 'read'), /no rule gives anonymous R in foo/);
  assert.equal(ask(policy, anonymous, 'read', { repository: repository('bar', 'x') }), 'allowed');
  assert.match(ask(policy, anonymous, 'read', { repository: repository('baz', 'x') }), /DENIED by refs/);
});

test('a wild repository is made by whom C lets, for themselves; administrators make what the conf names', () => {
  const policy = site('repo home/CREATOR/..*\n  C = @staff\n  RW+ = CREATOR\nrepo foo\n  R = ann');
  const phantom = (name: string, owner: string) => ({ repository: { ...repository(name, owner), id: '' } });
  assert.equal(ask(policy, ann, 'create-repository', phantom('home/ann/x', 'ann')), 'allowed');
  assert.match(ask(policy, ann, 'create-repository', phantom('home/ann/x', 'bob')), /for yourself/);
  assert.match(ask(policy, bob, 'create-repository', phantom('home/bob/x', 'bob')), /DENIED by fallthru/);
  assert.match(ask(policy, ann, 'create-repository', phantom('foo', 'ann')), /DENIED by fallthru/);
  assert.equal(ask(policy, boss, 'create-repository', phantom('foo', 'boss')), 'allowed');
  const posing = principal({ name: 'bob', asking: { name: 'boss', groups: ['administrators'] } });
  assert.match(ask(policy, posing, 'create-repository', phantom('foo', 'bob')), /DENIED by fallthru/);
  assert.equal(
    ask(policy, ann, 'rewind-ref', { ...at('refs/heads/x'), repository: repository('home/ann/x', 'ann') }),
    'allowed',
  );
  assert.match(ask(policy, boss, 'read'), /DENIED by fallthru/);
});

test('the settings readers and writers give the roles of those names to groups', () => {
  const policy = site('repo w/..*\n  RW = WRITERS\n  R = READERS');
  const about = { repository: repository('w/x', 'owner', { writers: ['staff'], readers: 'guests' }) };
  assert.equal(ask(policy, ann, 'write', about), 'allowed');
  assert.match(ask(policy, bob, 'read', about), /DENIED/);
  assert.equal(ask(policy, principal({ name: 'bob', groups: ['guests'] }), 'read', about), 'allowed');
});

test('settings, renames and the site itself are for Lace, which the conf has no words for', () => {
  const policy = site('repo foo\n  RW+ = ann');
  assert.match(ask(policy, ann, 'configure', { action: 'config_set' }), /^rules\//);
  assert.equal(ask(policy, principal({ name: 'owner' }), 'configure', { action: 'config_set' }), 'allowed');
  assert.equal(ask(policy, boss, 'destroy-repository'), 'allowed');
});

test('a token that may only read does no more under the conf', () => {
  const policy = site('repo foo\n  RW+ = ann');
  const reading = principal({ name: 'ann', credential: { kind: 'token', id: '1', name: 't', scopes: ['read'] } });
  assert.equal(ask(policy, reading, 'read'), 'allowed');
  assert.notEqual(ask(policy, reading, 'write'), 'allowed');
});

test('explain shows the rules that were tried, in order, with file and line', () => {
  const policy = site('repo foo\n  include "x.conf"\n  RW = ann', { 'conf/x.conf': '\n  - dev = ann # not theirs' });
  const { text, steps } = policy.explain({
    principal: ann,
    operation: 'update-ref',
    repository: repository('foo', 'x'),
    ...at('refs/heads/m'),
  });
  assert.deepEqual(
    steps.map(({ source, line, result }) => `${source}:${line} ${result}`),
    ['conf/x.conf:2 passed-over', 'conf/gitolite.conf:3 matched'],
  );
  assert.match(
    text,
    /^allowed: ann update-ref foo refs\/heads\/m\nbecause: RW refs\/\.\*\nrule: conf\/gitolite\.conf:3\n/,
  );
  assert.match(text, /passed: - refs\/heads\/dev = ann: not this ref\n {6}- dev = ann # not theirs/);
});

test('what is wrong with the conf refuses the whole policy, with file, line and the line itself', () => {
  assert.equal(problems('repo foo\n  RW = a!b'), "conf/gitolite.conf:2: bad username 'a!b'\n    RW = a!b");
  assert.match(
    problems('repo foo\n  - VREF/own/5 = ann\n  - VREF/COUNT/5 = ann'),
    /conf\/gitolite\.conf:2: VREF\/own\/5 cannot be checked here: of the VREFs there are COUNT, [^]*VOTES, refex-expr\n/,
  );
  assert.match(
    problems('', { 'conf/gitolite.toml': 'hostnme = "x"' }),
    /conf\/gitolite\.toml: unknown key hostnme; did you mean hostname/,
  );
  assert.match(
    problems('', { 'conf/gitolite.toml': 'roles = ["CREATOR"]\nsugar = ["macro"]\nsafe-config = 1' }),
    /CREATOR is no role[^]*unknown sugar macro[^]*safe-config is a table/,
  );
  assert.match(problems('', { 'conf/gitolite.toml': '= x' }), /conf\/gitolite\.toml:1: /);
  const alone = compilePolicy(new Map([...houseFiles(), ['conf/x.conf', '']]));
  assert.match(
    alone.kind === 'wrong' ? alone.problems.map(renderProblem).join() : '',
    /conf\/gitolite\.conf: the entry of the conf is missing/,
  );
});

test('the site settings switch on what the rc file of gitolite would', () => {
  const policy = site('repo foo-%HOSTNAME\n  RW = \\\n  TESTERS ann\nconfig a.b = 1', {
    'conf/gitolite.toml':
      'hostname = "h1"\nconfig-keys = ["a\\\\..*"]\nroles = ["TESTERS"]\nsugar = ["continuation-lines"]\n[safe-config]\nX = "y"\n',
  });
  assert.equal(ask(policy, ann, 'write', { repository: repository('foo-h1', 'x') }), 'allowed');
});

test('the files of a conf belong to the policy, and no others beside them', () => {
  for (const path of ['conf/gitolite.conf', 'conf/teams/a.conf', 'conf/gitolite.toml'])
    assert.equal(isPolicyPath(path), true, path);
  for (const path of ['conf/README', 'conf/x.toml', 'gitolite.conf', 'keydir/a.pub'])
    assert.equal(isPolicyPath(path), false, path);
});
