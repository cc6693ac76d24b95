/** Public keys as the SSH door accepts them: which kinds, and how a signature by one is checked. */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import ssh2, { type ParsedKey } from 'ssh2';

/** Key types that may log in. RSA only signs with SHA-2 (RFC 8332); ssh-dss and the SHA-1 ssh-rsa are gone. */
const KEY_TYPES: ReadonlySet<string> = new Set([
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
]);

/** A public-key request of a client (RFC 4252, 7), the parts of it that matter here. */
export interface KeyOffer {
  /** The key's type; for RSA with any hash `ssh-rsa`. */
  readonly type: string;
  readonly blob: Buffer;
  /** `sha256` or `sha512` for RSA with SHA-2. */
  readonly hash: string | undefined;
  /** Absent: the client only asks whether this key would do. */
  readonly proof: { readonly signed: Buffer; readonly signature: Buffer } | undefined;
}

/** The kind of key and of signature are ones that this door takes. Costs no cryptography. */
export function isModern(offer: KeyOffer): boolean {
  if (!KEY_TYPES.has(offer.type)) return false;
  return offer.type === 'ssh-rsa' ? offer.hash === 'sha256' || offer.hash === 'sha512' : offer.hash === undefined;
}

/** Whether the signature is by this key over what the client had to sign. */
export function isProven(offer: KeyOffer, proof: NonNullable<KeyOffer['proof']>): boolean {
  try {
    if (offer.type === 'ssh-ed25519') {
      const key = ed25519Key(offer.blob);
      return key !== undefined && verify(null, proof.signed, key, proof.signature);
    }
    const parsed = ssh2.utils.parseKey(offer.blob);
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    // A key of one type offered under the name of another would pick its own rules.
    if (key === undefined || key instanceof Error || key.type !== offer.type) return false;
    // In its types `verify` answers a boolean; in truth it may answer an Error, which is not true.
    const verified: unknown = key.verify(proof.signed, proof.signature, offer.hash);
    return verified === true;
  } catch {
    // ssh2 and node:crypto throw on some malformed keys and signatures: those prove nothing.
    return false;
  }
}

/** `ssh-ed25519`, then 32 bytes, each with its length (RFC 8709, 4). Half of what ssh2 does is to write PEM for node:crypto to read. */
const ED25519_HEAD = Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20', 'latin1');
const ED25519_BYTES = 32;

function ed25519Key(blob: Buffer): KeyObject | undefined {
  const isOne = blob.length === ED25519_HEAD.length + ED25519_BYTES && blob.indexOf(ED25519_HEAD) === 0;
  if (!isOne) return undefined;
  const key = blob.subarray(ED25519_HEAD.length);
  return createPublicKey({ key, format: 'raw-public', asymmetricKeyType: 'ed25519' });
}

/**
 * A host key that signs without reading its PEM anew for each connection.
 * @param text in OpenSSH's private key format.
 */
export function readHostKey(text: string): ParsedKey | Error {
  const parsed: ParsedKey | Error = ssh2.utils.parseKey(text);
  if (parsed instanceof Error || !parsed.isPrivateKey()) return parsed;
  const key = createPrivateKey(parsed.getPrivatePEM());
  const plain = parsed.sign.bind(parsed);
  // With ssh2 an RSA key's hash comes from the negotiation, and ed25519 has its own.
  parsed.sign = (data, hash) => {
    if (parsed.type === 'ssh-ed25519') return sign(null, toBytes(data), key);
    return hash === undefined ? plain(data) : sign(hash, toBytes(data), key);
  };
  return parsed;
}

function toBytes(data: Buffer | string): Buffer {
  return typeof data === 'string' ? Buffer.from(data) : data;
}

/** `SHA256:...` as ssh-keygen -l prints it. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
