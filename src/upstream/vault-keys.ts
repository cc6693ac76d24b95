/**
 * Master keys of the vault: 32 bytes each, from a file that only the gate's account reads, or from the environment. The
 * first seals; those behind it only open, while a rotation is on its way.
 */
import { createHash, hkdfSync } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { writeFileDurably } from '../base/durable.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';

export const KEY_BYTES = 32;
/** Keys in one file: one, two while it is replaced, more where replacements were cut off again and again. */
const KEYS_MAX = 16;
const FILE_BYTES_MAX = 16 * 1024;

/** A master key. Two keys never have the same id. */
export interface MasterKey {
  /** 16 hex digits that say nothing about the bytes. */
  readonly id: string;
  readonly bytes: Buffer;
}

export interface KeySource {
  /** For people: `the file /srv/gate/vault.key`. */
  readonly name: string;
  /** The current one first; empty: there is none yet. @throws Fault with a public message where they cannot be read. */
  read(): Promise<readonly MasterKey[]>;
  /** Replaces them durably; absent: whoever sets the environment does. */
  readonly write?: (keys: readonly MasterKey[]) => Promise<void>;
}

export function masterKey(bytes: Buffer): MasterKey {
  return {
    bytes,
    id: createHash('sha256').update('gatehouse vault key id\n').update(bytes).digest('hex').slice(0, 16),
  };
}

/** What seals one purpose: keys of different purposes have nothing to do with each other. */
export function purposeKey({ bytes }: MasterKey, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', bytes, Buffer.alloc(0), `gatehouse vault ${purpose}`, KEY_BYTES));
}

/** 64 hex digits, or base64 of 32 bytes (padding may be left out). */
export function parseMasterKey(text: string): Parsed<MasterKey> {
  const word = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(word)) return ok(masterKey(Buffer.from(word, 'hex')));
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(word)) {
    const bytes = Buffer.from(word, 'base64');
    if (bytes.length === KEY_BYTES) return ok(masterKey(bytes));
  }
  return refuse('a vault key is 32 random bytes, in base64 or as 64 hex digits: openssl rand -base64 32');
}

/** Keys in a file, one a line; lines that start with `#` are for people. Made where it is absent, at the first `write`. */
export function keyFile(path: string): KeySource {
  return {
    name: `the file ${path}`,
    async read() {
      const text = await readKeyFile(path);
      return text === undefined ? [] : parseKeyLines(text, path);
    },
    async write(keys) {
      // One more, and no start would read it again.
      if (keys.length > KEYS_MAX)
        throw keyFault('vault key file is full', `${path} has all the keys that it can hold: ${FINISH_FIRST}`);
      const lines = keys.map(({ bytes }) => `${bytes.toString('base64')}\n`);
      const caption = '# Opens the credentials of this gate. Keep a copy where the data directory is not.\n';
      await writeFileDurably(path, caption + lines.join(''), { mode: 0o600 }).catch((cause: unknown) => {
        const hint = `the vault key ${path} cannot be replaced here: nothing is changed. Replace it where it comes from`;
        throw keyFault('vault key file cannot be written', hint, cause);
      });
    },
  };
}

const FINISH_FIRST = 'nothing is changed. Start the gate again, which finishes what was cut off and drops old keys';

/** Keys that came with the environment: the current one, and where it replaces another, that one. */
export function givenKeys(keys: readonly MasterKey[]): KeySource {
  return { name: 'GATEHOUSE_VAULT_KEY', read: async () => keys };
}

/** Takes the keys out of an environment, so that nothing that is started later sees them. */
export function takeKeysFrom(env: NodeJS.ProcessEnv): Parsed<KeySource | undefined> {
  const keys: MasterKey[] = [];
  for (const name of ['GATEHOUSE_VAULT_KEY', 'GATEHOUSE_VAULT_OLD_KEY']) {
    const text = env[name];
    delete env[name];
    if (text === undefined || text === '') continue;
    const key = parseMasterKey(text);
    if (key.kind === 'refused') return refuse(`${name}: ${key.reason}`);
    if (name === 'GATEHOUSE_VAULT_OLD_KEY' && keys.length === 0)
      return refuse('GATEHOUSE_VAULT_OLD_KEY is given without GATEHOUSE_VAULT_KEY');
    keys.push(key.value);
  }
  return ok(keys.length === 0 ? undefined : givenKeys(keys));
}

/**
 * Why a key file with these permissions is not used; undefined: it is. A file of our own is for us alone, as ssh wants its
 * keys. One that root owns cannot be changed by us, and its group is the way in which systemd (`LoadCredential=`, where the
 * group's bits are the mask of an access list), containers and orchestrators give a secret to one account.
 * @param ownUid the account of the gate; undefined: there are no accounts here
 */
export function keyFileProblem(
  { mode, uid, path }: { readonly mode: number; readonly uid: number; readonly path: string },
  ownUid = process.geteuid?.(),
): string | undefined {
  if (ownUid === undefined) return undefined;
  if (uid !== ownUid && uid !== 0)
    return `the vault key belongs to another account, which could replace it: chown ${ownUid} ${path}`;
  const isGiven = uid !== ownUid;
  const open = mode & (isGiven ? 0o027 : 0o077);
  if (open === 0) return undefined;
  if ((open & 0o007) === 0 && (open & 0o020) === 0)
    return `the group of the file may read the vault key: chmod 600 ${path}`;
  return `others may read or write the vault key: chmod ${isGiven ? '440' : '600'} ${path}`;
}

/** Undefined where there is none. */
async function readKeyFile(path: string): Promise<string | undefined> {
  try {
    const { mode, uid, size } = await stat(path);
    const wrong = keyFileProblem({ mode, uid, path });
    if (wrong !== undefined) throw keyFault('vault key file is open to others', wrong);
    if (size > FILE_BYTES_MAX) throw keyFault('vault key file is too large', `${path} is no file of vault keys`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw keyFault('vault key file cannot be read', `the vault key ${path} cannot be read`, cause);
  }
}

function parseKeyLines(text: string, path: string): readonly MasterKey[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const keys = lines.slice(0, KEYS_MAX).map(parseMasterKey);
  const parsed = keys.flatMap((key) => (key.kind === 'ok' ? [key.value] : []));
  if (lines.length === 0 || parsed.length < lines.length) {
    throw keyFault('vault key file is malformed', `${path} is no file of vault keys: it needs one key on each line`);
  }
  return parsed;
}

function keyFault(message: string, publicMessage: string, cause?: unknown): Fault {
  return new Fault('usage', message, { publicMessage, cause });
}
