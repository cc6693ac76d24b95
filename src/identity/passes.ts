/**
 * Passes: short-lived credentials for an agent or a CI job. A pass is its owner with less: policy decides as for the
 * owner, and `pass-scope.ts` narrows. It is a token for HTTP, or bound to a key for SSH; it cannot be prolonged.
 */
import { timingSafeEqual } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { Check, Stored, Write } from '../store/store.ts';
import { recordUse } from './last-use.ts';
import {
  boundPass,
  fingerprintKey,
  isEnded,
  listingKey,
  listingsOf,
  passKey,
  readPass,
  removalOf,
  unbindingOf,
  writeListing,
  writePass,
  type Listing,
  type Pass,
} from './pass-record.ts';
import { PassPushes } from './pass-pushes.ts';
import { parsePurpose, parsePushesMax, parseScope, type AskedScope } from './pass-request.ts';
import type { PassScope } from './pass-scope.ts';
import { fingerprintOf, parsePublicKey } from './public-key.ts';
import { shown, type Roster } from './roster.ts';
import { hashBytes, NO_HASH } from './tokens.ts';
import { hashSecret, makeSecret, secretId } from './secret.ts';
import { parseLabel, type User } from './user-record.ts';

export interface NewPass {
  readonly user: string;
  /** Default: made from the id. */
  readonly name?: string;
  readonly purpose?: string;
  readonly scope: AskedScope;
  readonly pushesMax?: number;
  /** Milliseconds. */
  readonly lifeMs: number;
  /** One OpenSSH public key line; absent: the pass is a token. */
  readonly keyLine?: string;
  readonly issuedBy: string;
}

export interface IssuedPass {
  readonly pass: Pass;
  /** Shown once, only its hash is kept; undefined: the pass is bound to a key. */
  readonly secret?: string;
}

/** A pass that is good, and its owner. */
export interface GoodPass {
  readonly pass: Pass;
  readonly user: User;
}

interface Parts {
  readonly name: string | undefined;
  readonly purpose: string;
  readonly scope: PassScope;
  readonly pushesMax: number | undefined;
  readonly fingerprint: string | undefined;
}

interface Making extends Parts, Pick<NewPass, 'lifeMs' | 'issuedBy'> {
  readonly issuerId: string | undefined;
}

export class Passes {
  readonly #roster: Roster;
  readonly lifeMsMax: number;
  readonly pushing: PassPushes;

  constructor(roster: Roster, lifeMsMax: number) {
    this.#roster = roster;
    this.lifeMsMax = lifeMsMax;
    this.pushing = new PassPushes(roster.store);
  }

  /** Whoever asks has decided that the pass may be issued. */
  async issue(fresh: NewPass): Promise<Parsed<IssuedPass>> {
    const parts = parseNew(fresh, this.lifeMsMax);
    if (parts.kind === 'refused') return parts;
    return this.#roster.changeUser<IssuedPass>(fresh.user, async (user) => {
      if (user.suspended) return refuse(`${user.name} is suspended`);
      const room = await this.#makeRoom(user.id);
      if (room.kind === 'refused') return room;
      const binding = await this.#bind(parts.value.fingerprint);
      if (binding.kind === 'refused') return binding;
      const issuer = await this.#roster.user(fresh.issuedBy);
      const { pass, secret } = this.#made(user, { ...fresh, ...parts.value, issuerId: issuer?.id });
      const { id, expiresAt: endsAt, fingerprint } = pass;
      const hash = secret === undefined ? undefined : hashSecret(secret).toString('hex');
      const listing = writeListing({ endsAt, ...(fingerprint === undefined ? {} : { fingerprint }) });
      return {
        kind: 'change',
        user,
        checks: [{ ...passKey(id), version: 0 }, ...binding.value],
        writes: [
          ...room.value,
          { ...passKey(id), put: writePass(pass, hash) },
          { ...listingKey(user.id, id), put: listing },
          ...(fingerprint === undefined ? [] : [{ ...fingerprintKey(fingerprint), put: { pass: id } }]),
        ],
        value: () => ({ pass, ...(secret === undefined ? {} : { secret }) }),
      };
    });
  }

  #made(user: User, { lifeMs, issuedBy, issuerId, ...parts }: Making): IssuedPass {
    const { text, id } = makeSecret(this.#roster.clock, 'pass');
    const { name, purpose, scope, pushesMax, fingerprint } = parts;
    const createdAt = this.#roster.clock.now();
    const pass: Pass = {
      id,
      user: user.name,
      userId: user.id,
      name: name ?? `pass-${id.slice(0, 4)}`,
      purpose,
      scope,
      ...(pushesMax === undefined ? {} : { pushesMax }),
      createdAt,
      expiresAt: createdAt + lifeMs,
      issuedBy,
      ...(issuerId === undefined ? {} : { issuerId }),
      ...(fingerprint === undefined ? {} : { fingerprint }),
    };
    return fingerprint === undefined ? { pass, secret: text } : { pass };
  }

  /** Takes out passes that ended long ago, or any that ended where there are too many; refuses where all are good. */
  async #makeRoom(userId: string): Promise<Parsed<readonly Write[]>> {
    const now = this.#roster.clock.now();
    const all = await listingsOf(this.#roster.store, userId);
    const ended = all.filter(({ endsAt }) => endsAt <= now).toSorted((a, b) => a.endsAt - b.endsAt);
    if (all.length - ended.length >= BOUNDS.passesPerUserMax)
      return refuse(`a user has at most ${BOUNDS.passesPerUserMax} passes at once: revoke some`);
    const over = all.length + 1 - BOUNDS.passesPerUserMax;
    const gone = ended.filter(({ endsAt }, index) => index < over || endsAt + BOUNDS.passKeepMs <= now);
    return ok(await this.#removals(userId, gone.slice(0, BOUNDS.passesSweptMax)));
  }

  async #removals(userId: string, listings: readonly Listing[]): Promise<readonly Write[]> {
    return (await Promise.all(listings.map((one) => removalOf(this.#roster.store, userId, one)))).flat();
  }

  /** Conditions under which the key is nobody's. Whose it is stays unsaid. */
  async #bind(fingerprint: string | undefined): Promise<Parsed<readonly Check[]>> {
    if (fingerprint === undefined) return ok([]);
    const { store } = this.#roster;
    if ((await store.get('key', fingerprint)) !== undefined) return refuse('this key is in use already');
    const key = fingerprintKey(fingerprint);
    const bound = await store.get(key.kind, key.key);
    if (bound !== undefined && (await this.#good(boundPass(bound))) !== undefined)
      return refuse('this key is in use already');
    return ok([
      { kind: 'key', key: fingerprint, version: 0 },
      { ...key, version: bound?.version ?? 0 },
    ]);
  }

  /**
   * Ends a pass at once; `undefined` where it had ended. Who may do so was decided by the caller, who saw `show`.
   */
  async revoke(id: string): Promise<Parsed<Pass>> {
    const { store, clock } = this.#roster;
    return this.#roster.attempt<Pass>(async () => {
      const stored = await this.#stored(id);
      if (stored === undefined) return refuse(`there is no pass ${shown(id)}`);
      const { pass, hash } = readPass(stored);
      const now = clock.now();
      if (isEnded(pass, now)) return { kind: 'unchanged', value: pass };
      const revoked = { ...pass, revokedAt: now };
      const unbinding = await unbindingOf(store, pass);
      const { fingerprint } = pass;
      const listing = writeListing({ endsAt: now, ...(fingerprint === undefined ? {} : { fingerprint }) });
      return {
        kind: 'write',
        transaction: {
          checks: [{ ...passKey(id), version: stored.version }],
          writes: [
            { ...passKey(id), put: writePass(revoked, hash) },
            { ...listingKey(pass.userId, id), put: listing },
            ...(unbinding === undefined ? [] : [unbinding]),
          ],
        },
        value: () => revoked,
      };
    });
  }

  /** A pass that is on record, ended ones too. */
  async show(id: string): Promise<Pass | undefined> {
    const stored = await this.#stored(id);
    return stored === undefined ? undefined : readPass(stored).pass;
  }

  /** In the order they were issued, ended ones too; none for an unknown user. */
  async list(userName: string): Promise<readonly Pass[]> {
    const user = await this.#roster.user(userName);
    if (user === undefined) return [];
    const listings = await listingsOf(this.#roster.store, user.id);
    const found = await Promise.all(listings.map(({ id }) => this.show(id)));
    return found.filter((pass) => pass !== undefined).toSorted((a, b) => a.createdAt - b.createdAt);
  }

  /**
   * The pass and its owner, where the token is right, the pass has not ended and the owner is not suspended. Whatever is
   * wrong costs the same look-ups and the same comparison; only what cannot be a pass at all is turned away sooner.
   */
  async use(secret: string): Promise<GoodPass | undefined> {
    const id = secretId(secret, 'pass');
    if (id === undefined) return undefined;
    const stored = await this.#stored(id);
    const found = stored === undefined ? undefined : readPass(stored);
    const right = timingSafeEqual(hashSecret(secret), hashBytes(found?.hash ?? NO_HASH));
    const user = await this.#roster.user(found?.pass.user ?? 'anonymous');
    if (!right || stored === undefined || found === undefined) return undefined;
    return this.#used(stored, { pass: found.pass, user });
  }

  /** The same for the key that a pass is bound to; `blob` is its SSH wire form, whose owner has proved to hold it. */
  async useKey(blob: Uint8Array): Promise<GoodPass | undefined> {
    const id = await this.#boundTo(fingerprintOf(blob));
    const stored = id === undefined ? undefined : await this.#stored(id);
    if (stored === undefined) return undefined;
    const { pass } = readPass(stored);
    return this.#used(stored, { pass, user: await this.#roster.user(pass.user) });
  }

  /** How many pushes of it were committed; counted where there is a most. */
  pushes(id: string): Promise<number> {
    return this.pushing.count(id);
  }

  /** Whether a good pass is bound to this key. Leaves no note. */
  async isKnownKey(fingerprint: string): Promise<boolean> {
    const id = await this.#boundTo(fingerprint);
    return id !== undefined && (await this.#good(id)) !== undefined;
  }

  /** The pass as it is now; undefined where it has ended, or its owner is gone or suspended. */
  async good(id: string): Promise<GoodPass | undefined> {
    return this.#good(id);
  }

  async #good(id: string): Promise<GoodPass | undefined> {
    const pass = await this.show(id);
    return pass === undefined ? undefined : this.#goodOf(pass, await this.#roster.user(pass.user));
  }

  async #used(stored: Stored, { pass, user }: { readonly pass: Pass; readonly user: User | undefined }) {
    const good = this.#goodOf(pass, user);
    if (good !== undefined) await recordUse(this.#roster, stored);
    return good;
  }

  #goodOf(pass: Pass, user: User | undefined): GoodPass | undefined {
    if (user === undefined || user.suspended || user.id !== pass.userId) return undefined;
    return isEnded(pass, this.#roster.clock.now()) ? undefined : { pass, user };
  }

  async #boundTo(fingerprint: string): Promise<string | undefined> {
    const key = fingerprintKey(fingerprint);
    const bound = await this.#roster.store.get(key.kind, key.key);
    return bound && boundPass(bound);
  }

  /** Only what has the shape of an id: other keys of this kind are no passes. */
  async #stored(id: string): Promise<Stored | undefined> {
    return /^[0-9A-Za-z]{1,64}$/.test(id) ? this.#roster.store.get('pass', id) : undefined;
  }
}

function parseNew(fresh: NewPass, lifeMsMax: number): Parsed<Parts> {
  const name = fresh.name === undefined ? ok(undefined) : parseLabel(fresh.name, 'a pass name');
  if (name.kind === 'refused') return name;
  const purpose = parsePurpose(fresh.purpose ?? '');
  if (purpose.kind === 'refused') return purpose;
  const scope = parseScope(fresh.scope);
  if (scope.kind === 'refused') return scope;
  const pushesMax = fresh.pushesMax === undefined ? ok(undefined) : parsePushesMax(fresh.pushesMax);
  if (pushesMax.kind === 'refused') return pushesMax;
  if (pushesMax.value !== undefined && scope.value.push.length === 0)
    return refuse('a number of pushes goes with a ref pattern to push');
  if (!(fresh.lifeMs > 0 && fresh.lifeMs <= lifeMsMax)) return refuse('a pass ends: say when');
  const key = fresh.keyLine === undefined ? ok(undefined) : parsePublicKey(fresh.keyLine);
  if (key.kind === 'refused') return key;
  return ok({
    name: name.value,
    purpose: purpose.value,
    scope: scope.value,
    pushesMax: pushesMax.value,
    fingerprint: key.value?.fingerprint,
  });
}
