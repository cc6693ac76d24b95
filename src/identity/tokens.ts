/** Tokens: named secrets of a user with scopes and an end, for HTTP and the API. */
import { Buffer } from 'node:buffer';
import { timingSafeEqual } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { readFields, type Fields } from '../base/fields.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { parseDuration } from '../base/units.ts';
import type { Stored } from '../store/store.ts';
import { isUseDue, recordUse } from './last-use.ts';
import { TOKEN_SCOPES, type TokenScope, type UserName } from './principal.ts';
import { shown, type Roster } from './roster.ts';
import { DEFAULT_SCOPES } from './scope.ts';
import { hashSecret, makeSecret, secretId } from './secret.ts';
import { parseLabel, type User } from './user-record.ts';

export interface Token {
  readonly id: string;
  readonly user: UserName;
  /** Unique among the user's tokens. */
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  /** Milliseconds since 1970, here and below. */
  readonly createdAt: number;
  /** Undefined: until it is revoked. */
  readonly expiresAt?: number;
  /** Up to `BOUNDS.lastUseStepMs` behind; undefined: never used. */
  readonly lastUsedAt?: number;
  readonly expired: boolean;
}

export interface NewToken {
  readonly user: string;
  readonly name: string;
  /** Default: write. */
  readonly scopes?: readonly string[];
  /** How long it lives, `30d` or `12h`. Default: until it is revoked. */
  readonly expires?: string;
}

export interface IssuedToken {
  /** Shown once; only its hash is kept. */
  readonly secret: string;
  readonly token: Token;
}

export interface UsedToken {
  readonly token: Token;
  readonly user: User;
  /** Of the store, from before both were read. */
  readonly standing: number | undefined;
}

/** Compared with where there is no such token, so that every look-up does the same work. */
export const NO_HASH = '0'.repeat(64);
const NO_HASH_BYTES = Buffer.from(NO_HASH, 'hex');

export class Tokens {
  readonly #roster: Roster;
  /** By identifier, whether there is such a token or not. */
  readonly #looks = new Map<string, Look>();

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  async create(fresh: NewToken): Promise<Parsed<IssuedToken>> {
    const name = parseLabel(fresh.name, 'a token name');
    if (name.kind === 'refused') return name;
    const scopes = parseScopes(fresh.scopes ?? DEFAULT_SCOPES);
    if (scopes.kind === 'refused') return scopes;
    const lifeMs = parseExpiry(fresh.expires);
    if (lifeMs.kind === 'refused') return lifeMs;
    return this.#roster.changeUser<IssuedToken>(fresh.user, async (user) => {
      const old = user.tokens.find((token) => token.name === name.value);
      const replaced = old === undefined ? undefined : await this.#read(old.id);
      // An expired token's name is free again.
      if (replaced !== undefined && !replaced.expired) return refuse(`there is already a token ${name.value}`);
      const tokens = user.tokens.filter((token) => token !== old);
      if (tokens.length >= BOUNDS.tokensPerUserMax)
        return refuse(`a user has at most ${BOUNDS.tokensPerUserMax} tokens`);
      const made = issue(this.#roster, {
        user: user.name,
        name: name.value,
        scopes: scopes.value,
        lifeMs: lifeMs.value,
      });
      return {
        kind: 'change',
        user: { ...user, tokens: [...tokens, { name: name.value, id: made.token.id }] },
        checks: [{ kind: 'token', key: made.token.id, version: 0 }],
        writes: [
          ...(old === undefined ? [] : [{ kind: 'token', key: old.id, delete: true } as const]),
          { kind: 'token', key: made.token.id, put: made.record },
        ],
        value: () => ({ secret: made.secret, token: made.token }),
      };
    });
  }

  revoke(gone: { readonly user: string; readonly name: string }): Promise<Parsed<void>> {
    return this.#roster.changeUser<void>(gone.user, async (user) => {
      const mention = user.tokens.find((token) => token.name === gone.name);
      if (mention === undefined) return refuse(`there is no token ${shown(gone.name)}`);
      return {
        kind: 'change',
        user: { ...user, tokens: user.tokens.filter((token) => token !== mention) },
        writes: [{ kind: 'token', key: mention.id, delete: true }],
        value: () => undefined,
      };
    });
  }

  /** In the order they were made, expired ones too; none for an unknown user. */
  async list(userName: string): Promise<readonly Token[]> {
    const user = await this.#roster.user(userName);
    const found = await Promise.all((user?.tokens ?? []).map(({ id }) => this.#read(id)));
    return found.filter((token) => token !== undefined);
  }

  /**
   * The token and its user, where the secret is right, the token has not expired and the user is not suspended.
   * A wrong secret, an expired token and a suspended user cost the same look-ups and the same comparison as
   * each other, so the time tells none of them apart; only what cannot be a token at all is turned away sooner.
   */
  async use(secret: string): Promise<UsedToken | undefined> {
    const id = secretId(secret);
    if (id === undefined) return undefined;
    const { standing, stored, record, user } = this.#lookedUp(id) ?? (await this.#look(id));
    const right = timingSafeEqual(hashSecret(secret), record?.hash ?? NO_HASH_BYTES);
    const token = record === undefined ? undefined : asOf(record, this.#roster.clock.now());
    if (!right || stored === undefined || token === undefined || token.expired) return undefined;
    if (user === undefined || user.suspended) return undefined;
    if (isUseDue(stored, this.#roster.clock.now())) await recordUse(this.#roster, stored);
    return { token, user, standing };
  }

  /** What the last look found, where nothing was written since. What is not there, wrong or expired is kept alike. */
  #lookedUp(id: string): Look | undefined {
    const { standing } = this.#roster.store;
    const look = this.#looks.get(id);
    return standing !== undefined && look?.standing === standing ? look : undefined;
  }

  async #look(id: string): Promise<Look> {
    const { store } = this.#roster;
    const { standing } = store;
    const stored = await store.get('token', id);
    const record = stored === undefined ? undefined : recordOf(stored);
    const user = await this.#roster.user(record?.token.user ?? 'anonymous');
    const look: Look = { standing, stored, record, user };
    if (standing !== undefined && standing === store.standing) {
      if (this.#looks.size >= LOOKS_MAX) this.#looks.clear();
      this.#looks.set(id, look);
    }
    return look;
  }

  /** The token with this identifier; undefined where it was revoked or expired. */
  async find(id: string): Promise<Token | undefined> {
    const token = await this.#read(id);
    return token === undefined || token.expired ? undefined : token;
  }

  async #read(id: string): Promise<Token | undefined> {
    const stored = await this.#roster.store.get('token', id);
    return stored === undefined ? undefined : asOf(recordOf(stored), this.#roster.clock.now());
  }
}

/** A fresh token and the record that stands for it in the store. */
export function issue(
  roster: Roster,
  fresh: {
    readonly user: UserName;
    readonly name: string;
    readonly scopes: readonly TokenScope[];
    readonly lifeMs: number | undefined;
  },
): IssuedToken & { readonly record: Json } {
  const { text, id } = makeSecret(roster.clock);
  const { user, name, scopes, lifeMs } = fresh;
  const createdAt = roster.clock.now();
  const life = lifeMs === undefined ? {} : { expiresAt: createdAt + lifeMs };
  return {
    secret: text,
    token: { id, user, name, scopes, createdAt, ...life, expired: false },
    record: { user, name, scopes, createdAt, ...life, hash: hashSecret(text).toString('hex') },
  };
}

/** Looks that are kept; beyond it, all are forgotten. */
const LOOKS_MAX = 1_024;

/** What the store has about a token's identifier, and as of when. */
interface Look {
  readonly standing: number | undefined;
  readonly stored: Stored | undefined;
  readonly record: TokenRecord | undefined;
  readonly user: User | undefined;
}

interface TokenRecord {
  /** As it is until it expires. */
  readonly token: Token;
  readonly hash: Buffer;
}

/** Read once each: the store gives the same object until the record is written (`store/kept-reads.ts`). */
const read = new WeakMap<Stored, TokenRecord>();

/** The same object for the same record. @throws Fault 'corrupt' */
function recordOf(stored: Stored): TokenRecord {
  const known = read.get(stored);
  if (known !== undefined) return known;
  const fields = readFields(stored.value, `token ${stored.key}`);
  const record = { token: readToken(stored, fields), hash: hashBytes(fields.text('hash')) };
  read.set(stored, record);
  return record;
}

/** The token at that time; the same object as long as it has not expired. */
function asOf({ token }: TokenRecord, now: number): Token {
  return token.expiresAt !== undefined && token.expiresAt <= now ? { ...token, expired: true } : token;
}

function readToken(stored: Stored, fields: Fields): Token {
  const expiresAt = fields.optionalNumber('expiresAt');
  const lastUsedAt = fields.optionalNumber('lastUsedAt');
  return {
    id: stored.key,
    user: fields.text('user') as UserName, // taken from a user record
    name: fields.text('name'),
    scopes: TOKEN_SCOPES.filter((scope) => fields.texts('scopes').includes(scope)),
    createdAt: fields.number('createdAt'),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
    expired: false,
  };
}

/** 32 bytes whatever is on record: a comparison of unlike lengths would throw. */
export function hashBytes(hex: string): Buffer {
  return Buffer.from(/^[0-9a-f]{64}$/.test(hex) ? hex : NO_HASH, 'hex');
}

function parseScopes(words: readonly string[]): Parsed<readonly TokenScope[]> {
  const unknown = words.find((word) => !TOKEN_SCOPES.some((scope) => scope === word));
  if (unknown !== undefined) return refuse(`${shown(unknown)} is no scope: there are ${TOKEN_SCOPES.join(', ')}`);
  if (words.length === 0) return refuse(`a token has a scope: ${TOKEN_SCOPES.join(', ')}`);
  return ok(TOKEN_SCOPES.filter((scope) => words.includes(scope)));
}

function parseExpiry(text: string | undefined): Parsed<number | undefined> {
  if (text === undefined) return ok(undefined);
  const life = parseDuration(text);
  if (life.kind === 'refused') return life;
  if (life.value < BOUNDS.tokenLifeMsMin) return refuse('a token lives at least a second');
  return life.value > BOUNDS.tokenLifeMsMax ? refuse('a token lives at most ten years: leave the end out') : life;
}
