import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePolicy } from '../../../src/access/compile.ts';
import type { Question } from '../../../src/access/decision.ts';
import { policyOf, principal, repository } from '../site.ts';

const OID = 'a'.repeat(40);
const OTHER = 'b'.repeat(40);

const ian = principal({
  name: 'ian',
  groups: ['staff', 'dev-team'],
  asking: { name: 'root', groups: ['administrators'] },
});
const api = repository('team/api', 'olive', {
  readers: 'staff',
  writers: ['ops', 'dev-team'],
  public: 'no',
  'x.y': 'z',
});
const push: Question = {
  principal: ian,
  operation: 'update-ref',
  repository: api,
  ref: {
    refname: 'refs/heads/ian/topic',
    oldOid: OID as never,
    newOid: OTHER as never,
    oldType: 'commit',
    newType: 'commit',
    changed: { added: ['new.c'], deleted: ['old.c'], modified: ['src/main.c'], renamed: ['moved.c'] },
    startTree: ['src', 'README'],
    targetTree: ['src', 'docs'],
  },
  variables: { source: 'ssh', targetuser: 'tina', targetgroup: 'wiki-editors', keytag: 'laptop' },
};

/** Whether the condition holds for the question. */
function holds(condition: string, question: Question = push): boolean {
  const decision = policyOf(`default deny no\nallow yes [${condition}]`).decide(question);
  assert.ok(decision.kind === 'allowed' || decision.reason.endsWith(': no'), `${condition}: ${decision.reason}`);
  return decision.kind === 'allowed';
}

test('every variable of Gitano reads what it should', () => {
  const table: readonly (readonly [string, boolean])[] = [
    ['operation is updaterefff', true],
    ['operation/class is update-ref', true],
    ['user is ian', true],
    ['user is olive', false],
    ['group is staff', true],
    ['group is ops', false],
    ['group prefix dev-', true],
    ['owner is olive', true],
    ['as_user is root', true],
    ['as_group is administrators', true],
    ['account is person', true],
    ['repository is team/api', true],
    ['repository/1 is team', true],
    ['repository/2 is api', true],
    ["repository/3 prefix ''", false],
    ['ref is refs/heads/ian/topic', true],
    ['oldtype is commit', true],
    ['newtype is commit', true],
    [`oldsha is ${OID}`, true],
    [`newsha is ${OTHER}`, true],
    ['targetuser is tina', true],
    ['targetgroup is wiki-editors', true],
    ['targetgroup/prefix is wiki', true],
    ['keytag is laptop', true],
    ['source is ssh', true],
    ['start_tree is README', true],
    ['target_tree is README', false],
    ['target_tree is docs', true],
    ['treediff/added is new.c', true],
    ['treediff/deleted is old.c', true],
    ['treediff/modified prefix src/', true],
    ['treediff/renamed is moved.c', true],
    ['treediff/targets suffix .c', true],
    ['treediff/targets is README', false],
    ['config/readers is staff', true],
    ['config/writers is dev-team', true],
    ['config/x/y is z', true],
    ['config/project/owner is olive', true],
    ["config/absent prefix ''", false],
  ];
  for (const [condition, wanted] of table) assert.equal(holds(condition), wanted, condition);
});

test('every comparison, its opposite and the older forms', () => {
  const table: readonly (readonly [string, boolean])[] = [
    ['user exact ian', true],
    ['user suffix an', true],
    ['user prefix ia', true],
    ["user pattern '^i%a+$'", true],
    ["user PCRE '^i[a-z]+$'", true],
    ["user pcre '^(x|y)'", false],
    ['user !is ian', false],
    ['user !is olive', true],
    ['group !is staff', false],
    ['group !is ops', true],
    ['user ian', true],
    ['user !ian', false],
    ['user ~^ia', true],
    ['user !~^ia', false],
    ['group ~^staff$', true],
    ['config/absent !is x', false],
  ];
  for (const [condition, wanted] of table) assert.equal(holds(condition), wanted, condition);
});

test('variables in values expand, lists to any of their entries', () => {
  const table: readonly (readonly [string, boolean])[] = [
    ['ref prefix refs/heads/${user}/', true],
    ['ref prefix refs/heads/${owner}/', false],
    ['group is ${config/readers}', true],
    ['group is ${config/writers}', true],
    ['group is x${config/writers}', false],
    ['user is ${config/absent}', false],
    // An unset variable inside a value would otherwise leave the prefix that matches everything.
    ['ref prefix refs/heads/${config/absent}', false],
    ['ref prefix ${config/absent}', false],
    ['config/writers is ${group}', true],
    ["ref pattern '^refs/heads/${user}/'", true],
    ["ref PCRE '^refs/heads/${user}/'", true],
  ];
  for (const [condition, wanted] of table) assert.equal(holds(condition), wanted, condition);
});

test('what a variable holds is never a pattern', () => {
  const dotted = principal({ name: 'i.n' });
  for (const kind of ['pattern', 'PCRE']) {
    const condition = `ref ${kind} '^refs/heads/\${user}/'`;
    assert.equal(holds(condition, { ...push, principal: dotted }), false, kind);
    assert.equal(holds(condition, { ...push, principal: dotted, ref: { refname: 'refs/heads/i.n/x' } }), true, kind);
  }
});

test('the anonymous user is gitano/anonymous, in no group and of no account', () => {
  const question: Question = { ...push, principal: principal({ name: 'anonymous' }) };
  assert.equal(holds('user is gitano/anonymous', question), true);
  for (const unset of ['group', 'account', 'as_user', 'as_group'])
    assert.equal(holds(`${unset} prefix ''`, question), false, unset);
});

test('mistakes in a match are found as it compiles, under the right word', () => {
  const table: readonly (readonly [string, RegExp, string])[] = [
    ['define a user', /nothing/, '         ^^^^'],
    ['define a user like ian', /Unknown comparison: like/, '              ^^^^'],
    ['define a user is ian olive', /additional/, '                     ^^^^^'],
    ['define a user is ${usr}', /No such variable: \$\{usr\}/, '                 ^^^^^^'],
    ["define a user pcre '(a)\\\\1'", /Bad pattern/, '                   ^^^^^^^^'],
    ['define a usr is ian', /second parameter \(usr\)/, '         ^^^'],
    ['define a repository/0 is x', /second parameter/, '         ^^^^^^^^^^^^'],
  ];
  for (const [line, message, carets] of table) {
    const compiled = compilePolicy(new Map([['rules/main.lace', `default deny\n${line}`]]));
    assert.ok(compiled.kind === 'wrong', line);
    const [problem] = compiled.problems;
    assert.match(problem?.message ?? '', message);
    assert.equal(problem?.line, 2);
    if (!line.includes('\\')) assert.equal(problem?.carets, carets, line);
  }
});

test('paths and refs are wanted only where a rule mentions them', () => {
  const needs = (rule: string) => policyOf(`default deny\n${rule}`).needs;
  assert.deepEqual(needs('allow y [ref is x]'), { paths: false, refReads: false });
  assert.deepEqual(needs('allow y [treediff/targets is x]'), { paths: true, refReads: false });
  assert.deepEqual(needs('allow y [start_tree is x]'), { paths: true, refReads: false });
  assert.deepEqual(needs('allow y [user is ${treediff/added}]'), { paths: true, refReads: false });
  assert.deepEqual(needs('deny y [operation is readref]'), { paths: false, refReads: true });
});

test('a rule about paths refuses where the paths of a real update were not told', () => {
  const policy = policyOf('default allow\ndeny secret [treediff/targets prefix secret/]');
  const { changed: _changed, ...ref } = push.ref ?? { refname: '' };
  const decision = policy.decide({ ...push, ref });
  assert.equal(decision.kind, 'refused');
  assert.match(decision.reason, /changed paths of this update are not known/);
  assert.equal(policy.decide({ ...push, ref: { refname: 'refs/heads/x' } }).kind, 'allowed');
});

test('a decision that looks at too much is refused in bounded time', () => {
  const paths = Array.from({ length: 20_000 }, (_, i) => `${'a'.repeat(200)}${i}`);
  const rules = Array.from({ length: 100 }, (_, i) => `define p${i} treediff/targets pcre '^(a+)+${i}x$'`);
  const names = rules.map((_, i) => `p${i}`).join(' ');
  const policy = policyOf(['default allow', ...rules, `define all anyof ${names}`, 'deny no all'].join('\n'));
  const changed = { added: paths, deleted: [], modified: [], renamed: [] };
  const decision = policy.decide({ ...push, ref: { refname: 'refs/heads/x', changed } });
  assert.equal(decision.kind, 'refused');
  assert.match(decision.reason, /too much for one decision/);
});

test('names with newlines and control characters neither match nor reach a reason', () => {
  const policy = policyOf('default deny "${ref} is not for ${user}"\nallow yes [ref is refs/heads/main]');
  const decision = policy.decide({ ...push, ref: { refname: 'refs/heads/main\n\u001b[31mallowed' } });
  assert.equal(decision.kind, 'refused');
  assert.doesNotMatch(decision.reason, /[\u0000-\u001f]/);
});
