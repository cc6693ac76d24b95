/** A user as it lies in the store, and the rules for what may stand in one. */
import { readFields } from '../base/fields.ts';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { parseLine } from '../repository/text.ts';
import type { Check, Store, Stored } from '../store/store.ts';
import type { UserName } from './principal.ts';

export const ACCOUNTS = ['person', 'ci'] as const;
export type Account = (typeof ACCOUNTS)[number];

export interface KeyMention {
  readonly tag: string;
  readonly fingerprint: string;
}

export interface TokenMention {
  readonly name: string;
  readonly id: string;
}

export interface User {
  /** Stays the same over renames. */
  readonly id: string;
  readonly name: UserName;
  readonly email: string;
  readonly realName: string;
  readonly account: Account;
  readonly suspended: boolean;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly keys: readonly KeyMention[];
  readonly tokens: readonly TokenMention[];
  /** The store's version of the record. */
  readonly version: number;
}

/** Where a user lies: names that differ only in case share a key, so that only one of them can exist. */
export function userKey(name: string): string {
  return name.toLowerCase();
}

/** "This user exists", as a condition of somebody else's transaction: a repository's owner, a group's member. */
export function userCheck(name: string): Check {
  return { kind: 'user', key: userKey(name), version: 'any' };
}

/** The same, sharper: the user of exactly this name, unchanged since now. Undefined where there is none. */
export async function checkUser(store: Store, name: string): Promise<Check | undefined> {
  const stored = await store.get('user', userKey(name));
  if (stored === undefined || readUser(stored).name !== name) return undefined;
  return { kind: 'user', key: stored.key, version: stored.version };
}

/** Read once each: the store gives the same object until the record is written (`store/kept-reads.ts`). */
const read = new WeakMap<Stored, User>();

/** The same object for the same record. @throws Fault 'corrupt' */
export function readUser(stored: Stored): User {
  const known = read.get(stored);
  if (known !== undefined) return known;
  const user = parseUser(stored);
  read.set(stored, user);
  return user;
}

function parseUser(stored: Stored): User {
  const fields = readFields(stored.value, `user ${stored.key}`);
  return {
    id: fields.text('id'),
    name: fields.text('name') as UserName, // written by parseUserName's result only
    email: fields.text('email'),
    realName: fields.text('realName'),
    account: fields.word('account', ACCOUNTS),
    suspended: fields.flag('suspended'),
    createdAt: fields.number('createdAt'),
    keys: fields.objects('keys').map((key) => ({ tag: key.text('tag'), fingerprint: key.text('fingerprint') })),
    tokens: fields.objects('tokens').map((token) => ({ name: token.text('name'), id: token.text('id') })),
    version: stored.version,
  };
}

export function writeUser(user: User): Json {
  const { id, name, email, realName, account, suspended, createdAt } = user;
  const keys = user.keys.map(({ tag, fingerprint }) => ({ tag, fingerprint }));
  const tokens = user.tokens.map((token) => ({ name: token.name, id: token.id }));
  return { id, name, email, realName, account, suspended, createdAt, keys, tokens };
}

export function parseEmail(text: string): Parsed<string> {
  const line = parseLine(text, { what: 'an e-mail address', bytesMax: BOUNDS.emailBytesMax });
  if (line.kind === 'refused') return line;
  return /^[^\s@<>()"',;:\\]+@[^\s@<>()"',;:\\]+$/.test(line.value)
    ? line
    : refuse('an e-mail address looks like name@example.org');
}

export function parseRealName(text: string): Parsed<string> {
  const line = parseLine(text, { what: 'a real name', bytesMax: BOUNDS.realNameBytesMax });
  if (line.kind === 'refused') return line;
  if (line.value === '') return refuse('a real name is not empty');
  // What git puts around an address in a commit's author line.
  return /[<>]/.test(line.value) ? refuse('a real name holds no < or >') : ok(line.value);
}

const LABEL = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/;

/** A key's tag or a token's name. */
export function parseLabel(text: string, what: string): Parsed<string> {
  return LABEL.test(text)
    ? ok(text)
    : refuse(`${what} starts with a letter or digit and holds up to 64 letters, digits and . _ @ + -`);
}
