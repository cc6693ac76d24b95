import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { renderProblem } from '../../../src/access/problem.ts';
import { runScenarios, type ScenarioReport } from '../../../src/access/scenario/runner.ts';
import { parseScenarios } from '../../../src/access/scenario/source.ts';
import { SCENARIO_STEPS } from '../../../src/access/scenario/steps.ts';
import { housePolicy } from '../site.ts';

const policy = housePolicy();

function run(...lines: readonly string[]): ScenarioReport {
  return runScenarios(policy, new Map([['scenarios/x.yarn', lines.join('\n')]]));
}

function problemsOf(...lines: readonly string[]): readonly string[] {
  return run(...lines).problems.map((problem) => `${problem.line}: ${problem.message}`);
}

const START = ['SCENARIO s', 'GIVEN a user boss', 'GIVEN a repository x owned by boss'];

test('prose, markdown and blank lines are passed over', () => {
  const report = run(
    'Title',
    '=====',
    '',
    'When in doubt, read on. THEN is a word.',
    '',
    '    SCENARIO s',
    '    GIVEN a user ian',
    '',
    '- a list',
    '    WHEN ian runs whoami',
    '    THEN it is allowed',
    'The end.',
  );
  assert.deepEqual(report.problems, []);
  assert.equal(report.scenarios.length, 1);
});

test('a line with ... continues the step before', () => {
  assert.deepEqual(
    problemsOf(...START, 'WHEN boss pushes', '... a new branch', '... refs/heads/y to x', 'THEN it is allowed'),
    [],
  );
});

test('a failure says file, line, what was expected and what came instead', () => {
  const report = run(
    ...START,
    'WHEN boss clones x',
    'THEN it is refused',
    'WHEN anonymous clones x',
    'THEN it is allowed',
  );
  const [problem] = report.problems;
  assert.equal(report.problems.length, 1);
  assert.match(
    renderProblem(problem ?? assert.fail()),
    /^scenarios\/x\.yarn:5: scenario "s": it is allowed by rules\/project\.lace:\d+: owners do anything[^]*\n {4}THEN it is refused$/,
  );
  assert.equal(report.scenarios[0]?.failure, problem);
});

test('a refusal for another reason, or by another file, fails', () => {
  assert.match(
    problemsOf(...START, 'WHEN anonymous clones x', 'THEN it is refused, saying "guests keep"')[0] ?? '',
    /^5: .*it is refused, but saying "rules\/main\.lace/,
  );
  assert.match(
    problemsOf(...START, 'WHEN anonymous pushes to x', 'THEN it is refused by rules/house.lace')[0] ?? '',
    /it is refused by no rule/,
  );
});

test('an unknown step names the nearest one', () => {
  assert.match(
    problemsOf(...START, 'WHEN boss clone x', 'THEN it is allowed')[0] ?? '',
    /unknown step; the nearest one is: WHEN /,
  );
  assert.match(
    problemsOf(...START, 'WHEN boss pushes new branch refs/heads/y to x', 'THEN it is allowed')[0] ?? '',
    /WHEN WHO pushes a new branch REF to REPO/,
  );
  assert.match(problemsOf(...START, 'WHEN boss clones x', 'THEN it was allowed')[0] ?? '', /THEN it is allowed/);
  assert.match(problemsOf(...START, 'WHEN boss clones x', 'THEN it is allowed, saying "x"')[0] ?? '', /unknown step/);
});

test('a mistyped keyword and an indented line that is no step are problems, not prose', () => {
  assert.match(
    problemsOf(...START, 'WHEN boss clones x', 'THEN it is allowed', 'THNE it is refused')[0] ?? '',
    /6: unknown keyword THNE; did you mean THEN/,
  );
  assert.match(
    problemsOf(...START, 'WHEN boss clones x', 'THEN it is allowed', '    and it is refused')[0] ?? '',
    /6: an indented line is a step/,
  );
});

test('a name that was not given is a mistake, not a refusal', () => {
  for (const line of [
    'WHEN bos clones x',
    'WHEN boss clones y',
    'WHEN boss acting as nobody clones x',
    'GIVEN boss is in staff',
    'GIVEN x has readers staff',
    'GIVEN the group a is in b',
  ]) {
    assert.match(
      problemsOf(...START, line, 'THEN it is refused')[0] ?? '',
      /^4: .*there is no (user|repository|group) /,
      line,
    );
  }
});

test('a scenario without THEN, a step outside, a lone AND, an empty file are problems', () => {
  assert.match(problemsOf('SCENARIO s', 'GIVEN a user x')[0] ?? '', /1: the scenario "s" has no THEN/);
  assert.match(problemsOf('GIVEN a user x')[0] ?? '', /before the first SCENARIO/);
  assert.match(problemsOf('SCENARIO s', 'AND a user x')[0] ?? '', /AND follows another step/);
  assert.match(problemsOf('just prose')[0] ?? '', /no SCENARIO/);
  assert.match(problemsOf('SCENARIO s', '... x', 'THEN it is allowed')[0] ?? '', /continues a step/);
  assert.match(problemsOf('SCENARIO s', 'WHEN', 'THEN it is allowed')[0] ?? '', /followed by nothing/);
  assert.match(problemsOf('SCENARIO s', 'THEN it is allowed')[0] ?? '', /nothing was asked/);
});

test('each scenario begins with nothing', () => {
  assert.match(
    problemsOf(
      ...START,
      'WHEN boss clones x',
      'THEN it is allowed',
      'SCENARIO t',
      'WHEN boss clones x',
      'THEN it is allowed',
    )[0] ?? '',
    /7: scenario "t": there is no user boss/,
  );
});

test('groups within groups count, and a loop of groups ends', () => {
  const lines = [
    'SCENARIO s',
    'GIVEN users boss and ian',
    'AND groups a, b and c',
    'AND the group a is in b',
    'AND the group b is in c',
    'AND the group c is in a',
    'AND ian is in a',
    'AND a repository x owned by boss',
    'AND x has readers c',
  ];
  assert.deepEqual(problemsOf(...lines, 'WHEN ian clones x', 'THEN it is allowed'), []);
});

test('FINALLY runs after a failure, and the failure is what is told', () => {
  const found = problemsOf(
    ...START,
    'WHEN boss clones x',
    'THEN it is refused',
    'FINALLY the repository x is gone',
    'AND the user boss is gone',
  );
  assert.equal(found.length, 1);
  assert.match(found[0] ?? '', /^5: /);
  assert.match(
    problemsOf(...START, 'WHEN boss clones x', 'THEN it is allowed', 'FINALLY the user ian is gone')[0] ?? '',
    /no user ian/,
  );
});

test('rules of a repository that do not compile fail the scenario at the question', () => {
  assert.match(
    problemsOf(...START, 'GIVEN x has the rule allow', 'WHEN boss clones x', 'THEN it is allowed')[0] ?? '',
    /do not compile: own rules:1/,
  );
});

test('docs/scenarios.md lists every step, form by form', async () => {
  const docs = await readFile(new URL('../../../docs/scenarios.md', import.meta.url), 'utf8');
  for (const { keyword, form } of SCENARIO_STEPS) assert.ok(docs.includes(`${keyword} ${form}`), `${keyword} ${form}`);
});

test('any text is a report, and a long line costs no time', () => {
  const word = fc.constantFrom(
    'SCENARIO',
    'GIVEN',
    'WHEN',
    'THEN',
    'AND',
    'FINALLY',
    '...',
    'a',
    'user',
    'boss',
    'x',
    'clones',
    'it',
    'is',
    'allowed',
    'has',
    'the',
    'rule',
    'in',
    '    ',
    '\t',
    ',',
    'and',
  );
  const file = fc.array(
    fc.array(word, { maxLength: 8 }).map((words) => words.join(' ')),
    { maxLength: 10 },
  );
  fc.assert(
    fc.property(file, (lines) => {
      for (const problem of run(...lines).problems) renderProblem(problem);
    }),
  );
  assert.match(
    problemsOf('SCENARIO s', `GIVEN users ${'a, '.repeat(100_000)}`, 'THEN it is allowed')[0] ?? '',
    /at most \d+ characters/,
  );
  assert.equal(parseScenarios('SCENARIO s\n'.repeat(20_000), 'f').problems.length, 100);
});

test('a held push is neither allowed nor refused, and its approval is a question of its own', () => {
  const lines = [
    ...START,
    'AND users ian and olive',
    'AND a group agents',
    'AND ian is in agents',
    'AND x has writers agents',
    'AND x has the rule hold "ask boss" [ref is refs/heads/main]',
    'WHEN ian pushes refs/heads/main to x',
  ];
  assert.deepEqual(problemsOf(...lines, 'THEN it is held, saying "ask boss"', 'AND it is held'), []);
  assert.match(problemsOf(...lines, 'THEN it is allowed').join(), /it is held/);
  assert.match(problemsOf(...lines, 'THEN it is refused').join(), /held, not refused/);
  const asks = (who: string, answer: string): readonly string[] =>
    problemsOf(...lines, `WHEN ${who} approves a push of main to x`, `THEN it is ${answer}`);
  assert.deepEqual([asks('boss', 'allowed'), asks('ian', 'refused'), asks('boss', 'held').length], [[], [], 1]);
});
