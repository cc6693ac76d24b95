/**
 * Credentials at rest: AES-256-GCM under a master key, a nonce of its own for each, bound to the record and the purpose
 * that it was sealed for, so that one put in another's place does not open. Nothing here logs.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { Stint } from '../base/stint.ts';
import { readFields } from '../base/fields.ts';
import { Turns } from '../repository/turns.ts';
import { listAll, type Store, type Stored, type Write } from '../store/store.ts';
import { KEY_BYTES, masterKey, purposeKey, type KeySource, type MasterKey } from './vault-keys.ts';

/** Which part of the product a secret belongs to; sealed for one, it does not open for another. */
export const SEALED_PURPOSES = ['upstream-credential', 'forge-token', 'webhook-secret'] as const;
export type SealedPurpose = (typeof SEALED_PURPOSES)[number];

export interface Secret {
  /** Key of the object of kind `sealed`. */
  readonly id: string;
  readonly purpose: SealedPurpose;
}

export interface VaultParts {
  readonly store: Store;
  readonly clock: Pick<Clock, 'randomBytes'>;
  readonly keys: KeySource;
  /** For tests: called between the steps of a rotation. */
  readonly onRekeyStep?: (step: RekeyStep) => void | Promise<void>;
}

export const REKEY_STEPS = ['key-written', 'record-resealed', 'all-resealed', 'old-key-dropped'] as const;
export type RekeyStep = (typeof REKEY_STEPS)[number];

export interface Rekeyed {
  readonly keyId: string;
  /** Credentials that were sealed anew. */
  readonly resealed: number;
  /** Ids of damaged ones that were removed. */
  readonly dropped: readonly string[];
}

/** A credential that does not open. */
export interface Unreadable {
  readonly id: string;
  /** The key that it was sealed with, which is not here; undefined: it is damaged, and no key opens it. */
  readonly lacksKey: string | undefined;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TURN = 'vault';
const IDS_SHOWN = 8;

export class Vault {
  readonly #parts: VaultParts;
  /** Sealing and rotating take turns: what was sealed with a key is stored before that key is dropped. */
  readonly #turns = new Turns();
  #keys: readonly MasterKey[] = [];

  private constructor(parts: VaultParts) {
    this.#parts = parts;
  }

  /**
   * Reads the keys, and finishes a rotation that was cut off. Opens also where keys are missing: `problem` says so.
   * @throws Fault with a public message where there are keys that cannot be read.
   */
  static async open(parts: VaultParts): Promise<Vault> {
    const vault = new Vault(parts);
    vault.#keys = await parts.keys.read();
    if (parts.keys.write !== undefined && vault.#keys.length > 1 && (await vault.problem()) === undefined) {
      await vault.#turns.run(TURN, async () => {
        await vault.#resealAll();
        // A file that somebody else hands in keeps the old key until they take it out: nothing needs it any more.
        await vault.#dropOldKeys().catch((error: unknown) => {
          if (!(error instanceof Fault) || error.code !== 'usage') throw error;
        });
      });
    }
    return vault;
  }

  /** Why some credential cannot be opened, in words for the operator; undefined where each can. */
  async problem(): Promise<string | undefined> {
    return this.#problemOf(await this.unreadable());
  }

  /** Each credential that cannot be opened: all are tried. */
  async unreadable(): Promise<readonly Unreadable[]> {
    const found: Unreadable[] = [];
    const stint = new Stint();
    for await (const stored of listAll(this.#parts.store, 'sealed')) {
      if (stint.isOver) await stint.rest();
      const sealed = sealedOf(stored);
      const lacksKey = sealed !== undefined && this.#key(sealed.keyId) === undefined ? sealed.keyId : undefined;
      if (lacksKey !== undefined) found.push({ id: stored.key, lacksKey });
      else if (sealed === undefined || !this.#opens(stored, sealed.purpose)) found.push({ id: stored.key, lacksKey });
    }
    return found;
  }

  #opens(stored: Stored, purpose: SealedPurpose): boolean {
    try {
      this.#opened(stored, purpose).fill(0);
      return true;
    } catch (error) {
      if (error instanceof Fault && error.code === 'corrupt') return false;
      throw error;
    }
  }

  #problemOf(unreadable: readonly Unreadable[]): string | undefined {
    const damaged = unreadable.filter(({ lacksKey }) => lacksKey === undefined).map(({ id }) => id);
    const missing = new Set(unreadable.flatMap(({ lacksKey }) => lacksKey ?? []));
    const words: string[] = [];
    if (damaged.length > 0) words.push(`damaged sealed credentials: ${shortList(damaged)}`);
    if (missing.size > 0) words.push(this.#lacking([...missing]));
    return words.length === 0 ? undefined : words.join('; ');
  }

  /**
   * Seals `text` and stores it: `commit` puts the write into its transaction.
   * @throws Fault with a public message where there is no key to seal with.
   */
  async seal<T>(secret: Secret & { readonly text: string }, commit: (write: Write) => Promise<T>): Promise<T> {
    return this.#turns.run(TURN, async () => commit(this.#sealed(await this.#current(), secret)));
  }

  /** What was sealed. @throws Fault `missing`, or `corrupt` where it does not open; never with anything of the secret. */
  async open(secret: Secret): Promise<string> {
    const stored = await this.#parts.store.get('sealed', secret.id);
    if (stored === undefined) {
      throw new Fault('missing', 'sealed credential is gone', {
        publicMessage: 'its credential is gone',
        context: { id: secret.id },
      });
    }
    return this.#opened(stored, secret.purpose).toString('utf8');
  }

  /**
   * Another master key: every record is sealed anew, then the old key is forgotten. Until then both are kept, so a crash
   * at any moment leaves everything readable, and the next start goes on. With keys from the environment, seals everything
   * under the first of them. @throws Fault with a public message where a record cannot be opened: nothing is changed.
   * @param dropDamaged removes what no key opens. What is sealed with a key that is not here may open some day: it stays.
   */
  async rekey({ dropDamaged = false }: { readonly dropDamaged?: boolean } = {}): Promise<Rekeyed> {
    return this.#turns.run(TURN, async () => {
      const unreadable = await this.unreadable();
      const dropped = dropDamaged ? unreadable.filter(({ lacksKey }) => lacksKey === undefined) : [];
      const problem = this.#problemOf(unreadable.filter((each) => !dropped.includes(each)));
      if (problem !== undefined) throw unusable(problem);
      const { keys, clock, store, onRekeyStep } = this.#parts;
      if (keys.write !== undefined) {
        const fresh = [masterKey(clock.randomBytes(KEY_BYTES)), ...this.#keys];
        await keys.write(fresh);
        this.#keys = fresh;
        await onRekeyStep?.('key-written');
      }
      // Not before: where the key file cannot be replaced, nothing is changed.
      for (const { id: key } of dropped) await store.transact({ writes: [{ kind: 'sealed', key, delete: true }] });
      const done = await this.#resealAll();
      await this.#dropOldKeys();
      return { ...done, dropped: dropped.map(({ id }) => id) };
    });
  }

  /** Everything under the first key. */
  async #resealAll(): Promise<Omit<Rekeyed, 'dropped'>> {
    const { store, keys, onRekeyStep } = this.#parts;
    const [current] = this.#keys;
    if (current === undefined) throw unusable(`there is no vault key: ${keys.name} has none`);
    let resealed = 0;
    for await (const stored of listAll(store, 'sealed')) {
      if (readSealed(stored).keyId === current.id) continue;
      await this.#resealOne(stored, current);
      resealed += 1;
      await onRekeyStep?.('record-resealed');
    }
    await onRekeyStep?.('all-resealed');
    return { keyId: current.id, resealed };
  }

  /** Only the first key stays. @throws Fault `usage` where the keys cannot be replaced */
  async #dropOldKeys(): Promise<void> {
    const { keys, onRekeyStep } = this.#parts;
    const [current, ...old] = this.#keys;
    if (current === undefined || old.length === 0 || keys.write === undefined) return;
    await keys.write([current]);
    this.#keys = [current];
    await onRekeyStep?.('old-key-dropped');
  }

  async #resealOne(stored: Stored, current: MasterKey): Promise<void> {
    const { purpose } = readSealed(stored);
    const text = this.#opened(stored, purpose).toString('utf8');
    const write = this.#sealed(current, { id: stored.key, purpose, text });
    const check = { kind: 'sealed', key: stored.key, version: stored.version } as const;
    // One that was deleted meanwhile needs no other key.
    const done = await this.#parts.store.transact({ checks: [check], writes: [write] });
    if (done.kind === 'conflict' && done.found !== undefined) {
      throw new Fault('conflict', 'sealed credential changed meanwhile', { context: { id: stored.key } });
    }
  }

  /** The key that seals; made where none was ever needed. */
  async #current(): Promise<MasterKey> {
    const { keys, clock } = this.#parts;
    const [known] = this.#keys;
    if (known !== undefined) return known;
    const problem = await this.problem();
    if (problem !== undefined) throw unusable(problem);
    if (keys.write === undefined) throw unusable(`there is no vault key: ${keys.name} is not set`);
    const fresh = masterKey(clock.randomBytes(KEY_BYTES));
    await keys.write([fresh]);
    this.#keys = [fresh];
    return fresh;
  }

  #sealed(key: MasterKey, { id, purpose, text }: Secret & { readonly text: string }): Write {
    const nonce = this.#parts.clock.randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', purposeKey(key, purpose), nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(boundTo({ id, purpose }, key.id));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    const put = { form: 1, purpose, keyId: key.id, nonce: nonce.toString('base64'), sealed: sealed.toString('base64') };
    return { kind: 'sealed', key: id, put };
  }

  #opened(stored: Stored, purpose: SealedPurpose): Buffer {
    const record = readSealed(stored);
    const key = this.#key(record.keyId);
    if (key === undefined) throw unusable(this.#lacking([record.keyId]));
    try {
      const nonce = Buffer.from(record.nonce, 'base64');
      const sealed = Buffer.from(record.sealed, 'base64');
      const cut = sealed.length - TAG_BYTES;
      const cipher = createDecipheriv('aes-256-gcm', purposeKey(key, purpose), nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(boundTo({ id: stored.key, purpose }, key.id));
      cipher.setAuthTag(sealed.subarray(cut));
      return Buffer.concat([cipher.update(sealed.subarray(0, cut)), cipher.final()]);
    } catch (cause) {
      throw new Fault('corrupt', 'sealed credential was changed', {
        cause,
        context: { id: stored.key },
        publicMessage: 'its sealed credential was changed on disk and does not open: give it anew',
      });
    }
  }

  #key(id: string): MasterKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  #lacking(ids: readonly string[]): string {
    const had = this.#keys.length === 0 ? 'has none' : `has ${this.#keys.map(({ id }) => id).join(', ')}`;
    return `credentials are sealed with the vault key ${ids.slice(0, 4).join(', ')}; ${this.#parts.keys.name} ${had}`;
  }
}

interface Sealed {
  readonly purpose: SealedPurpose;
  readonly keyId: string;
  readonly nonce: string;
  readonly sealed: string;
}

/** @throws Fault 'corrupt' */
function readSealed(stored: Stored): Sealed {
  const fields = readFields(stored.value, `sealed ${stored.key}`);
  return {
    purpose: fields.word('purpose', SEALED_PURPOSES),
    keyId: fields.text('keyId'),
    nonce: fields.text('nonce'),
    sealed: fields.text('sealed'),
  };
}

/** Undefined: the record does not parse. */
function sealedOf(stored: Stored): Sealed | undefined {
  try {
    return readSealed(stored);
  } catch (error) {
    if (error instanceof Fault && error.code === 'corrupt') return undefined;
    throw error;
  }
}

/** What a sealed text is bound to: moved to another record, or said to be for something else, it does not open. */
function boundTo({ id, purpose }: Secret, keyId: string): Buffer {
  return Buffer.from(`${JSON.stringify(['gatehouse sealed 1', purpose, id, keyId])}\n`);
}

function shortList(ids: readonly string[]): string {
  const more = ids.length > IDS_SHOWN ? ` and ${ids.length - IDS_SHOWN} more` : '';
  return `${ids.slice(0, IDS_SHOWN).join(', ')}${more}`;
}

function unusable(publicMessage: string): Fault {
  return new Fault('corrupt', 'vault lacks a key', { publicMessage });
}
