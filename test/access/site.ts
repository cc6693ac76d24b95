/** Policies, people and repositories for the tests of this floor, as plain values. */
import assert from 'node:assert/strict';
import { compilePolicy } from '../../src/access/compile.ts';
import { houseFiles } from '../../src/access/house.ts';
import type { Policy } from '../../src/access/policy.ts';
import { renderProblem } from '../../src/access/problem.ts';
import {
  ANONYMOUS,
  parseGroupName,
  parseUserName,
  type Credential,
  type Principal,
} from '../../src/identity/principal.ts';
import { parseRepositoryName } from '../../src/repository/name.ts';
import type { RepositoryFacts, SettingValue } from '../../src/repository/repository.ts';
import type { Parsed } from '../../src/base/fault.ts';

export function made<T>(parsed: Parsed<T>): T {
  assert.ok(parsed.kind === 'ok', parsed.kind === 'refused' ? parsed.reason : '');
  return parsed.value;
}

export interface Person {
  readonly name: string;
  readonly groups?: readonly string[];
  readonly account?: 'person' | 'ci';
  readonly credential?: Credential;
  readonly asking?: { readonly name: string; readonly groups: readonly string[] };
}

export function principal({
  name,
  groups = [],
  account = 'person',
  credential = { kind: 'local' },
  asking,
}: Person): Principal {
  if (name === 'anonymous') return ANONYMOUS;
  const groupSet = (names: readonly string[]) => new Set(names.map((group) => made(parseGroupName(group))));
  return {
    kind: 'user',
    name: made(parseUserName(name)),
    account,
    email: `${name}@example.org`,
    realName: name,
    groups: groupSet(groups),
    credential,
    ...(asking === undefined
      ? {}
      : { asking: { name: made(parseUserName(asking.name)), groups: groupSet(asking.groups) } }),
  };
}

export function repository(
  name: string,
  owner: string,
  settings: Readonly<Record<string, SettingValue>> = {},
  rules?: string,
): RepositoryFacts {
  return {
    id: name,
    name: made(parseRepositoryName(name)),
    owner,
    settings,
    ...(rules === undefined ? {} : { rules }),
  };
}

/** A policy whose `rules/main.lace` is `main`. */
export function policyOf(main: string, more: Readonly<Record<string, string>> = {}): Policy {
  const compiled = compilePolicy(new Map([['rules/main.lace', main], ...Object.entries(more)]));
  assert.ok(compiled.kind === 'ok', compiled.kind === 'wrong' ? compiled.problems.map(renderProblem).join('\n') : '');
  return compiled.policy;
}

export function housePolicy(): Policy {
  const compiled = compilePolicy(houseFiles());
  assert.ok(compiled.kind === 'ok', compiled.kind === 'wrong' ? compiled.problems.map(renderProblem).join('\n') : '');
  return compiled.policy;
}
