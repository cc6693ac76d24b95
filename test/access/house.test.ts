import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATIONS, type Operation, type Question } from '../../src/access/decision.ts';
import { scenarioSources } from '../../src/access/compile.ts';
import { checkPolicy } from '../../src/access/check.ts';
import { houseFiles } from '../../src/access/house.ts';
import { renderProblem } from '../../src/access/problem.ts';
import { housePolicy, principal, repository, type Person } from './site.ts';

const policy = housePolicy();
const settings = { readers: 'readers', writers: ['writers', 'partners'], guests: 'guests' };
const hidden = repository('team/hidden', 'boss', settings);
const open = repository('team/open', 'boss', { ...settings, public: 'yes' });

const PEOPLE = {
  administrator: { name: 'root', groups: ['administrators'] },
  owner: { name: 'boss' },
  writer: { name: 'ian', groups: ['writers'] },
  guest: { name: 'gabriella', groups: ['guests'] },
  reader: { name: 'steven', groups: ['readers'] },
  ci: { name: 'ci', groups: ['readers', 'writers'], account: 'ci' },
  stranger: { name: 'tina' },
  anonymous: { name: 'anonymous' },
} as const satisfies Record<string, Person>;
type Role = keyof typeof PEOPLE;
const ROLES = Object.keys(PEOPLE) as Role[];

function rolesAllowed(question: Omit<Question, 'principal'>): readonly Role[] {
  return ROLES.filter((role) => policy.decide({ ...question, principal: principal(PEOPLE[role]) }).kind === 'allowed');
}

const onRef = (operation: Operation, refname: string): Omit<Question, 'principal'> => ({
  operation,
  repository: hidden,
  ref: { refname },
});

test('who may what in a repository', () => {
  const pushers: readonly Role[] = ['administrator', 'owner', 'writer'];
  const owners: readonly Role[] = ['administrator', 'owner'];
  const table: readonly (readonly [string, Omit<Question, 'principal'>, readonly Role[]])[] = [
    ['read', { operation: 'read', repository: hidden }, [...pushers, 'guest', 'reader', 'ci']],
    ['read public', { operation: 'read', repository: open }, ROLES],
    ['write', { operation: 'write', repository: hidden }, [...pushers, 'guest']],
    ['write public', { operation: 'write', repository: open }, [...pushers, 'guest']],
    ['new branch', onRef('create-ref', 'refs/heads/x'), pushers],
    ['main forward', onRef('update-ref', 'refs/heads/main'), pushers],
    ['main back', onRef('rewind-ref', 'refs/heads/main'), owners],
    ['main gone', onRef('delete-ref', 'refs/heads/main'), owners],
    ['release back', onRef('rewind-ref', 'refs/heads/release-1'), owners],
    ['topic back', onRef('rewind-ref', 'refs/heads/topic'), pushers],
    ['topic gone', onRef('delete-ref', 'refs/heads/topic'), pushers],
    ['new tag', onRef('create-ref', 'refs/tags/v1'), pushers],
    ['tag moved forward', onRef('update-ref', 'refs/tags/v1'), owners],
    ['tag moved', onRef('rewind-ref', 'refs/tags/v1'), owners],
    ['tag gone', onRef('delete-ref', 'refs/tags/v1'), owners],
    ['note', onRef('create-ref', 'refs/notes/commits'), pushers],
    ['note gone', onRef('delete-ref', 'refs/notes/commits'), owners],
    ["guest's branch", onRef('rewind-ref', 'refs/heads/gabriella/x'), [...pushers, 'guest']],
    ["guest's tag", onRef('delete-ref', 'refs/tags/gabriella/x'), [...owners, 'guest']],
    ["almost guest's branch", onRef('create-ref', 'refs/heads/gabriellas/x'), pushers],
    ['configure', { operation: 'configure', repository: hidden }, owners],
    ['set rules', { operation: 'configure', action: 'rules_set', repository: open }, owners],
    ['destroy', { operation: 'destroy-repository', repository: hidden }, owners],
    ['rename', { operation: 'rename-repository', repository: hidden }, owners],
    ['add user', { operation: 'administer', action: 'useradd' }, ['administrator']],
    ['anything of the site', { operation: 'administer' }, ['administrator']],
    [
      'own keys',
      { operation: 'administer', action: 'sshkey' },
      ['administrator', 'owner', 'writer', 'guest', 'reader', 'stranger'],
    ],
    ['whoami', { operation: 'administer', action: 'whoami' }, ROLES],
  ];
  for (const [what, question, wanted] of table) {
    assert.deepEqual(rolesAllowed(question).toSorted(), wanted.toSorted(), what);
  }
});

test('people create repositories of their own and nobody else does', () => {
  for (const role of ROLES) {
    const person = PEOPLE[role];
    const own = policy.decide({
      principal: principal(person),
      operation: 'create-repository',
      repository: repository('new', person.name),
    });
    const mayCreate = role !== 'ci' && role !== 'anonymous';
    assert.equal(own.kind, mayCreate ? 'allowed' : 'refused', role);
    const gift = policy.decide({
      principal: principal(person),
      operation: 'create-repository',
      repository: repository('new', 'somebody'),
    });
    assert.equal(gift.kind, role === 'administrator' ? 'allowed' : 'refused', role);
  }
});

test('gatehouse-admin is for administrators alone, whatever its owner, settings and rules', () => {
  const all = { readers: ['readers', 'guests'], writers: ['writers'], guests: 'guests', public: 'yes' };
  const admin = repository('gatehouse-admin', 'boss', all, 'allow "open"');
  for (const operation of OPERATIONS) {
    if (operation === 'administer') continue;
    const ref = { refname: 'refs/heads/main' };
    assert.deepEqual(rolesAllowed({ operation, repository: admin, ref }), ['administrator'], operation);
  }
});

test('a refusal names file and line and says what would be allowed', () => {
  const decision = policy.decide({ ...onRef('update-ref', 'refs/heads/master'), principal: principal(PEOPLE.guest) });
  assert.match(decision.reason, /^rules\/house\.lace:\d+: guests keep to refs\/heads\/gabriella\/$/);
  assert.equal(decision.rule, decision.reason.split(': ')[0]);
  assert.equal(decision.trace.at(-1)?.result, 'matched');
  assert.ok(decision.trace.every((step) => step.line > 0 && step.text !== ''));
});

test('a token narrows what its user may do', () => {
  const credential = (scopes: readonly ('read' | 'write' | 'admin')[]) =>
    ({ kind: 'token', id: '1', name: 'robot', scopes }) as const;
  const asked = (scopes: readonly ('read' | 'write' | 'admin')[], operation: Operation) =>
    policy.decide({
      ...onRef(operation, 'refs/heads/x'),
      principal: principal({ ...PEOPLE.administrator, credential: credential(scopes) }),
    });
  assert.equal(asked(['read'], 'read').kind, 'allowed');
  assert.match(asked(['read'], 'write').reason, /the token robot has only the scope read/);
  assert.equal(asked(['write'], 'delete-ref').kind, 'allowed');
  assert.equal(asked(['write'], 'destroy-repository').kind, 'refused');
  assert.equal(asked(['admin'], 'destroy-repository').kind, 'allowed');
  assert.equal(asked([], 'read').kind, 'refused');
});

test('an administrator who acts as somebody else may do what that one may, no more', () => {
  const as = (name: string, groups: readonly string[]) => principal({ ...PEOPLE.guest, asking: { name, groups } });
  const main = onRef('update-ref', 'refs/heads/main');
  assert.equal(policy.decide({ ...main, principal: as('root', ['administrators']) }).kind, 'refused');
  const own = onRef('create-ref', 'refs/heads/gabriella/x');
  assert.equal(policy.decide({ ...own, principal: as('root', ['administrators']) }).kind, 'allowed');
  assert.match(
    policy.decide({ ...own, principal: as('ian', ['writers']) }).reason,
    /only administrators act as somebody else/,
  );
});

test('odd settings open nothing', () => {
  const odd: readonly Readonly<Record<string, string | readonly string[]>>[] = [
    { writers: '' },
    { writers: [] },
    { writers: ['', 'gitano/anonymous'] },
    { public: 'no' },
    { public: '' },
    { public: ['maybe'] },
    { readers: '${user}' },
    { __proto__x: 'writers' },
  ];
  for (const one of odd) {
    const asked = repository('x', 'boss', one);
    assert.deepEqual(
      rolesAllowed({ operation: 'read', repository: asked }),
      ['administrator', 'owner'],
      JSON.stringify(one),
    );
  }
});

test('the house ruleset compiles without a warning and its scenarios hold', () => {
  const check = checkPolicy(houseFiles());
  assert.deepEqual(check.problems.map(renderProblem), []);
  assert.deepEqual(check.warnings, []);
  assert.ok(check.policy !== undefined);
  assert.ok(check.scenarios.length >= 15);
  const people = check.scenarios.map(({ name }) => name).join('\n');
  for (const name of ['Ian', 'Olive', 'Steven', 'Gabriella', 'Tina', 'J. R. Hacker', 'CI'])
    assert.ok(people.includes(name), name);
  assert.ok(scenarioSources(houseFiles()).size > 0);
});

test('every deny of the house ruleset decides in some scenario or test question: none is dead', () => {
  const source = [...houseFiles()].filter(([path]) => path.startsWith('rules/'));
  const all = source.flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) => (/^(?:deny|allow) /.test(line) ? [`${path}:${index + 1}`] : [])),
  );
  const seen = new Set<string>();
  const refs = [
    'refs/heads/main',
    'refs/heads/topic',
    'refs/heads/gabriella/x',
    'refs/tags/v1',
    'refs/tags/gabriella/1',
    'refs/notes/x',
  ];
  const actions = [undefined, 'whoami', 'sshkey', 'useradd'];
  const repositories = [hidden, open, repository('gatehouse-admin', 'root'), repository('own', 'tina')];
  const people = [
    ...ROLES.map((role) => principal(PEOPLE[role])),
    principal({ ...PEOPLE.guest, asking: { name: 'ian', groups: [] } }),
  ];
  for (const one of people) {
    for (const operation of OPERATIONS) {
      for (const asked of repositories) {
        for (const refname of refs) {
          for (const action of actions) {
            for (const targetuser of [undefined, 'olive']) {
              const question: Question = {
                principal: one,
                operation,
                repository: asked,
                ref: { refname },
                ...(action === undefined ? {} : { action }),
                ...(targetuser === undefined ? {} : { variables: { targetuser } }),
              };
              seen.add(policy.decide(question).rule ?? '');
            }
          }
        }
      }
    }
  }
  assert.deepEqual(
    all.filter((rule) => !seen.has(rule)),
    [],
  );
});
