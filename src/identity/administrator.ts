/**
 * The first administrator of a fresh site, made in one transaction: the user, the keys, the group of
 * administrators and a token. The token's text exists only in memory until the caller has written it down;
 * `settle` says that this happened. A start that finds it unsettled issues another.
 */
import { readFields } from '../base/fields.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { Check, Stored, Write } from '../store/store.ts';
import { makeKey, writeKey } from './keys.ts';
import type { UserName } from './principal.ts';
import { parsePublicKey, type PublicKey } from './public-key.ts';
import { ADMINISTRATORS, type Roster } from './roster.ts';
import { issue, type IssuedToken } from './tokens.ts';
import { activeAdministrators } from './user-change.ts';
import { parseLabel, userKey, writeUser, type User } from './user-record.ts';
import { makeUser } from './users.ts';

export interface FirstAdministrator {
  readonly name: string;
  /** Public key lines. */
  readonly keys: readonly string[];
  /** Default: `name@localhost`, `Administrator`. */
  readonly email?: string;
  readonly realName?: string;
}

/** `present`: it was all done by an earlier start. */
export type Ensured =
  | { readonly kind: 'present'; readonly name: UserName }
  | {
      readonly kind: 'made';
      readonly name: UserName;
      /** Scope admin, without an end. */
      readonly secret: string;
      /** To be called once the secret is on disk. */
      readonly settle: () => Promise<void>;
    };

const MARK = { kind: 'meta', key: 'administrator' } as const;
const TOKEN_NAME = 'admin-token';

/** Idempotent: after a crash anywhere the next call goes on. Refused: a bad name or key, said which. */
export async function ensureAdministrator(roster: Roster, first: FirstAdministrator): Promise<Parsed<Ensured>> {
  const mark = await roster.store.get(MARK.kind, MARK.key);
  if (mark !== undefined) return ok(await resume(roster, mark));
  const user = makeUser(roster, {
    name: first.name,
    email: first.email ?? `${first.name}@localhost`,
    realName: first.realName ?? 'Administrator',
  });
  if (user.kind === 'refused') return user;
  const keys = parseKeys(first.keys);
  if (keys.kind === 'refused') return keys;
  return found(roster, user.value, keys.value);
}

/** Who acts at the local command line: the recorded one, or another active administrator. */
export async function currentAdministrator(roster: Roster): Promise<UserName | undefined> {
  const mark = await roster.store.get(MARK.kind, MARK.key);
  const active = await activeAdministrators(roster, await roster.groups());
  const recorded = mark === undefined ? undefined : readFields(mark.value, 'meta administrator').text('name');
  return active.find((name) => name === recorded) ?? active.toSorted()[0];
}

interface TaggedKey {
  readonly tag: string;
  readonly key: PublicKey;
}

function parseKeys(texts: readonly string[]): Parsed<readonly TaggedKey[]> {
  const keys: TaggedKey[] = [];
  for (const [index, text] of texts.entries()) {
    const key = parsePublicKey(text);
    if (key.kind === 'refused') return refuse(`administrator key ${index + 1}: ${key.reason}`);
    if (keys.some((other) => other.key.fingerprint === key.value.fingerprint)) continue;
    const label = parseLabel(key.value.comment, 'a key tag');
    const isFree = label.kind === 'ok' && keys.every((other) => other.tag !== label.value);
    keys.push({ tag: isFree ? label.value : `key-${index + 1}`, key: key.value });
  }
  return ok(keys);
}

async function found(roster: Roster, fresh: User, keys: readonly TaggedKey[]): Promise<Parsed<Ensured>> {
  const made = issueToken(roster, fresh.name);
  const user: User = {
    ...fresh,
    keys: keys.map(({ tag, key }) => ({ tag, fingerprint: key.fingerprint })),
    tokens: [{ name: TOKEN_NAME, id: made.token.id }],
  };
  const checks: Check[] = [
    { ...MARK, version: 0 },
    { kind: 'user', key: userKey(user.name), version: 0 },
  ];
  const writes: Write[] = [
    { ...MARK, put: { name: user.name, settled: false } },
    { kind: 'user', key: userKey(user.name), put: writeUser(user) },
    { kind: 'token', key: made.token.id, put: made.record },
  ];
  for (const { tag, key } of keys) {
    const record = makeKey({ user: user.name, tag, key, addedAt: user.createdAt });
    checks.push({ kind: 'key', key: key.fingerprint, version: 0 });
    writes.push({ kind: 'key', key: key.fingerprint, put: writeKey(record) });
  }
  const done = await roster.changeGroups<void>(async (index) => {
    if ((await roster.userInAnyCase(user.name)) !== undefined) return refuse(`there is already a user ${user.name}`);
    const group = index.get(ADMINISTRATORS) ?? {
      name: ADMINISTRATORS,
      description: 'Run this site',
      users: [],
      groups: [],
      createdAt: user.createdAt,
      version: 0,
    };
    const put = [{ ...group, users: [...group.users, user.name].toSorted() }];
    return { kind: 'change', put, checks, writes, value: () => undefined };
  });
  return done.kind === 'refused' ? done : ok(madeBy(roster, user.name, made.secret));
}

async function resume(roster: Roster, mark: Stored): Promise<Ensured> {
  const fields = readFields(mark.value, 'meta administrator');
  const name = fields.text('name') as UserName; // written by `found` only
  if (fields.flag('settled')) return { kind: 'present', name };
  const made = issueToken(roster, name);
  const replaced = await roster.changeUser<void>(name, async (user) => {
    const old = user.tokens.filter((token) => token.name === TOKEN_NAME);
    const kept = user.tokens.filter((token) => token.name !== TOKEN_NAME);
    return {
      kind: 'change',
      user: { ...user, tokens: [...kept, { name: TOKEN_NAME, id: made.token.id }] },
      writes: [
        ...old.map((token) => ({ kind: 'token', key: token.id, delete: true }) as const),
        { kind: 'token', key: made.token.id, put: made.record },
      ],
      value: () => undefined,
    };
  });
  return replaced.kind === 'ok' ? madeBy(roster, name, made.secret) : { kind: 'present', name };
}

function issueToken(roster: Roster, user: UserName): ReturnType<typeof issue> {
  return issue(roster, { user, name: TOKEN_NAME, scopes: ['admin'], lifeMs: undefined });
}

function madeBy(roster: Roster, name: UserName, secret: IssuedToken['secret']): Ensured {
  const settle = async (): Promise<void> => {
    const mark = await roster.store.get(MARK.kind, MARK.key);
    if (mark === undefined) return;
    const put = { name: readFields(mark.value, 'meta administrator').text('name'), settled: true };
    await roster.store.transact({ checks: [{ ...MARK, version: mark.version }], writes: [{ ...MARK, put }] });
  };
  return { kind: 'made', name, secret, settle };
}
