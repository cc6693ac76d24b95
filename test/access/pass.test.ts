/**
 * A pass under every policy that there is: it never allows what its owner is refused, nor anything outside itself, for
 * every operation, every action that a command asks, and every kind of repository.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compilePolicy } from '../../src/access/compile.ts';
import { OPERATIONS, type Operation, type Question } from '../../src/access/decision.ts';
import { compileSiteConf } from '../../src/access/gitolite/site-conf.ts';
import { houseFiles } from '../../src/access/house.ts';
import type { Policy } from '../../src/access/policy.ts';
import { COMMANDS } from '../../src/commands/all.ts';
import { GovernedPolicy } from '../../src/gitolite/site-policy.ts';
import { parseScope } from '../../src/identity/pass-request.ts';
import { coversRepository, type PassCredential } from '../../src/identity/pass-scope.ts';
import { commandRefusal } from '../../src/identity/scope.ts';
import type { RepositoryFacts } from '../../src/repository/repository.ts';
import { housePolicy, made, policyOf, principal, repository } from './site.ts';

const CONF = 'repo org/conf\n  RW+CD = ann\n  R = bob\nrepo wild/..*\n  C = ann\n  RW+ = CREATOR';

function withConf(): Policy {
  const compiled = compilePolicy(new Map([...houseFiles(), ['conf/gitolite.conf', CONF]]));
  assert.ok(compiled.kind === 'ok');
  return compiled.policy;
}

/** A house with a gitolite site beside it, whose conf is the same. */
function withSite(): Policy {
  const conf = compileSiteConf(new Map([['conf/gitolite.conf', CONF]]));
  assert.ok(conf?.kind === 'ok');
  const house = { ...policyParts(housePolicy()), revision: 1 };
  const current = { policy: conf.policy, revision: 1 };
  return new GovernedPolicy(house, { current } as never);
}

function policyParts(policy: Policy): Policy {
  return {
    needs: policy.needs,
    needsFor: (about) => policy.needsFor(about),
    decide: (question) => policy.decide(question),
    readableRefs: (who, about) => policy.readableRefs(who, about),
    explain: (question) => policy.explain(question),
  };
}

const POLICIES: readonly (readonly [string, Policy])[] = [
  ['house rules', housePolicy()],
  ['rules that allow everything', policyOf('default allow "anything"')],
  [
    'rules that allow everything and hide refs',
    policyOf('default allow\ndeny "hidden" [operation is readref] [ref prefix refs/heads/secret/]'),
  ],
  ['a conf', withConf()],
  ['a site', withSite()],
];

const SITE = { creator: 'ann', permissions: '', groups: [], roles: new Set<string>() };
const REPOSITORIES: readonly RepositoryFacts[] = [
  repository('org/mine', 'ann', { public: 'yes' }),
  repository('org/other', 'bob'),
  repository('org/conf', 'ann'),
  repository('gatehouse-admin', 'boss'),
  repository('wild/x', 'ann'),
  { ...repository('org/conf', 'ann'), conf: SITE },
  { ...repository('other', 'bob'), conf: { ...SITE, isUnhooked: true } },
];
const ACTIONS = [
  ...new Set(
    COMMANDS.flatMap(({ permission }) =>
      'action' in permission && permission.action !== undefined ? [permission.action] : [],
    ),
  ),
];
const REFS = [
  'refs/heads/main',
  'refs/heads/agent/x',
  'refs/heads/secret/y',
  'refs/tags/v1',
  'refs/gatehouse/x',
] as const;
const SHOWING: ReadonlySet<string> = new Set(['whoami', 'help', 'ls', 'info']);

const scopes = fc.record({
  repositories: fc.subarray(['org/mine', 'org/*', '*', 'gatehouse-admin', 'wild/*'], { minLength: 1 }),
  read: fc.boolean(),
  push: fc.subarray(['refs/heads/agent/*', 'refs/heads/main', 'refs/*']),
  createOnly: fc.boolean(),
  rewind: fc.boolean(),
  delete: fc.boolean(),
  from: fc.subarray(['10.0.0.0/8'], { maxLength: 1 }),
});

const owners = fc.constantFrom(
  { name: 'ann' },
  { name: 'bob', groups: ['staff'] },
  { name: 'boss', groups: ['administrators'] },
  { name: 'robot', account: 'ci' as const },
);

const questions = fc.record({
  operation: fc.constantFrom(...OPERATIONS),
  action: fc.option(fc.constantFrom(...ACTIONS), { nil: undefined }),
  repository: fc.option(fc.constantFrom(...REPOSITORIES), { nil: undefined }),
  refname: fc.option(fc.constantFrom(...REFS), { nil: undefined }),
  forPush: fc.boolean(),
});

function passOf(scope: PassCredential['scope'], address: string | undefined): PassCredential {
  const where = address === undefined ? {} : { address };
  return { kind: 'pass', id: 'id', name: 'n', purpose: '', scope, expiresAt: 0, ...where };
}

function isOutside(
  { operation, action, repository: about, refname }: Asked,
  { scope, address }: PassCredential,
): boolean {
  if (scope.from.length > 0 && address !== '10.1.2.3') return true;
  if (operation === 'administer' && about === undefined) return action === undefined || !SHOWING.has(action);
  if (about === undefined || !coversRepository(scope, about.name)) return true;
  const hits = scope.push.some(
    (pattern) => pattern === refname || (pattern.endsWith('*') && refname?.startsWith(pattern.slice(0, -1))),
  );
  const inside: Partial<Record<Operation, boolean>> = {
    read: scope.read || scope.push.length > 0,
    write: scope.push.length > 0,
    'create-ref': hits,
    'update-ref': hits && !scope.createOnly,
    'rewind-ref': hits && scope.rewind,
    'delete-ref': hits && scope.delete,
  };
  return inside[operation] !== true;
}

interface Asked {
  readonly operation: Operation;
  readonly action?: string | undefined;
  readonly repository?: RepositoryFacts | undefined;
  readonly refname?: string | undefined;
}

for (const [what, policy] of POLICIES) {
  test(`under ${what} a pass allows nothing that its owner is refused, and nothing outside itself`, () => {
    let allowed = 0;
    fc.assert(
      fc.property(
        scopes,
        owners,
        questions,
        fc.constantFrom(undefined, '10.1.2.3', '192.0.2.1'),
        (scope, owner, asked, address) => {
          const parsed = parseScope(scope);
          if (parsed.kind === 'refused') return;
          const pass = passOf(parsed.value, address);
          const { refname, forPush, action, repository: about, operation } = asked;
          const question: Omit<Question, 'principal'> = {
            operation,
            ...(action === undefined ? {} : { action }),
            ...(about === undefined ? {} : { repository: about }),
            ...(refname === undefined ? {} : { ref: { refname } }),
            ...(forPush ? { forPush: true } : {}),
          };
          const withPass = policy.decide({ ...question, principal: principal({ ...owner, credential: pass }) });
          if (withPass.kind === 'refused') return;
          allowed += 1;
          const alone = policy.decide({ ...question, principal: principal(owner) });
          assert.equal(alone.kind, 'allowed', alone.reason);
          assert.ok(!isOutside(asked, pass), JSON.stringify([asked, pass]));
          if (operation === 'read' && !pass.scope.read) assert.ok(forPush, 'a pass that only pushes does not read');
          assert.equal(
            policy.explain({ ...question, principal: principal({ ...owner, credential: pass }) }).decision.kind,
            'allowed',
          );
        },
      ),
      { numRuns: 4_000 },
    );
    assert.ok(allowed > 10, `${allowed} questions were allowed: the property says something`);
  });
}

test('refs that a pass sees are those that its owner sees, of its repositories, and cost one predicate for all passes', () => {
  const policy = policyOf('default allow\ndeny "hidden" [operation is readref] [ref prefix refs/heads/secret/]');
  const scope = made(parseScope({ repositories: ['org/mine'], read: true }));
  const sees = (credential: PassCredential, name: string) =>
    policy.readableRefs(principal({ name: 'ann', credential }), repository(name, 'ann'));
  const first = sees(passOf(scope, undefined), 'org/mine');
  assert.equal(first?.('refs/heads/main'), true);
  assert.equal(first('refs/heads/secret/y'), false);
  assert.equal(sees({ ...passOf(scope, '192.0.2.1'), id: 'another' }, 'org/mine'), first);
  const outside = sees(passOf(scope, undefined), 'org/other');
  assert.equal(outside?.('refs/heads/main'), false);
  const elsewhere = made(parseScope({ repositories: ['org/mine'], read: true, from: ['10.0.0.0/8'] }));
  assert.equal(sees(passOf(elsewhere, '192.0.2.1'), 'org/mine')?.('refs/heads/main'), false);
});

test('a pass runs the commands that show it what it reads and what became of its pushes, and no other', () => {
  const scope = made(parseScope({ repositories: ['*'], read: true, push: ['refs/*'], rewind: true, delete: true }));
  const pass = passOf(scope, undefined);
  const runs = COMMANDS.filter((command) => commandRefusal(pass, command) === undefined);
  const words = runs.map(({ form }) => form.replace(/ \[?[A-Z].*/, ''));
  assert.deepEqual(words, ['whoami', 'help', 'ls', 'info', 'hold list', 'hold show', 'hold cancel']);
  for (const { form, isReadOnly, scope: needed } of runs) {
    assert.ok(isReadOnly === true || form === 'hold cancel ID', form);
    assert.notEqual(needed, 'admin', form);
  }
});
