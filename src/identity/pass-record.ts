/**
 * A pass as it lies in the store: `pass/ID` is the pass, `pass/of/USER-ID/ID` lists those of a user, `pass/key/FINGERPRINT`
 * finds the one that a key is bound to, `pass/pushes/ID` counts its pushes where they are counted. Users are named by their id too: a later user of the same name has none of them.
 */
import type { Json } from '../base/json.ts';
import { readFields } from '../base/fields.ts';
import type { Store, Stored, Write } from '../store/store.ts';
import type { PassCredential, PassScope } from './pass-scope.ts';
import { parseUserName, type UserName } from './principal.ts';
import { renamedRecords, type Change } from './renamed.ts';

export interface Pass {
  readonly id: string;
  readonly user: UserName;
  readonly userId: string;
  /** A label; several passes may share it. */
  readonly name: string;
  readonly purpose: string;
  readonly scope: PassScope;
  /** Undefined: any number. */
  readonly pushesMax?: number;
  /** Milliseconds since 1970, here and below. */
  readonly createdAt: number;
  readonly expiresAt: number;
  /** Who made it: the name that a user had then, or the file of the rule that a CI identity met. */
  readonly issuedBy: string;
  /** Of the user who made it; absent in older records. */
  readonly issuerId?: string;
  /** Of the key it is bound to; undefined: it is a token. */
  readonly fingerprint?: string;
  /** Up to `BOUNDS.lastUseStepMs` behind; undefined: never used. */
  readonly lastUsedAt?: number;
  readonly revokedAt?: number;
}

/** SHA-256 of the token in hex; undefined: the pass is bound to a key. */
export type PassHash = string | undefined;

export function passKey(id: string): { readonly kind: 'pass'; readonly key: string } {
  return { kind: 'pass', key: id };
}

export function fingerprintKey(fingerprint: string): { readonly kind: 'pass'; readonly key: string } {
  return { kind: 'pass', key: `key/${fingerprint}` };
}

export function listingKey(userId: string, id: string): { readonly kind: 'pass'; readonly key: string } {
  return { kind: 'pass', key: `of/${userId}/${id}` };
}

/** How many pushes of the pass were committed. Written by the commit point of a push, and by nothing else. */
export function pushesKey(id: string): { readonly kind: 'pass'; readonly key: string } {
  return { kind: 'pass', key: `pushes/${id}` };
}

export function writePass(pass: Pass, hash: PassHash): Json {
  const { id: _, scope, ...fields } = pass;
  return { ...fields, scope: { ...scope }, ...(hash === undefined ? {} : { hash }) };
}

/** @throws Fault 'corrupt' */
export function readPass(stored: Stored): { readonly pass: Pass; readonly hash: PassHash } {
  const about = `pass ${stored.key}`;
  const fields = readFields(stored.value, about);
  const pushesMax = fields.optionalNumber('pushesMax');
  const fingerprint = fields.optionalText('fingerprint');
  const lastUsedAt = fields.optionalNumber('lastUsedAt');
  const revokedAt = fields.optionalNumber('revokedAt');
  const issuerId = fields.optionalText('issuerId');
  const pass = {
    id: stored.key,
    user: fields.text('user') as UserName, // taken from a user record
    userId: fields.text('userId'),
    name: fields.text('name'),
    purpose: fields.text('purpose'),
    scope: readScope(fields.raw('scope') ?? null, about),
    ...(pushesMax === undefined ? {} : { pushesMax }),
    createdAt: fields.number('createdAt'),
    expiresAt: fields.number('expiresAt'),
    issuedBy: fields.text('issuedBy'),
    ...(issuerId === undefined ? {} : { issuerId }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
    ...(revokedAt === undefined ? {} : { revokedAt }),
  };
  return { pass, hash: fields.optionalText('hash') };
}

function readScope(value: Json, about: string): PassScope {
  const fields = readFields(value, `${about}, scope`);
  return {
    repositories: fields.texts('repositories'),
    read: fields.flag('read'),
    push: fields.texts('push'),
    createOnly: fields.flag('createOnly'),
    rewind: fields.flag('rewind'),
    delete: fields.flag('delete'),
    from: fields.texts('from'),
  };
}

/** Whether it is over: expired or revoked. */
export function isEnded({ expiresAt, revokedAt }: Pick<Pass, 'expiresAt' | 'revokedAt'>, now: number): boolean {
  return revokedAt !== undefined || expiresAt <= now;
}

/** @param address the client's, as far as the door knows it. */
export function credentialOf(pass: Pass, address: string | undefined): PassCredential {
  const { id, name, purpose, scope, expiresAt, pushesMax } = pass;
  return {
    kind: 'pass',
    id,
    name,
    purpose,
    scope,
    expiresAt,
    ...issuerOf(pass),
    ...(pushesMax === undefined ? {} : { pushesMax }),
    ...(address === undefined ? {} : { address }),
  };
}

/** Who else has seen its token. A rule that a CI identity met is nobody who could act. */
function issuerOf({ user, userId, issuedBy, issuerId }: Pass): Pick<PassCredential, 'issuedBy' | 'issuerId'> {
  const name = parseUserName(issuedBy);
  if (name.kind === 'refused' || issuerId === userId) return {};
  if (issuerId !== undefined) return { issuedBy: name.value, issuerId };
  return name.value === user ? {} : { issuedBy: name.value };
}

/** For `whoami` and the API. */
export function passJson({ id, name, purpose, scope, expiresAt, pushesMax }: PassCredential): {
  readonly [key: string]: Json;
} {
  const limit = pushesMax === undefined ? {} : { pushesMax };
  return { id, name, purpose, expiresAt: new Date(expiresAt).toISOString(), ...scope, ...limit };
}

/** One of a user's passes, as the listing has it. */
export interface Listing {
  readonly id: string;
  /** When it ends or ended. */
  readonly endsAt: number;
  readonly fingerprint?: string;
}

export function writeListing({ endsAt, fingerprint }: Omit<Listing, 'id'>): Json {
  return { endsAt, ...(fingerprint === undefined ? {} : { fingerprint }) };
}

/** All passes of a user that are on record, ended ones too: at most `BOUNDS.passesPerUserMax`. */
export async function listingsOf(store: Store, userId: string): Promise<readonly Listing[]> {
  const prefix = listingKey(userId, '').key;
  return (await store.list('pass', { prefix, limit: 10_000 })).map((stored) => {
    const fields = readFields(stored.value, `pass ${stored.key}`);
    const fingerprint = fields.optionalText('fingerprint');
    const listing = { id: stored.key.slice(prefix.length), endsAt: fields.number('endsAt') };
    return fingerprint === undefined ? listing : { ...listing, fingerprint };
  });
}

/** Which pass the key is bound to; it may have ended. */
export function boundPass(stored: Stored): string {
  return readFields(stored.value, `pass ${stored.key}`).text('pass');
}

/** What takes a pass and everything that mentions it out of the store. */
export async function removalOf(store: Store, userId: string, listing: Listing): Promise<readonly Write[]> {
  const writes: Write[] = [
    { ...passKey(listing.id), delete: true },
    { ...listingKey(userId, listing.id), delete: true },
    { ...pushesKey(listing.id), delete: true },
  ];
  const unbinding = await unbindingOf(store, listing);
  return unbinding === undefined ? writes : [...writes, unbinding];
}

/** Frees the key of a pass, unless another pass has it by now. */
export async function unbindingOf(
  store: Store,
  { id, fingerprint }: Pick<Listing, 'id' | 'fingerprint'>,
): Promise<Write | undefined> {
  if (fingerprint === undefined) return undefined;
  const key = fingerprintKey(fingerprint);
  const bound = await store.get(key.kind, key.key);
  return bound !== undefined && boundPass(bound) === id ? { ...key, delete: true } : undefined;
}

/** Passes follow their user to another name: written with the change itself. */
export async function renamedPasses(store: Store, userId: string, to: UserName): Promise<Change> {
  return renamedRecords(
    store,
    (await listingsOf(store, userId)).map(({ id }) => passKey(id)),
    to,
  );
}

/** Passes end with their user. */
export async function removedPasses(store: Store, userId: string): Promise<readonly Write[]> {
  const listings = await listingsOf(store, userId);
  return (await Promise.all(listings.map((listing) => removalOf(store, userId, listing)))).flat();
}
