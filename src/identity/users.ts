/** Users: people and CI accounts, by a name of which no second one differs in case only. */
import { newId } from '../base/clock.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { ListOptions } from '../store/store.ts';
import type { HandOvers } from './hand-over.ts';
import { parseUserName, type UserName } from './principal.ts';
import { shown, type Roster } from './roster.ts';
import { parseEmail, parseRealName, readUser, userKey, writeUser, type Account, type User } from './user-record.ts';
import { removal, renaming, withoutLastAdministrator } from './user-change.ts';

export interface NewUser {
  readonly name: string;
  readonly email: string;
  readonly realName: string;
  /** Default: person. */
  readonly account?: Account;
}

export class Users {
  readonly #roster: Roster;
  readonly #handOvers: HandOvers;

  constructor(roster: Roster, handOvers: HandOvers) {
    this.#roster = roster;
    this.#handOvers = handOvers;
  }

  async add(fresh: NewUser): Promise<Parsed<User>> {
    const made = makeUser(this.#roster, fresh);
    if (made.kind === 'refused') return made;
    const user = made.value;
    const key = userKey(user.name);
    await this.#handOvers.finish();
    return this.#roster.attempt(async () => {
      const other = await this.#roster.userInAnyCase(user.name);
      if (other !== undefined) return refuse(taken(user.name, other.name));
      const checks = [{ kind: 'user', key, version: 0 } as const, this.#handOvers.noneFrom(user.name)];
      const writes = [{ kind: 'user', key, put: writeUser(user) } as const];
      return { kind: 'write', transaction: { checks, writes }, value: (version) => ({ ...user, version }) };
    });
  }

  /** Undefined: there is no user with exactly this name. */
  show(name: string): Promise<User | undefined> {
    return this.#roster.user(name);
  }

  /** A page in the order of lower-cased names; `after` is the last name of the page before. */
  async list(options: ListOptions = {}): Promise<readonly User[]> {
    const { prefix, after, limit } = options;
    const page = await this.#roster.store.list('user', {
      ...(prefix === undefined ? {} : { prefix: userKey(prefix) }),
      ...(after === undefined ? {} : { after: userKey(after) }),
      ...(limit === undefined ? {} : { limit }),
    });
    return page.map(readUser);
  }

  async setEmail(name: string, text: string): Promise<Parsed<User>> {
    const email = parseEmail(text);
    return email.kind === 'refused' ? email : this.#set(name, { email: email.value });
  }

  async setRealName(name: string, text: string): Promise<Parsed<User>> {
    const realName = parseRealName(text);
    return realName.kind === 'refused' ? realName : this.#set(name, { realName: realName.value });
  }

  /** From now on no key and no token of this user opens anything; nothing is deleted. */
  suspend(name: string): Promise<Parsed<User>> {
    // Through the groups' turn: two administrators who suspend each other at once must not both succeed.
    return this.#roster.changeGroups(async (index) => {
      const user = await this.#roster.user(name);
      if (user === undefined) return refuse(`there is no user ${shown(name)}`);
      const last = await withoutLastAdministrator(this.#roster, index, user.name);
      if (last !== undefined) return last;
      const suspended = { ...user, suspended: true };
      return {
        kind: 'change',
        checks: [{ kind: 'user', key: userKey(name), version: user.version }],
        writes: [{ kind: 'user', key: userKey(name), put: writeUser(suspended) }],
        value: (version) => ({ ...suspended, version }),
      };
    });
  }

  resume(name: string): Promise<Parsed<User>> {
    return this.#set(name, { suspended: false });
  }

  /** Keys, tokens, memberships and repositories stay with the user. */
  async rename(from: string, to: string): Promise<Parsed<User>> {
    const name = parseUserName(to);
    if (name.kind === 'refused') return name;
    await this.#handOvers.finish();
    const renamed = await this.#roster.changeGroups(async (index) => {
      const user = await this.#roster.user(from);
      if (user === undefined) return refuse(`there is no user ${shown(from)}`);
      const other = await this.#roster.userInAnyCase(name.value);
      if (other !== undefined && other.id !== user.id) return refuse(taken(name.value, other.name));
      if (user.name === name.value) return refuse(`the user is already named ${user.name}`);
      return renaming({ roster: this.#roster, handOvers: this.#handOvers, index, user, to: name.value });
    });
    await this.#handOvers.finish();
    return renamed;
  }

  /**
   * Removes the user with all keys, tokens and memberships. What the user owned, destroyed repositories
   * included, belongs to `heir` from then on: a later user of the same name must not inherit it.
   * `version`: refused where the user changed since (`User.version`).
   */
  async del(name: string, options: { readonly heir: UserName; readonly version?: number }): Promise<Parsed<User>> {
    const { heir, version } = options;
    await this.#handOvers.finish();
    const removed = await this.#roster.changeGroups<User>(async (index) => {
      const user = await this.#roster.user(name);
      if (user === undefined) return refuse(`there is no user ${shown(name)}`);
      if (version !== undefined && user.version !== version) return refuse(`${user.name} changed meanwhile`);
      if (heir === user.name) return refuse('a user who is deleted cannot be the heir: name another');
      if ((await this.#roster.user(heir)) === undefined) return refuse(`there is no user ${shown(heir)}`);
      const last = await withoutLastAdministrator(this.#roster, index, user.name);
      return last ?? removal({ roster: this.#roster, handOvers: this.#handOvers, index, user, heir });
    });
    await this.#handOvers.finish();
    return removed;
  }

  /** How many repositories the user owns, destroyed ones included: what `del` hands to the heir. */
  owned(name: UserName): Promise<number> {
    return this.#handOvers.count(name);
  }

  #set(name: string, fields: Partial<Pick<User, 'email' | 'realName' | 'suspended'>>): Promise<Parsed<User>> {
    return this.#roster.changeUser(name, async (user) => {
      const changed = { ...user, ...fields };
      return { kind: 'change', user: changed, value: (version) => ({ ...changed, version }) };
    });
  }
}

/** A user as given, checked and not yet stored. */
export function makeUser(roster: Roster, fresh: NewUser): Parsed<User> {
  const name = parseUserName(fresh.name);
  if (name.kind === 'refused') return name;
  const email = parseEmail(fresh.email);
  if (email.kind === 'refused') return email;
  const realName = parseRealName(fresh.realName);
  if (realName.kind === 'refused') return realName;
  return ok({
    id: newId(roster.clock),
    name: name.value,
    email: email.value,
    realName: realName.value,
    account: fresh.account ?? 'person',
    suspended: false,
    createdAt: roster.clock.now(),
    keys: [],
    tokens: [],
    version: 0,
  });
}

function taken(wanted: UserName, existing: UserName): string {
  return wanted === existing
    ? `there is already a user ${existing}`
    : `there is already a user ${existing}, which differs from ${wanted} in case only`;
}
