/**
 * The SSH host keys: made at first start, kept for ever after, since clients remember them. A key that is half
 * written is never used: the private key appears under its name whole and synced, or not at all.
 */
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2, { type ParsedKey } from 'ssh2';
import { Fault } from '../base/fault.ts';
import { writeFileDurably } from '../base/durable.ts';
import { fingerprintOf } from './ssh-key.ts';

export interface HostKey {
  readonly type: string;
  /** OpenSSH private key format, for the SSH server. */
  readonly privateKey: string;
  /** `SHA256:...` as ssh-keygen -l prints it. */
  readonly fingerprint: string;
  /** `ssh-ed25519 AAAA...`, for known_hosts. */
  readonly publicKey: string;
}

/** In the order in which they are offered. */
export const HOST_KEY_KINDS = [
  { name: 'ed25519', type: 'ed25519', options: undefined },
  { name: 'ecdsa', type: 'ecdsa', options: { bits: 256 } },
  { name: 'rsa', type: 'rsa', options: { bits: 3_072 } },
] as const;

/**
 * The host keys in `directory`, made where they are missing.
 * @throws Fault 'corrupt' where a key file is there and cannot be read: a new key would make every client refuse.
 */
export async function loadHostKeys(directory: string): Promise<readonly HostKey[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const keys: HostKey[] = [];
  for (const wanted of HOST_KEY_KINDS) {
    const path = join(directory, `ssh_host_${wanted.name}_key`);
    const privateKey = (await readIfThere(path)) ?? (await make(path, wanted));
    // A restored backup may have lost the mode.
    await chmod(path, 0o600);
    keys.push(describe(path, privateKey));
  }
  return keys;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Fault('corrupt', 'cannot read host key', { cause: error, context: { path } });
  }
}

async function make(path: string, wanted: HostKeyKind): Promise<string> {
  const pair = await generateHostKey(wanted);
  // The public half is a convenience for people; the private half counts, and comes last.
  await writeFileDurably(`${path}.pub`, `${pair.public}\n`, { mode: 0o644 });
  await writeFileDurably(path, pair.private, { mode: 0o600 });
  return pair.private;
}

type HostKeyKind = (typeof HOST_KEY_KINDS)[number];

interface KeyPair {
  readonly private: string;
  readonly public: string;
}

/**
 * A key pair that was seen to work: ssh2 1.17 writes about one ed25519 key in 170 in a form that nobody can read.
 * @throws Fault 'internal' where ten in a row are no good.
 */
export async function generateHostKey(wanted: HostKeyKind): Promise<KeyPair> {
  for (let attempt = 0; attempt < GENERATIONS_MAX; attempt += 1) {
    const pair = await generateOnce(wanted);
    if (isSound(pair)) return pair;
  }
  throw new Fault('internal', 'cannot make a sound host key', { context: { type: wanted.type } });
}

const GENERATIONS_MAX = 10;

function generateOnce(wanted: HostKeyKind): Promise<KeyPair> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, keys: KeyPair): void => {
      if (error) reject(new Fault('internal', 'cannot make host key', { cause: error }));
      else resolve(keys);
    };
    if (wanted.type === 'ed25519') ssh2.utils.generateKeyPair('ed25519', done);
    else if (wanted.type === 'ecdsa') ssh2.utils.generateKeyPair('ecdsa', wanted.options, done);
    else ssh2.utils.generateKeyPair('rsa', wanted.options, done);
  });
}

/** Both halves can be read, and what the private one signs the public one verifies. */
function isSound(pair: KeyPair): boolean {
  const [secret, open]: (ParsedKey | Error)[] = [ssh2.utils.parseKey(pair.private), ssh2.utils.parseKey(pair.public)];
  if (secret === undefined || open === undefined || secret instanceof Error || open instanceof Error) return false;
  const probe = Buffer.from('gatehouse');
  const signature: unknown = secret.sign(probe);
  return Buffer.isBuffer(signature) && open.verify(probe, signature);
}

function describe(path: string, privateKey: string): HostKey {
  const parsed: ParsedKey | Error = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error || !parsed.isPrivateKey()) {
    const publicMessage = `the host key ${path} is damaged: restore it, or remove it to have a new one made`;
    const cause = parsed instanceof Error ? parsed : undefined;
    throw new Fault('corrupt', 'host key is damaged', { cause, context: { path }, publicMessage });
  }
  const blob = parsed.getPublicSSH();
  return {
    type: parsed.type,
    privateKey,
    fingerprint: fingerprintOf(blob),
    publicKey: `${parsed.type} ${blob.toString('base64')}`,
  };
}
