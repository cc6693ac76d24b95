/** The people, groups and repositories of one scenario. No disk, no store: only what its steps say. */
import type { UserName, GroupName, Principal } from '../../identity/principal.ts';
import { ANONYMOUS, parseGroupName, parseUserName } from '../../identity/principal.ts';
import { parseRepositoryName } from '../../repository/name.ts';
import type { RepositoryFacts, SettingValue } from '../../repository/repository.ts';
import type { Decision } from '../decision.ts';
import { ok, refuse, type Parsed } from '../../base/fault.ts';

interface Account {
  readonly name: UserName;
  readonly account: 'person' | 'ci';
}

export const ADMINISTRATORS = 'administrators';

export class World {
  /** The answer to the last WHEN. */
  answer: Decision | undefined;
  readonly #users = new Map<string, Account>();
  readonly #groups = new Set<string>([ADMINISTRATORS]);
  /** Member (`user:ian`, `group:staff`) -> the groups it was put into. */
  readonly #memberships = new Map<string, Set<string>>();
  readonly #repositories = new Map<string, RepositoryFacts>();

  addUser(name: string, account: 'person' | 'ci'): Parsed<true> {
    const parsed = parseUserName(name);
    if (parsed.kind === 'refused') return parsed;
    if (this.#users.has(name)) return refuse(`there is a user ${name} already`);
    this.#users.set(name, { name: parsed.value, account });
    return ok(true);
  }

  addGroup(name: string): Parsed<true> {
    const parsed = parseGroupName(name);
    if (parsed.kind === 'refused') return parsed;
    if (this.#groups.has(name)) return refuse(`there is a group ${name} already`);
    this.#groups.add(name);
    return ok(true);
  }

  join(kind: 'user' | 'group', member: string, group: string): Parsed<true> {
    if (kind === 'user' && !this.#users.has(member)) return missing('user', member);
    for (const name of kind === 'group' ? [member, group] : [group])
      if (!this.#groups.has(name)) return missing('group', name);
    const key = `${kind}:${member}`;
    const groups = this.#memberships.get(key) ?? new Set();
    this.#memberships.set(key, groups.add(group));
    return ok(true);
  }

  addRepository(name: string, owner: string): Parsed<true> {
    const parsed = parseRepositoryName(name);
    if (parsed.kind === 'refused') return parsed;
    if (!this.#users.has(owner)) return missing('user', owner);
    if (this.#repositories.has(name)) return refuse(`there is a repository ${name} already`);
    this.#repositories.set(name, { id: name, name: parsed.value, owner, settings: {} });
    return ok(true);
  }

  changeRepository(name: string, change: (repository: RepositoryFacts) => RepositoryFacts): Parsed<true> {
    const repository = this.#repositories.get(name);
    if (repository === undefined) return missing('repository', name);
    this.#repositories.set(name, change(repository));
    return ok(true);
  }

  set(name: string, key: string, value: SettingValue): Parsed<true> {
    return this.changeRepository(name, (repository) => ({
      ...repository,
      settings: { ...repository.settings, [key]: value },
    }));
  }

  hasGroup(name: string): Parsed<true> {
    return this.#groups.has(name) ? ok(true) : missing('group', name);
  }

  repository(name: string): Parsed<RepositoryFacts> {
    const repository = this.#repositories.get(name);
    return repository === undefined ? missing('repository', name) : ok(repository);
  }

  /** @param asking who really asks, under `as`. */
  principal(name: string, asking?: string): Parsed<Principal> {
    if (name === 'anonymous') return ok(ANONYMOUS);
    const user = this.#users.get(name);
    if (user === undefined) return missing('user', name);
    const real = asking === undefined ? undefined : this.#users.get(asking);
    if (asking !== undefined && real === undefined) return missing('user', asking);
    return ok({
      kind: 'user',
      ...user,
      email: `${name}@example.org`,
      realName: name,
      groups: this.#groupsOf(name),
      credential: { kind: 'local' },
      ...(real === undefined ? {} : { asking: { name: real.name, groups: this.#groupsOf(real.name) } }),
    });
  }

  remove(kind: 'user' | 'group' | 'repository', name: string): Parsed<true> {
    const all = { user: this.#users, group: this.#groups, repository: this.#repositories }[kind];
    if (!all.delete(name)) return missing(kind, name);
    this.#memberships.delete(`${kind}:${name}`);
    if (kind === 'group') for (const groups of this.#memberships.values()) groups.delete(name);
    return ok(true);
  }

  #groupsOf(user: string): ReadonlySet<GroupName> {
    const found = new Set<GroupName>();
    const open = [...(this.#memberships.get(`user:${user}`) ?? [])];
    for (let group = open.pop(); group !== undefined; group = open.pop()) {
      const parsed = parseGroupName(group);
      if (parsed.kind === 'refused' || found.has(parsed.value)) continue;
      found.add(parsed.value);
      open.push(...(this.#memberships.get(`group:${group}`) ?? []));
    }
    return found;
  }
}

/** A typing error in a name would otherwise pass for a refusal. */
function missing(kind: string, name: string): Parsed<never> {
  return refuse(
    `there is no ${kind} ${name} in this scenario: GIVEN a ${kind} ${name} is missing, or the name is mistyped`,
  );
}
