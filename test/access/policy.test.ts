import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compilePolicy } from '../../src/access/compile.ts';
import type { Question } from '../../src/access/decision.ts';
import { checkRepositoryRules } from '../../src/access/own-rules.ts';
import { renderProblem } from '../../src/access/problem.ts';
import { housePolicy, policyOf, principal, repository } from './site.ts';

const ian = principal({ name: 'ian', groups: ['staff'] });
const read = (rules?: string, refname?: string): Question => ({
  principal: ian,
  operation: 'read',
  repository: repository('x', 'boss', { readers: 'staff' }, rules),
  ...(refname === undefined ? {} : { ref: { refname } }),
});

test('a policy without its entry, or too large, is wrong', () => {
  assert.equal(compilePolicy(new Map()).kind, 'wrong');
  assert.equal(compilePolicy(new Map([['rules/other.lace', 'default allow']])).kind, 'wrong');
  const large = compilePolicy(new Map([['rules/main.lace', `default deny\n${'# padding\n'.repeat(500_000)}`]]));
  assert.match(large.kind === 'wrong' ? (large.problems[0]?.message ?? '') : '', /at most \d+ bytes/);
});

test('a problem shows file, line, text, carets and the files around', () => {
  const files = new Map([
    ['rules/main.lace', 'default deny\ninclude global:more'],
    ['rules/more.lace', '\nallow "yes" is_nobody'],
  ]);
  const compiled = compilePolicy(files);
  assert.ok(compiled.kind === 'wrong');
  assert.equal(
    compiled.problems.map(renderProblem).join('\n'),
    [
      'rules/more.lace:2: Undefined name used in condition (is_nobody)',
      '    allow "yes" is_nobody',
      '                ^^^^^^^^^',
      '    included from rules/main.lace:2',
    ].join('\n'),
  );
});

test('a problem of a hostile line is shown short and without control characters', () => {
  const line = `allow \u001b]0;owned\u0007 ${'x'.repeat(100_000)} nope`;
  const compiled = compilePolicy(new Map([['rules/main.lace', line]]));
  assert.ok(compiled.kind === 'wrong');
  const text = compiled.problems.map(renderProblem).join('\n');
  assert.ok(text.split('\n').every((shown) => shown.length < 600));
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f]/);
});

test('a mistyped variable is told with the nearest one', () => {
  const compiled = compilePolicy(new Map([['rules/main.lace', 'default deny\nallow x [usr is ian]']]));
  assert.ok(compiled.kind === 'wrong');
  assert.match(compiled.problems[0]?.message ?? '', /\(usr\) must be .*; did you mean user\?$/);
});

test('own rules with many large patterns are refused before they fill the memory', () => {
  const lines = Array.from({ length: 1_900 }, (_, i) => `define d${i} ref pcre 'a{900}'`);
  assert.match(checkRepositoryRules(lines.join('\n'))?.message ?? '', /too large together/);
});

test('includes reach only the rules folder', () => {
  for (const name of ['global:../scenarios/x', 'rules/more', '/etc/passwd', 'global:', 'global:more.lace', 'own']) {
    const compiled = compilePolicy(
      new Map([
        ['rules/main.lace', `default deny\ninclude ${name}`],
        ['scenarios/x.lace', 'allow x'],
        ['rules/more.lace', 'allow x'],
      ]),
    );
    assert.equal(compiled.kind, 'wrong', name);
  }
});

test('an odd quote in a rule is a warning with its place', () => {
  const compiled = compilePolicy(new Map([['rules/main.lace', 'default deny "no']]));
  assert.ok(compiled.kind === 'ok');
  assert.deepEqual(compiled.warnings.map(renderProblem), [
    'rules/main.lace:1: Un-terminated quoted string\n    default deny "no',
  ]);
});

test('refs are hidden by an outright refusal of readref only', () => {
  const site = 'default deny no\nallow "readers read" [operation is read] [group is ${config/readers}]\n';
  const plain = policyOf(site);
  assert.equal(plain.readableRefs(ian, read().repository ?? repository('x', 'y')), undefined);
  const policy = policyOf(`deny "embargo" [operation is readref] [ref prefix refs/heads/embargo/]\n${site}`);
  assert.equal(policy.needs.refReads, true);
  const mayRead = policy.readableRefs(ian, repository('x', 'boss', { readers: 'staff' }));
  assert.ok(mayRead !== undefined);
  assert.equal(mayRead('refs/heads/main'), true);
  assert.equal(mayRead('refs/heads/embargo/fix'), false);
  assert.equal(mayRead('refs/heads/embargo/fix'), false);
  assert.equal(mayRead('refs/gatehouse/x'), false);
  assert.equal(policy.decide(read(undefined, 'refs/heads/embargo/fix')).kind, 'refused');
  assert.equal(policy.decide(read(undefined, 'refs/heads/main')).kind, 'allowed');
  assert.equal(policy.decide(read()).kind, 'allowed');
});

test('who asks again gets the same predicate, so that what hangs on it is made once; who differs gets another', () => {
  const policy = policyOf('deny "embargo" [operation is readref] [group is guests]\nallow "all" [operation is read]\n');
  const place = repository('x', 'boss', { readers: 'staff' });
  const mayRead = policy.readableRefs(ian, place);
  assert.ok(mayRead);
  assert.equal(policy.readableRefs({ ...ian }, { ...place }), mayRead);
  assert.notEqual(policy.readableRefs(principal({ name: 'boss' }), place), mayRead);
  assert.notEqual(policy.readableRefs(ian, repository('x', 'boss', { readers: 'others' })), mayRead);
  const guest = principal({ name: 'ian', groups: ['guests'] });
  assert.equal(policy.readableRefs(guest, place)?.('refs/heads/main'), false, 'the same name in another group');
});

test("a repository's own rules may hide refs, and only that repository pays for it", () => {
  const policy = housePolicy();
  const rules = 'deny "embargo" [operation is readref] [ref prefix refs/heads/embargo/]';
  assert.deepEqual(policy.needs, { paths: false, refReads: false });
  const hiding = repository('x', 'boss', { readers: 'staff' }, rules);
  assert.deepEqual(policy.needsFor(hiding), { paths: false, refReads: true });
  assert.equal(policy.readableRefs(ian, hiding)?.('refs/heads/embargo/x'), false);
  assert.equal(policy.readableRefs(principal({ name: 'boss' }), hiding)?.('refs/heads/embargo/x'), true);
  assert.equal(policy.readableRefs(ian, repository('x', 'boss', { readers: 'staff' })), undefined);
  const looking = repository('x', 'boss', {}, 'deny "no" [treediff/added prefix secret/]');
  assert.deepEqual(policy.needsFor(looking), { paths: true, refReads: false });
});

test('own rules compile alone: no includes, no default, no names of the site, a bounded size', () => {
  const bad = [
    'include global:core',
    'include? main',
    'include x',
    'default allow',
    'allow "x" is_owner',
    'wibble',
    'allow',
    `# ${'x'.repeat(70_000)}`,
  ];
  for (const text of bad) {
    const problem = checkRepositoryRules(text);
    assert.ok(text === 'include? main' ? problem === undefined : problem !== undefined, text.slice(0, 40));
    if (problem !== undefined) assert.equal(problem.file, 'own rules');
  }
  for (const text of ['', '# nothing', 'allow "x"', 'deny "x" [user is tina]', 'define a user is tina']) {
    assert.equal(checkRepositoryRules(text), undefined, text);
  }
  assert.match(
    renderProblem(checkRepositoryRules('allow x nobody') ?? assert.fail()),
    /^own rules:1: Undefined name[^]*\^{6}$/,
  );
});

test('own rules that do not compile any more refuse, and only where they are asked', () => {
  const policy = housePolicy();
  const refused = policy.decide(read('wibble'));
  assert.equal(refused.kind, 'refused');
  assert.match(refused.reason, /^own rules:1: the rules went wrong: Unknown command: wibble/);
  assert.equal(policy.decide({ ...read('wibble'), principal: principal({ name: 'boss' }) }).kind, 'allowed');
});

test('own rules may not redefine what another file of the site defined: each has names of its own', () => {
  const policy = housePolicy();
  const rules = 'define is_reader user is tina\nallow "tina reads" is_reader [operation is read]';
  assert.equal(policy.decide(read(rules)).kind, 'allowed');
  assert.equal(policy.decide({ ...read(rules), principal: principal({ name: 'tina' }) }).kind, 'allowed');
});

test('explain tells the answer, the rule that decided and those before it, in order', () => {
  const explained = housePolicy().explain({
    principal: principal({ name: 'gabriella', groups: ['guests'] }),
    operation: 'update-ref',
    repository: repository('x', 'boss', { guests: 'guests' }),
    ref: { refname: 'refs/heads/main' },
  });
  const last = explained.steps.at(-1);
  assert.deepEqual({ source: last?.source, result: last?.result }, { source: 'rules/house.lace', result: 'matched' });
  assert.match(
    explained.text,
    /^refused: gabriella update-ref x refs\/heads\/main\nbecause: rules\/house\.lace:\d+: guests keep/,
  );
  assert.match(explained.text, /rules\/core\.lace:\d+ {2}passed: is_admin is false/);
  const allowed = housePolicy().explain({ ...read(), operation: 'read' });
  assert.equal(allowed.decision.kind, 'allowed');
  assert.ok(allowed.steps.length > 3);
  assert.deepEqual(allowed.steps, allowed.decision.trace);
});

test('a question of any shape gets a decision, twice the same, and explain agrees', () => {
  const policy = housePolicy();
  const text = fc.oneof(
    fc.constantFrom('refs/heads/main', 'refs/tags/v1', '', 'boss', 'staff', '${user}', '\n', '__proto__'),
    fc.string({ maxLength: 8 }),
  );
  const settings = fc.dictionary(
    fc.oneof(fc.constantFrom('readers', 'writers', 'guests', 'public', 'protected'), text),
    fc.oneof(text, fc.array(text, { maxLength: 3 })),
  );
  const rules = fc.oneof(
    fc.constant(undefined),
    fc.constantFrom('allow yes', 'deny no [operation is readref]', 'wibble', 'define a user is x\ndefine a user is x'),
  );
  const question = fc.record({
    principal: fc.constantFrom(
      ian,
      principal({ name: 'anonymous' }),
      principal({ name: 'ci', account: 'ci', groups: ['staff'] }),
    ),
    operation: fc.constantFrom(
      'read',
      'write',
      'create-ref',
      'delete-ref',
      'configure',
      'administer',
      'create-repository',
    ),
    action: text,
    repository: fc.record({ id: text, name: text, owner: text, settings }),
    ref: fc.record({ refname: text }),
    variables: fc.dictionary(text, text),
    rules,
  });
  fc.assert(
    fc.property(question, ({ rules: own, ...asked }) => {
      const whole = {
        ...asked,
        repository: { ...asked.repository, ...(own === undefined ? {} : { rules: own }) },
      } as unknown as Question;
      const first = policy.decide(whole);
      const second = policy.decide(whole);
      assert.deepEqual([first.kind, first.reason, first.rule], [second.kind, second.reason, second.rule]);
      assert.equal(policy.explain(whole).decision.kind, first.kind);
      assert.doesNotMatch(first.reason, /\n/);
    }),
    { numRuns: 1_000 },
  );
});

test('a question that makes a rule throw is refused', () => {
  const broken = {
    principal: ian,
    operation: 'read',
    repository: { ...repository('x', 'boss'), settings: null },
  } as unknown as Question;
  const decision = housePolicy().decide(broken);
  assert.equal(decision.kind, 'refused');
  assert.match(decision.reason, /could not be evaluated/);
  assert.equal(housePolicy().decide(read()).kind, 'allowed');
});

test("what owners wrote is bounded over all refs of a request, and a site without owners' rules is not held to it", () => {
  // About a million steps for a ref of a thousand characters, and allowed in the end.
  const dear = `deny "never" [ref pcre '(a?){300}b$']\n`;
  const rules = `${dear}allow "all" [operation is read]\n`;
  const policy = housePolicy();
  const place = repository('x', 'boss', {}, rules);
  const ref = (count: number) => ({ refname: `refs/heads/${'a'.repeat(900)}${count}` });
  const ask = (count: number, together?: object) =>
    policy.decide({
      principal: ian,
      operation: 'read',
      repository: place,
      ref: ref(count),
      ...(together === undefined ? {} : { together }),
    });
  const together = {};
  const kinds = Array.from({ length: 100 }, (_, count) => ask(count, together).kind);
  assert.equal(kinds[0], 'allowed');
  assert.equal(kinds.at(-1), 'refused', 'the purse is empty');
  assert.match(ask(101, together).reason, /went wrong/);
  assert.equal(ask(101).kind, 'allowed', 'alone it costs no more than a decision may');
  assert.equal(ask(101, {}).kind, 'allowed', 'another request has its own');
  const cheap = repository('y', 'boss', { readers: 'staff' });
  const read = policy.decide({ principal: ian, operation: 'read', repository: cheap, together });
  assert.equal(read.kind, 'allowed', "the site's own rules are never starved by an owner");
});

test('an honest own rule decides about fifty thousand refs', () => {
  const policy = housePolicy();
  const rules = 'deny "embargo" [operation is readref] [ref pcre "^refs/heads/embargo/(.+/)?fix-[0-9]+$"]';
  const mayRead = policy.readableRefs(ian, repository('x', 'boss', { readers: 'staff' }, rules));
  assert.ok(mayRead !== undefined);
  for (let count = 0; count < 50_000; count += 1) assert.ok(mayRead(`refs/heads/feature/team/${count}`), `${count}`);
  assert.equal(mayRead('refs/heads/embargo/a/fix-1'), false);
});

const HOLDING = [
  'define is_staff group is staff',
  'define opens anyof [operation is read] [operation is write]',
  'allow "staff come in" is_staff opens',
  'hold "${ref} wants a second person" is_staff',
  'default deny "nobody else"',
].join('\n');

const update = (operation: Question['operation']): Question => ({
  principal: ian,
  operation,
  repository: repository('x', 'boss'),
  ref: { refname: 'refs/heads/main' },
});

test('hold refuses with a mark where a ref is changed, with the reason and the rule', () => {
  const policy = policyOf(HOLDING);
  for (const operation of ['create-ref', 'update-ref', 'rewind-ref', 'delete-ref'] as const) {
    const decision = policy.decide(update(operation));
    assert.equal(decision.kind, 'refused');
    assert.equal(decision.hold, true);
    assert.equal(decision.rule, 'rules/main.lace:4');
    assert.match(decision.reason, /refs\/heads\/main wants a second person/);
  }
});

test('hold is a plain no for whatever is no change of a ref', () => {
  const policy = policyOf(HOLDING);
  for (const operation of ['configure', 'administer', 'create-repository', 'destroy-repository'] as const) {
    const decision = policy.decide(update(operation));
    assert.deepEqual([decision.kind, decision.hold], ['refused', undefined]);
  }
  const all = policyOf('hold "all"');
  for (const operation of ['read', 'write'] as const) {
    const decision = all.decide(update(operation));
    assert.deepEqual([decision.kind, decision.hold], ['refused', undefined]);
  }
});

test('access explain calls a held push held', () => {
  assert.match(policyOf(HOLDING).explain(update('update-ref')).text, /^held: ian update-ref x refs\/heads\/main\n/);
});

test('behind a last hold stands a no, not a yes', () => {
  const decision = policyOf('hold "wait" [group is others]').decide(update('update-ref'));
  assert.deepEqual([decision.kind, decision.hold], ['refused', undefined]);
});

test("an owner's own rules may hold", () => {
  const question = update('update-ref');
  const policy = policyOf('include? main\nallow "all"');
  const rules = 'hold "the owner looks first" [ref prefix refs/heads/]';
  const decision = policy.decide({ ...question, repository: repository('x', 'boss', {}, rules) });
  assert.equal(decision.hold, true);
});

test('a definition named hold keeps its meaning', () => {
  const policy = policyOf('define hold user is ian\nallow "ian" hold\ndeny "others"');
  assert.equal(policy.decide(update('update-ref')).kind, 'allowed');
});
