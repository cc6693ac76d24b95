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
import { credentialOf } from './pass-record.ts';
import { Passes, type GoodPass } from './passes.ts';
import type { Credential, GroupName, Principal, UserName } from './principal.ts';
import { fingerprintOf } from './public-key.ts';
import { Roster } from './roster.ts';
import { isPassSecret } from './secret.ts';
import { Signatures } from './signatures.ts';
import { SigningKeys } from './signing-keys.ts';
import { Tokens, type Token } from './tokens.ts';
import type { User } from './user-record.ts';
import { Users } from './users.ts';

export type UserPrincipal = Extract<Principal, { readonly kind: 'user' }>;

/** Whom a token stood for when it was asked last, and of which records that was made. */
interface Known {
  readonly user: User;
  readonly groups: ReadonlySet<GroupName>;
  readonly principal: UserPrincipal;
  /** Of the store, all the time while that was read; undefined: it did not stand still. */
  readonly standing: number | undefined;
}

export interface DirectoryOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Who moves repositories when a user is renamed or deleted. Default: their records in the store only. */
  readonly ownership?: Ownership;
  /** Milliseconds that a pass may live; default 30 days. */
  readonly passLifeMsMax?: number;
}

const PASS_LIFE_MS = 30 * 86_400_000;

export class Directory {
  readonly users: Users;
  readonly groups: Groups;
  readonly keys: Keys;
  readonly tokens: Tokens;
  readonly passes: Passes;
  readonly signingKeys: SigningKeys;
  readonly signatures: Signatures;
  readonly confirmations: Confirmations;
  readonly #roster: Roster;
  readonly #handOvers: HandOvers;
  readonly #byToken = new WeakMap<Token, Known>();
  /** Whose principal was made of which token, and when that was looked at last. */
  readonly #proved = new WeakMap<Principal, { readonly token: Token; readonly standing: number | undefined }>();

  constructor(options: DirectoryOptions) {
    this.#roster = new Roster(options);
    this.#handOvers = new HandOvers(options.store, options.ownership);
    this.users = new Users(this.#roster, this.#handOvers);
    this.groups = new Groups(this.#roster);
    this.keys = new Keys(this.#roster);
    this.tokens = new Tokens(this.#roster);
    this.passes = new Passes(this.#roster, options.passLifeMsMax ?? PASS_LIFE_MS);
    this.signingKeys = new SigningKeys(this.#roster);
    const { signingKeys, keys } = this;
    this.signatures = new Signatures({
      signingKeys,
      keys,
      clock: options.clock,
      user: (name) => this.#roster.user(name),
    });
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
    const fingerprint = fingerprintOf(blob);
    const holder = await this.keys.holder(fingerprint);
    if (holder === undefined) return this.passes.isKnownKey(fingerprint);
    return (await this.#roster.user(holder))?.suspended === false;
  }

  /**
   * Whose key this is, noting its use; `blob` is the SSH wire form, and the caller has seen a proof of possession.
   * Undefined: nobody's, or the user is suspended. @param address the client's; a pass may be for some only.
   */
  async byKey(blob: Uint8Array, address?: string): Promise<UserPrincipal | undefined> {
    const key = await this.keys.use(blob);
    if (key === undefined) return this.#byPass(await this.passes.useKey(blob), address);
    const credential = { kind: 'key', fingerprint: key.fingerprint, tag: key.tag } as const;
    return this.#principal(await this.#roster.user(key.user), credential);
  }

  /**
   * Whose token or pass this is. Undefined: wrong, expired, revoked, or the user is suspended; the time tells none apart.
   * @param address the client's; without it a pass that is for some addresses only reaches nothing.
   */
  async byToken(secret: string, address?: string): Promise<UserPrincipal | undefined> {
    if (isPassSecret(secret)) return this.#byPass(await this.passes.use(secret), address);
    const used = await this.tokens.use(secret);
    return used && this.#ofToken(used.token, used.user, used.standing);
  }

  /**
   * The principal that `as NAME COMMAND` runs as. Undefined: no such user, suspended, nobody is asking, or `as` within `as`:
   * one answer, which does not tell whether NAME exists.
   */
  async asUser(principal: Principal, name: string): Promise<UserPrincipal | undefined> {
    if (principal.kind !== 'user' || principal.asking !== undefined) return undefined;
    // A pass is its owner with less, never somebody else.
    if (principal.credential.kind === 'pass') return undefined;
    const target = await this.#principal(await this.#roster.user(name), principal.credential);
    return target && { ...target, asking: { name: principal.name, groups: principal.groups } };
  }

  /**
   * The principal as it stands now: fresh groups, the same credential. Undefined: the key or token was taken away
   * or expired, or a user (who asks, or whom they act as) is gone, renamed or suspended. A request that waited or ran for
   * long asks this before it does what cannot be undone.
   */
  async current(principal: Principal): Promise<Principal | undefined> {
    if (principal.kind === 'anonymous' || this.#stands(principal)) return principal;
    const { credential, asking } = principal;
    const name = asking?.name ?? principal.name;
    if (credential.kind === 'pass') return this.#currentPass(credential.id, { name, address: credential.address });
    if (credential.kind === 'token' && asking === undefined) return this.#currentToken(credential.id, name);
    // A key that is somebody else's by now does not make the request theirs.
    if ((await this.#holderOf(credential, name)) !== name) return undefined;
    const own = await this.principalOf(name, credential);
    return own === undefined || asking === undefined ? own : this.asUser(own, principal.name);
  }

  #byPass(good: GoodPass | undefined, address: string | undefined): Promise<UserPrincipal | undefined> {
    return good === undefined
      ? Promise.resolve(undefined)
      : this.#principal(good.user, credentialOf(good.pass, address));
  }

  async #currentPass(
    id: string,
    about: { readonly name: UserName; readonly address: string | undefined },
  ): Promise<UserPrincipal | undefined> {
    const good = await this.passes.good(id);
    return good?.user.name === about.name ? this.#byPass(good, about.address) : undefined;
  }

  /** Whose credential this is now. */
  async #holderOf(credential: Credential, name: UserName): Promise<UserName | undefined> {
    switch (credential.kind) {
      case 'key':
        return this.keys.holder(credential.fingerprint);
      case 'token':
        return (await this.tokens.find(credential.id))?.user;
      case 'local':
        return name;
      case 'pass':
        // `current` reads the whole pass.
        return undefined;
      case 'shell':
        // Users of a gitolite site are no accounts of the house: gitolite/site-users.ts knows them.
        return undefined;
      default:
        return credential satisfies never;
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

  /** A token that is somebody else's by now does not make the request theirs. */
  async #currentToken(id: string, name: UserName): Promise<UserPrincipal | undefined> {
    const { standing } = this.#roster.store;
    const token = await this.tokens.find(id);
    return token?.user === name ? this.#ofToken(token, await this.#roster.user(name), standing) : undefined;
  }

  /**
   * The same object while token, user and groups are as they were: what is decided about it may hang on it.
   * @param standing of the store, from before token and user were read.
   */
  async #ofToken(
    token: Token,
    user: User | undefined,
    standing: number | undefined,
  ): Promise<UserPrincipal | undefined> {
    if (user === undefined || user.suspended) return undefined;
    const { store } = this.#roster;
    const known = this.#byToken.get(token);
    if (known?.user === user && known.standing !== undefined && known.standing === store.standing)
      return known.principal;
    const groups = await this.groupsOf(user.name);
    const isSame = known?.user === user && known.groups === groups;
    const { id, name, scopes } = token;
    const principal = isSame ? known.principal : await this.#principal(user, { kind: 'token', id, name, scopes });
    if (principal === undefined) return undefined;
    // Something was written while this was read: it may be older than that.
    const since = standing === store.standing ? standing : undefined;
    this.#byToken.set(token, { user, groups: principal.groups, principal, standing: since });
    this.#proved.set(principal, { token, standing: since });
    return principal;
  }

  /** Nothing that could say otherwise was written since this principal was made, and its token has not expired. */
  #stands(principal: Principal): boolean {
    const { standing } = this.#roster.store;
    const proved = this.#proved.get(principal);
    if (standing === undefined || proved?.standing !== standing) return false;
    const { expiresAt } = proved.token;
    return expiresAt === undefined || this.#roster.clock.now() < expiresAt;
  }

  async #principal(user: User | undefined, credential: Credential): Promise<UserPrincipal | undefined> {
    if (user === undefined || user.suspended) return undefined;
    const { name, account, email, realName } = user;
    return { kind: 'user', name, account, email, realName, groups: await this.groupsOf(name), credential };
  }
}
