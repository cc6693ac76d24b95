/** SSH keys: each belongs to one user and is found by its fingerprint, never by looking through users. */
import { BOUNDS } from '../base/bounds.ts';
import { readFields } from '../base/fields.ts';
import { refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { Check, Stored } from '../store/store.ts';
import { recordUse } from './last-use.ts';
import { boundPass, fingerprintKey, isEnded, readPass } from './pass-record.ts';
import type { UserName } from './principal.ts';
import { fingerprintOf, parsePublicKey, type PublicKey } from './public-key.ts';
import { shown, type Roster } from './roster.ts';
import { parseLabel } from './user-record.ts';

export interface Key {
  readonly user: UserName;
  /** Unique among the user's keys. */
  readonly tag: string;
  readonly fingerprint: string;
  readonly type: string;
  readonly bits: number;
  readonly comment: string;
  /** The wire form in base64. */
  readonly blob: string;
  /** Milliseconds since 1970. */
  readonly addedAt: number;
  /** Up to `BOUNDS.lastUseStepMs` behind; undefined: never used. */
  readonly lastUsedAt?: number;
}

export class Keys {
  readonly #roster: Roster;

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  /** @param fresh `text`: one OpenSSH public key line. */
  async add(fresh: { readonly user: string; readonly tag: string; readonly text: string }): Promise<Parsed<Key>> {
    const tag = parseLabel(fresh.tag, 'a key tag');
    if (tag.kind === 'refused') return tag;
    const parsed = parsePublicKey(fresh.text);
    if (parsed.kind === 'refused') return parsed;
    const { fingerprint } = parsed.value;
    return this.#roster.changeUser<Key>(fresh.user, async (user) => {
      const twin = user.keys.find((key) => key.fingerprint === fingerprint);
      if (twin !== undefined) return refuse(`this key is already there, as ${twin.tag}`);
      if (user.keys.some((key) => key.tag === tag.value)) return refuse(`there is already a key ${tag.value}`);
      if (user.keys.length >= BOUNDS.keysPerUserMax) return refuse(`a user has at most ${BOUNDS.keysPerUserMax} keys`);
      // Whose it is stays unsaid.
      if ((await this.#roster.store.get('key', fingerprint)) !== undefined) return refuse('this key is in use already');
      const bound = await boundOf(this.#roster, fingerprint);
      if (bound.isGood) return refuse('this key is in use already');
      const key = makeKey({ user: user.name, tag: tag.value, key: parsed.value, addedAt: this.#roster.clock.now() });
      return {
        kind: 'change',
        user: { ...user, keys: [...user.keys, { tag: tag.value, fingerprint }] },
        checks: [{ kind: 'key', key: fingerprint, version: 0 }, bound.check],
        writes: [{ kind: 'key', key: fingerprint, put: writeKey(key) }],
        value: () => key,
      };
    });
  }

  /** `inUseFingerprint`: the key of the running request, which is not deleted: nobody locks themselves out. */
  del(gone: {
    readonly user: string;
    readonly tag: string;
    readonly inUseFingerprint?: string;
  }): Promise<Parsed<void>> {
    return this.#roster.changeUser<void>(gone.user, async (user) => {
      const mention = user.keys.find((key) => key.tag === gone.tag);
      if (mention === undefined) return refuse(`there is no key ${shown(gone.tag)}`);
      if (mention.fingerprint === gone.inUseFingerprint) {
        return refuse(`${mention.tag} is the key in use: log in with another one to delete it`);
      }
      return {
        kind: 'change',
        user: { ...user, keys: user.keys.filter((key) => key !== mention) },
        writes: [{ kind: 'key', key: mention.fingerprint, delete: true }],
        value: () => undefined,
      };
    });
  }

  /** In the order they were added; none for an unknown user. */
  async list(userName: string): Promise<readonly Key[]> {
    const user = await this.#roster.user(userName);
    const stored = await Promise.all(
      (user?.keys ?? []).map(({ fingerprint }) => this.#roster.store.get('key', fingerprint)),
    );
    return stored.filter((found) => found !== undefined).map(readKey);
  }

  /** Whose key has this fingerprint now. */
  async holder(fingerprint: string): Promise<UserName | undefined> {
    const stored = await this.#roster.store.get('key', fingerprint);
    return stored === undefined ? undefined : readKey(stored).user;
  }

  /** The key whose wire form this is, and a note that it was used. */
  async use(blob: Uint8Array): Promise<Key | undefined> {
    const stored = await this.#roster.store.get('key', fingerprintOf(blob));
    if (stored === undefined) return undefined;
    await recordUse(this.#roster, stored);
    return readKey(stored);
  }
}

/** Whether a pass that has not ended is bound to this key, and the condition that this stays as it is. */
async function boundOf(
  { store, clock }: Roster,
  fingerprint: string,
): Promise<{ readonly isGood: boolean; readonly check: Check }> {
  const key = fingerprintKey(fingerprint);
  const bound = await store.get(key.kind, key.key);
  const stored = bound && (await store.get('pass', boundPass(bound)));
  const isGood = stored !== undefined && !isEnded(readPass(stored).pass, clock.now());
  return { isGood, check: { ...key, version: bound?.version ?? 0 } };
}

export function makeKey(options: {
  readonly user: UserName;
  readonly tag: string;
  readonly key: PublicKey;
  readonly addedAt: number;
}): Key {
  const { type, bits, fingerprint, comment, blob } = options.key;
  const { user, tag, addedAt } = options;
  return { user, tag, fingerprint, type, bits, comment, blob: blob.toString('base64'), addedAt };
}

export function writeKey(key: Key): Json {
  const { fingerprint: _, ...fields } = key;
  return { ...fields };
}

/** @throws Fault 'corrupt' */
function readKey(stored: Stored): Key {
  const fields = readFields(stored.value, `key ${stored.key}`);
  const lastUsedAt = fields.optionalNumber('lastUsedAt');
  return {
    user: fields.text('user') as UserName, // taken from a user record
    tag: fields.text('tag'),
    fingerprint: stored.key,
    type: fields.text('type'),
    bits: fields.number('bits'),
    comment: fields.text('comment'),
    blob: fields.text('blob'),
    addedAt: fields.number('addedAt'),
    ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
  };
}
