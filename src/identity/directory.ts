/**
 * Who is who: from a credential to a principal, and the users, groups, keys and tokens behind it. Everything lies
 * in the store; nothing here trusts a cache that the store could contradict.
 */
import type { Clock } from '../base/clock.ts';
import type { Parsed } from '../base/fault.ts';
import type { Store } from '../store/store.ts';
import { currentAdministrator, ensureAdministrator, type Ensured, type FirstAdministrator } from './administrator.ts';
import { Confirmations } from './confirmations.ts';
import { Groups } from './groups.ts';
import { HandOvers, type Ownership } from './hand-over.ts';
import { Keys } from './keys.ts';
import type { Credential, GroupName, Principal, UserName } from './principal.ts';
import { fingerprintOf } from './public-key.ts';
import { Roster } from './roster.ts';
import { Tokens } from './tokens.ts';
import type { User } from './user-record.ts';
import { Users } from './users.ts';

export type UserPrincipal = Extract<Principal, { readonly kind: 'user' }>;

export interface DirectoryOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Who moves repositories when a user is renamed or deleted. Default: their records in the store only. */
  readonly ownership?: Ownership;
}

export class Directory {
  readonly users: Users;
  readonly groups: Groups;
  readonly keys: Keys;
  readonly tokens: Tokens;
  readonly confirmations: Confirmations;
  readonly #roster: Roster;
  readonly #handOvers: HandOvers;

  constructor(options: DirectoryOptions) {
    this.#roster = new Roster(options);
    this.#handOvers = new HandOvers(options.store, options.ownership);
    this.users = new Users(this.#roster, this.#handOvers);
    this.groups = new Groups(this.#roster);
    this.keys = new Keys(this.#roster);
    this.tokens = new Tokens(this.#roster);
    this.confirmations = new Confirmations(options);
  }

  /** Grows whenever this process changes a user or a group, or notices that somebody else changed a group. */
  get revision(): number {
    return this.#roster.revision;
  }

  /** Undefined: there is no such user, or the user is suspended. */
  async principalOf(name: string, credential: Credential): Promise<UserPrincipal | undefined> {
    return this.#principal(await this.#roster.user(name), credential);
  }

  /** Whether this key would let anybody in. Leaves no note: whoever asks has proved nothing yet. */
  async isKnownKey(blob: Uint8Array): Promise<boolean> {
    const holder = await this.keys.holder(fingerprintOf(blob));
    return holder !== undefined && (await this.#roster.user(holder))?.suspended === false;
  }

  /**
   * Whose key this is, noting its use; `blob` is the SSH wire form, and the caller has seen a proof of possession.
   * Undefined: nobody's, or the user is suspended.
   */
  async byKey(blob: Uint8Array): Promise<UserPrincipal | undefined> {
    const key = await this.keys.use(blob);
    if (key === undefined) return undefined;
    const credential = { kind: 'key', fingerprint: key.fingerprint, tag: key.tag } as const;
    return this.#principal(await this.#roster.user(key.user), credential);
  }

  /** Whose token this is. Undefined: wrong, expired, revoked, or the user is suspended; the time tells none apart. */
  async byToken(secret: string): Promise<UserPrincipal | undefined> {
    const used = await this.tokens.use(secret);
    if (used === undefined) return undefined;
    const { id, name, scopes } = used.token;
    return this.#principal(used.user, { kind: 'token', id, name, scopes });
  }

  /**
   * The principal that `as NAME COMMAND` runs as. Undefined: no such user, suspended, nobody is asking, or `as` within `as`:
   * one answer, which does not tell whether NAME exists.
   */
  async asUser(principal: Principal, name: string): Promise<UserPrincipal | undefined> {
    if (principal.kind !== 'user' || principal.asking !== undefined) return undefined;
    const target = await this.#principal(await this.#roster.user(name), principal.credential);
    return target && { ...target, asking: { name: principal.name, groups: principal.groups } };
  }

  /**
   * The principal as it stands now: fresh groups, the same credential. Undefined: the key or token was taken away
   * or expired, or a user (who asks, or whom they act as) is gone, renamed or suspended. A request that waited or ran for
   * long asks this before it does what cannot be undone.
   */
  async current(principal: Principal): Promise<Principal | undefined> {
    if (principal.kind === 'anonymous') return principal;
    const { credential, asking } = principal;
    const name = asking?.name ?? principal.name;
    // A key that is somebody else's by now does not make the request theirs.
    if ((await this.#holderOf(credential, name)) !== name) return undefined;
    const own = await this.principalOf(name, credential);
    return own === undefined || asking === undefined ? own : this.asUser(own, principal.name);
  }

  /** Whose credential this is now. */
  #holderOf(credential: Credential, name: UserName): Promise<UserName | undefined> {
    switch (credential.kind) {
      case 'key':
        return this.keys.holder(credential.fingerprint);
      case 'token':
        return this.tokens.holder(credential.id);
      case 'local':
        return Promise.resolve(name);
      case 'shell':
        // Users of a gitolite site are no accounts of the house: gitolite/site-users.ts knows them.
        return Promise.resolve(undefined);
      default:
        return Promise.resolve(credential satisfies never);
    }
  }

  /** Every group the user is in, through nesting too. */
  async groupsOf(name: string): Promise<ReadonlySet<GroupName>> {
    return (await this.#roster.groups()).of(name as UserName); // a name that nobody has is in no group
  }

  /** Who acts at the local command line; undefined on a site that has no administrator. */
  administrator(): Promise<UserName | undefined> {
    return currentAdministrator(this.#roster);
  }

  /** The administrator of a fresh site. @see FirstAdministrator */
  ensureAdministrator(first: FirstAdministrator): Promise<Parsed<Ensured>> {
    return ensureAdministrator(this.#roster, first);
  }

  /** At start: finishes what a crash interrupted. */
  async recover(): Promise<void> {
    await this.#handOvers.finish();
  }

  async #principal(user: User | undefined, credential: Credential): Promise<UserPrincipal | undefined> {
    if (user === undefined || user.suspended) return undefined;
    const { name, account, email, realName } = user;
    return { kind: 'user', name, account, email, realName, groups: await this.groupsOf(name), credential };
  }
}
