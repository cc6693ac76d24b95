/** The two changes to a user that reach far: a new name, and the end. Each is one transaction, built here. */
import { refuse, type Refusal } from '../base/fault.ts';
import { isJsonObject, type Json } from '../base/json.ts';
import type { Check, Kind, Write } from '../store/store.ts';
import type { Group, GroupIndex } from './group-index.ts';
import type { HandOvers } from './hand-over.ts';
import { removedPasses, renamedPasses } from './pass-record.ts';
import type { UserName } from './principal.ts';
import { removedSigningKeys, renamedSigningKeys } from './signing-keys.ts';
import { ADMINISTRATORS, type GroupChange, type Roster } from './roster.ts';
import { userCheck, userKey, writeUser, type User } from './user-record.ts';

interface Surroundings {
  readonly roster: Roster;
  readonly handOvers: HandOvers;
  readonly index: GroupIndex;
  readonly user: User;
}

export async function renaming(options: Surroundings & { readonly to: UserName }): Promise<GroupChange<User>> {
  const { roster, handOvers, index, user, to } = options;
  const renamed: User = { ...user, name: to };
  const [oldKey, newKey] = [userKey(user.name), userKey(to)];
  const checks: Check[] = [{ kind: 'user', key: oldKey, version: user.version }, handOvers.noneFrom(to)];
  const writes: Write[] = [handOvers.mark({ from: user.name, to })];
  if (newKey !== oldKey) {
    checks.push({ kind: 'user', key: newKey, version: 0 });
    writes.push({ kind: 'user', key: oldKey, delete: true });
  }
  writes.push({ kind: 'user', key: newKey, put: writeUser(renamed) });
  for (const [kind, key] of credentialsOf(user)) await rewriteUser({ roster, kind, key, to, checks, writes });
  const passes = await renamedPasses(roster.store, user.id, to);
  const signingKeys = await renamedSigningKeys(roster.store, user.id, to);
  checks.push(...passes.checks, ...signingKeys.checks);
  writes.push(...passes.writes, ...signingKeys.writes);
  await rewriteAdministrator({ roster, from: user.name, to, checks, writes });
  const replace = (names: readonly UserName[]): readonly UserName[] =>
    names.map((name) => (name === user.name ? to : name)).toSorted();
  return {
    kind: 'change',
    put: groupsWith(index, user.name).map((group) => ({ ...group, users: replace(group.users) })),
    checks,
    writes,
    value: (version) => ({ ...renamed, version }),
  };
}

export async function removal(options: Surroundings & { readonly heir: UserName }): Promise<GroupChange<User>> {
  const { roster, handOvers, index, user, heir } = options;
  const key = userKey(user.name);
  const checks: Check[] = [{ kind: 'user', key, version: user.version }, userCheck(heir)];
  const writes: Write[] = [{ kind: 'user', key, delete: true }, handOvers.mark({ from: user.name, to: heir })];
  for (const [kind, each] of credentialsOf(user)) writes.push({ kind, key: each, delete: true });
  writes.push(...(await removedPasses(roster.store, user.id)), ...(await removedSigningKeys(roster.store, user.id)));
  const successor = (await activeAdministrators(roster, index, user.name)).toSorted((a, b) =>
    a === heir ? -1 : b === heir ? 1 : 0,
  )[0];
  if (successor !== undefined) await rewriteAdministrator({ roster, from: user.name, to: successor, checks, writes });
  return {
    kind: 'change',
    put: groupsWith(index, user.name).map((group) => ({
      ...group,
      users: group.users.filter((name) => name !== user.name),
    })),
    checks,
    writes,
    value: () => user,
  };
}

/** A refusal where the site would have no administrator left who can log in, were it not for this user. */
export async function withoutLastAdministrator(
  roster: Roster,
  index: GroupIndex,
  user: UserName,
): Promise<Refusal | undefined> {
  if (!index.usersOf(ADMINISTRATORS).has(user)) return undefined;
  if ((await activeAdministrators(roster, index, user)).length > 0) return undefined;
  return refuse(`${user} is the last administrator: add another to the group ${ADMINISTRATORS} first`);
}

/** Administrators who are not suspended, but for one. */
export async function activeAdministrators(
  roster: Roster,
  index: GroupIndex,
  except?: UserName,
): Promise<readonly UserName[]> {
  const names = [...index.usersOf(ADMINISTRATORS)].filter((name) => name !== except);
  const users = await Promise.all(names.map((name) => roster.user(name)));
  return users.flatMap((user) => (user === undefined || user.suspended ? [] : [user.name]));
}

function groupsWith(index: GroupIndex, user: UserName): readonly Group[] {
  return [...index.directly(user)].map((name) => index.get(name)).filter((group) => group !== undefined);
}

function credentialsOf(user: User): readonly (readonly ['key' | 'token', string])[] {
  return [
    ...user.keys.map((key) => ['key', key.fingerprint] as const),
    ...user.tokens.map((token) => ['token', token.id] as const),
  ];
}

interface Rewriting {
  readonly roster: Roster;
  readonly to: UserName;
  readonly checks: Check[];
  readonly writes: Write[];
}

/** Keys and tokens name their user, so that a log-in is two look-ups. */
async function rewriteUser(options: Rewriting & { readonly kind: Kind; readonly key: string }): Promise<void> {
  const { roster, kind, key, to, checks, writes } = options;
  const stored = await roster.store.get(kind, key);
  if (stored === undefined) return;
  checks.push({ kind, key, version: stored.version });
  writes.push({ kind, key, put: withField(stored.value, 'user', to) });
}

/** `meta/administrator` names who acts at the local command line. */
async function rewriteAdministrator(options: Rewriting & { readonly from: UserName }): Promise<void> {
  const { roster, from, to, checks, writes } = options;
  const stored = await roster.store.get('meta', 'administrator');
  if (stored === undefined || !isJsonObject(stored.value) || stored.value['name'] !== from) return;
  checks.push({ kind: 'meta', key: 'administrator', version: stored.version });
  writes.push({ kind: 'meta', key: 'administrator', put: withField(stored.value, 'name', to) });
}

function withField(value: Json, key: string, text: string): Json {
  return isJsonObject(value) ? { ...value, [key]: text } : { [key]: text };
}
