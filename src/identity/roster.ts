/**
 * What users, groups, keys and tokens share: reading users, the exact index of groups, and the two ways of
 * changing the directory. Every change to groups checks and writes one object, `meta/groups`: so two changes
 * that are right alone and form a loop together cannot both commit, and a reader knows from one look-up
 * whether its index is still what the store holds.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, refuse, type Parsed, type Refusal } from '../base/fault.ts';
import { attempt, type Attempt } from '../repository/attempt.ts';
import { Turns } from '../repository/turns.ts';
import { listAll, type Check, type Store, type Write } from '../store/store.ts';
import { GroupIndex, groupKey, readGroup, writeGroup, type Group } from './group-index.ts';
import type { GroupName } from './principal.ts';
import { readUser, userKey, writeUser, type User } from './user-record.ts';

/** Whose members run the site. */
export const ADMINISTRATORS = 'administrators' as GroupName;

const GROUPS_MARK = { kind: 'meta', key: 'groups' } as const;
const RELOADS_MAX = 64;

/** A change to groups, and whatever must commit with it. */
export interface GroupChange<T> {
  readonly kind: 'change';
  readonly put?: readonly Group[];
  readonly remove?: readonly GroupName[];
  readonly checks?: readonly Check[];
  readonly writes?: readonly Write[];
  readonly value: (version: number) => T;
}

export class Roster {
  readonly store: Store;
  readonly clock: Clock;
  readonly #turns = new Turns();
  #index = new GroupIndex([]);
  /** The version of `meta/groups` that the index holds; -1: nothing was read yet. */
  #indexVersion = -1;
  #revision = 0;

  constructor(options: { readonly store: Store; readonly clock: Clock }) {
    this.store = options.store;
    this.clock = options.clock;
  }

  /** Grows with every change to users and groups that this process makes or notices. */
  get revision(): number {
    return this.#revision;
  }

  /** The user with exactly this name. */
  async user(name: string): Promise<User | undefined> {
    const found = await this.userInAnyCase(name);
    return found?.name === name ? found : undefined;
  }

  async userInAnyCase(name: string): Promise<User | undefined> {
    const stored = await this.store.get('user', userKey(name));
    return stored === undefined ? undefined : readUser(stored);
  }

  /** Reads the user, applies `change`, writes the result; other objects may be written along. */
  changeUser<T>(name: string, decide: (user: User) => Promise<UserChange<T> | Refusal>): Promise<Parsed<T>> {
    return this.#noted(
      attempt<T>(this.store, async () => {
        const user = await this.user(name);
        if (user === undefined) return refuse(`there is no user ${shown(name)}`);
        const change = await decide(user);
        return change.kind === 'refused' ? change : asAttempt(user, change);
      }),
    );
  }

  /** A transaction that touches users, tried again on conflict. */
  attempt<T>(decide: () => Promise<Attempt<T>>): Promise<Parsed<T>> {
    return this.#noted(attempt<T>(this.store, decide));
  }

  /** The index as the store holds it now. It is valid until the caller waits for something. */
  async groups(): Promise<GroupIndex> {
    return (await this.#currentIndex()).index;
  }

  /** One change to groups after another; each sees the result of the one before. */
  changeGroups<T>(decide: (index: GroupIndex) => Promise<GroupChange<T> | Refusal>): Promise<Parsed<T>> {
    return this.#turns.run('groups', async () => {
      let change: GroupChange<T> | undefined;
      let before = 0;
      const result = await attempt<{ readonly value: T; readonly version: number }>(this.store, async () => {
        const { index, version } = await this.#currentIndex();
        const decided = await decide(index);
        if (decided.kind === 'refused') return decided;
        change = decided;
        before = version;
        const checks = [{ ...GROUPS_MARK, version }, ...(decided.checks ?? [])];
        const writes = [{ ...GROUPS_MARK, put: {} }, ...groupWrites(decided), ...(decided.writes ?? [])];
        const value = (committed: number): { readonly value: T; readonly version: number } => ({
          value: decided.value(committed),
          version: committed,
        });
        return { kind: 'write', transaction: { checks, writes }, value };
      });
      if (result.kind === 'refused') return result;
      const { value, version } = result.value;
      if (change !== undefined && this.#indexVersion === before) this.#apply(change, version);
      this.#revision += 1;
      return { kind: 'ok', value };
    });
  }

  async #currentIndex(): Promise<{ readonly index: GroupIndex; readonly version: number }> {
    for (let tries = 0; tries < RELOADS_MAX; tries += 1) {
      const version = await this.#markVersion();
      if (version === this.#indexVersion) return { index: this.#index, version };
      const groups: Group[] = [];
      for await (const stored of listAll(this.store, 'group')) groups.push(readGroup(stored));
      // Pages are not read at one revision: the list counts only if no group changed meanwhile.
      if ((await this.#markVersion()) !== version) continue;
      this.#index = new GroupIndex(groups);
      this.#indexVersion = version;
      this.#revision += 1;
    }
    throw new Fault('busy', 'groups change faster than they can be read');
  }

  async #markVersion(): Promise<number> {
    return (await this.store.get(GROUPS_MARK.kind, GROUPS_MARK.key))?.version ?? 0;
  }

  #apply<T>(change: GroupChange<T>, version: number): void {
    for (const name of change.remove ?? []) this.#index.remove(name);
    for (const group of change.put ?? []) this.#index.put({ ...group, version });
    this.#indexVersion = version;
  }

  async #noted<T>(result: Promise<Parsed<T>>): Promise<Parsed<T>> {
    const settled = await result;
    if (settled.kind === 'ok') this.#revision += 1;
    return settled;
  }
}

export interface UserChange<T> {
  readonly kind: 'change';
  /** The user as it shall be; the same object where it stays as it is. */
  readonly user: User;
  readonly checks?: readonly Check[];
  readonly writes?: readonly Write[];
  readonly value: (version: number) => T;
}

function asAttempt<T>(user: User, change: UserChange<T>): Attempt<T> {
  const key = userKey(user.name);
  const checks: readonly Check[] = [{ kind: 'user', key, version: user.version }, ...(change.checks ?? [])];
  const own: readonly Write[] = change.user === user ? [] : [{ kind: 'user', key, put: writeUser(change.user) }];
  const writes = [...own, ...(change.writes ?? [])];
  if (writes.length === 0) return { kind: 'unchanged', value: change.value(user.version) };
  return { kind: 'write', transaction: { checks, writes }, value: change.value };
}

function groupWrites<T>(change: GroupChange<T>): readonly Write[] {
  return [
    ...(change.remove ?? []).map((name): Write => ({ kind: 'group', key: groupKey(name), delete: true })),
    ...(change.put ?? []).map((group): Write => ({ kind: 'group', key: groupKey(group.name), put: writeGroup(group) })),
  ];
}

/** A name as a refusal may repeat it: one short line, whatever was typed. */
export function shown(name: string): string {
  const line = name.replace(/[^\x21-\x7e]/g, '?');
  return line.length > 80 ? `${line.slice(0, 80)}...` : line;
}
