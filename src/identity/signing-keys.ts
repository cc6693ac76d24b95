/**
 * Keys that sign commits, tags and pushes: SSH keys and OpenPGP keys that their users registered. They open no door. Each
 * belongs to one user, and none is the login key of another.
 */
import { BOUNDS } from '../base/bounds.ts';
import { readFields } from '../base/fields.ts';
import { refuse, type Parsed } from '../base/fault.ts';
import { listAll, type Check, type Store, type Stored, type Write } from '../store/store.ts';
import { parseOpenPgpKey } from './openpgp.ts';
import type { UserName } from './principal.ts';
import { fingerprintOf, parsePublicKey } from './public-key.ts';
import { renamedRecords, type Change } from './renamed.ts';
import { shown, type Roster } from './roster.ts';
import { isSigningKeyBlob } from './ssh-signature.ts';
import { parseLabel } from './user-record.ts';

export const SIGNATURE_FORMATS = ['ssh', 'openpgp'] as const;
export type SignatureFormat = (typeof SIGNATURE_FORMATS)[number];

export interface SigningKey {
  readonly user: UserName;
  /** Unique among the user's signing keys. */
  readonly tag: string;
  readonly format: SignatureFormat;
  /** `SHA256:...`, or `OPENPGP:` and hex digits. */
  readonly fingerprint: string;
  readonly type: string;
  readonly comment: string;
  /** The wire form in base64, or the armored key. */
  readonly text: string;
  /** Of an OpenPGP key and its subkeys. */
  readonly keyIds: readonly string[];
  /** Milliseconds since 1970. */
  readonly addedAt: number;
}

/*
 * Three kinds of entries: `key/FINGERPRINT` is the key; `id/KEYID` leads from an OpenPGP signature to it; `user/ID/TAG` lists
 * a user's. User ids stay over renames, names in keys are rewritten.
 */
const KIND = 'signing-key';
const keyAt = (fingerprint: string): string => `key/${fingerprint}`;
const idAt = (keyId: string): string => `id/${keyId}`;
const listedAt = (userId: string, tag = ''): string => `user/${userId}/${tag}`;

export class SigningKeys {
  readonly #roster: Roster;

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  /** @param fresh `text`: one OpenSSH public key line, or one armored OpenPGP public key. */
  async add(fresh: {
    readonly user: string;
    readonly tag: string;
    readonly text: string;
  }): Promise<Parsed<SigningKey>> {
    const tag = parseLabel(fresh.tag, 'a key tag');
    if (tag.kind === 'refused') return tag;
    const read = await readPublic(fresh.text);
    if (read.kind === 'refused') return read;
    const { fingerprint, keyIds } = read.value;
    const { store, clock } = this.#roster;
    return this.#roster.changeUser<SigningKey>(fresh.user, async (user) => {
      const own = await this.#listed(user.id);
      if (own.some((key) => key.fingerprint === fingerprint)) return refuse('this signing key is already there');
      if (own.some((key) => key.tag === tag.value)) return refuse(`there is already a signing key ${tag.value}`);
      if (own.length >= BOUNDS.signingKeysPerUserMax) {
        return refuse(`a user has at most ${BOUNDS.signingKeysPerUserMax} signing keys`);
      }
      const taken = [keyAt(fingerprint), ...keyIds.map(idAt)];
      // Whose it is stays unsaid.
      for (const key of taken)
        if ((await store.get(KIND, key)) !== undefined) return refuse('this key is in use already');
      const login = await store.get('key', fingerprint);
      if (login !== undefined && userOf(login) !== user.name) return refuse('this key is in use already');
      const key: SigningKey = { ...read.value, user: user.name, tag: tag.value, addedAt: clock.now() };
      const { fingerprint: _, ...fields } = key;
      return {
        kind: 'change',
        user: { ...user },
        checks: [
          ...taken.map((at): Check => ({ kind: KIND, key: at, version: 0 })),
          { kind: 'key', key: fingerprint, version: login?.version ?? 0 },
        ],
        writes: [
          { kind: KIND, key: keyAt(fingerprint), put: { ...fields } },
          ...keyIds.map((id): Write => ({ kind: KIND, key: idAt(id), put: { fingerprint } })),
          { kind: KIND, key: listedAt(user.id, tag.value), put: { fingerprint } },
        ],
        value: () => key,
      };
    });
  }

  del(gone: { readonly user: string; readonly tag: string }): Promise<Parsed<SigningKey>> {
    return this.#roster.changeUser<SigningKey>(gone.user, async (user) => {
      const key = (await this.#listed(user.id)).find(({ tag }) => tag === gone.tag);
      if (key === undefined) return refuse(`there is no signing key ${shown(gone.tag)}`);
      return { kind: 'change', user: { ...user }, writes: removalOf(user.id, key), value: () => key };
    });
  }

  /** In the order of tags; none for an unknown user. */
  async list(userName: string): Promise<readonly SigningKey[]> {
    const user = await this.#roster.user(userName);
    return user === undefined ? [] : this.#listed(user.id);
  }

  /** Of anybody. */
  async find(fingerprint: string): Promise<SigningKey | undefined> {
    const stored = await this.#roster.store.get(KIND, keyAt(fingerprint));
    return stored === undefined ? undefined : readKey(stored);
  }

  /** The OpenPGP key that has this id, or a subkey with it. */
  async byKeyId(keyId: string): Promise<SigningKey | undefined> {
    const stored = await this.#roster.store.get(KIND, idAt(keyId));
    return stored === undefined ? undefined : this.find(fingerprintIn(stored));
  }

  #listed(userId: string): Promise<readonly SigningKey[]> {
    return keysOf(this.#roster.store, userId);
  }
}

/** What a user's new name changes. */
export async function renamedSigningKeys(store: Store, userId: string, to: UserName): Promise<Change> {
  return renamedRecords(
    store,
    (await keysOf(store, userId)).map(({ fingerprint }) => ({ kind: KIND, key: keyAt(fingerprint) })),
    to,
  );
}

/** They go with their user. */
export async function removedSigningKeys(store: Store, userId: string): Promise<readonly Write[]> {
  return (await keysOf(store, userId)).flatMap((key) => removalOf(userId, key));
}

type Public = Omit<SigningKey, 'user' | 'tag' | 'addedAt'>;

async function readPublic(text: string): Promise<Parsed<Public>> {
  if (text.includes('BEGIN PGP')) {
    const read = await parseOpenPgpKey(text);
    if (read.kind === 'refused') return read;
    const { armored, ...about } = read.value;
    return { kind: 'ok', value: { ...about, format: 'openpgp', text: armored } };
  }
  const token = tokenKey(text);
  if (token !== undefined) return token;
  const read = parsePublicKey(text);
  if (read.kind === 'refused') return read;
  const { type, fingerprint, comment, blob } = read.value;
  return {
    kind: 'ok',
    value: { format: 'ssh', type, fingerprint, comment, text: blob.toString('base64'), keyIds: [] },
  };
}

/** A key of a security token; it cannot log in here yet, but it can sign. Undefined where it is none. */
function tokenKey(text: string): Parsed<Public> | undefined {
  const [, type, base64 = '', comment = ''] =
    /^(sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) ([A-Za-z0-9+/]+={0,2})(?: ([\x20-\x7e]{0,200}))?$/.exec(
      text.trim(),
    ) ?? [];
  if (type === undefined) return undefined;
  const blob = Buffer.from(base64, 'base64');
  if (blob.toString('base64') !== base64 || !blob.subarray(4).toString('latin1').startsWith(type)) {
    return refuse(`that is no ${type} key: it is damaged or was cut`);
  }
  if (!isSigningKeyBlob(blob)) return refuse(`that is no ${type} key: it is damaged or was cut`);
  return {
    kind: 'ok',
    value: { format: 'ssh', type, fingerprint: fingerprintOf(blob), comment, text: base64, keyIds: [] },
  };
}

async function keysOf(store: Store, userId: string): Promise<readonly SigningKey[]> {
  const keys: SigningKey[] = [];
  for await (const listed of listAll(store, KIND, listedAt(userId))) {
    const stored = await store.get(KIND, keyAt(fingerprintIn(listed)));
    if (stored !== undefined) keys.push(readKey(stored));
  }
  return keys;
}

function removalOf(userId: string, { fingerprint, keyIds, tag }: SigningKey): readonly Write[] {
  const all = [keyAt(fingerprint), ...keyIds.map(idAt), listedAt(userId, tag)];
  return all.map((key) => ({ kind: KIND, key, delete: true }));
}

/** @throws Fault 'corrupt' */
function readKey(stored: Stored): SigningKey {
  const fields = readFields(stored.value, `signing key ${stored.key}`);
  return {
    user: fields.text('user') as UserName, // written from a user's record only
    tag: fields.text('tag'),
    format: fields.word('format', SIGNATURE_FORMATS),
    fingerprint: stored.key.slice(keyAt('').length),
    type: fields.text('type'),
    comment: fields.text('comment'),
    text: fields.text('text'),
    keyIds: fields.texts('keyIds'),
    addedAt: fields.number('addedAt'),
  };
}

function fingerprintIn(stored: Stored): string {
  return readFields(stored.value, `signing key ${stored.key}`).text('fingerprint');
}

function userOf(stored: Stored): string {
  return readFields(stored.value, `key ${stored.key}`).text('user');
}
