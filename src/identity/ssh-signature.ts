/**
 * Signatures that `ssh-keygen -Y sign` makes (OpenSSH's PROTOCOL.sshsig), as git puts them into commits, tags and push
 * certificates: read strictly, verified in this process. Whose key it is, is for the caller to say.
 */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { fingerprintOf } from './public-key.ts';

export interface SshSignature {
  /** The wire form of the key that is said to have signed. */
  readonly key: Buffer;
  /** `SHA256:...` */
  readonly fingerprint: string;
  readonly hash: 'sha256' | 'sha512';
  readonly reserved: Buffer;
  readonly algorithm: string;
  readonly signature: Buffer;
  /** Only of security tokens: flags and counter, which the signature covers. */
  readonly tokenState: Buffer | undefined;
}

const BEGIN = '-----BEGIN SSH SIGNATURE-----';
const END = '-----END SSH SIGNATURE-----';
const MAGIC = Buffer.from('SSHSIG');
const VERSION = 1;
/** An RSA key of 16,384 bits and its signature take 6 KiB in base64. */
const ARMOR_CHARS_MAX = 16 * 1024;
/** Somebody touched the token. */
const USER_PRESENT = 0x01;

/** A signature made for `namespace`; what is wrong with it otherwise. */
export function parseSshSignature(armored: string, namespace: string): Parsed<SshSignature> {
  if (armored.length > ARMOR_CHARS_MAX) return refuse('the SSH signature is too long');
  const lines = armored.trimEnd().split('\n');
  if (lines[0] !== BEGIN || lines.at(-1) !== END || lines.indexOf(END) !== lines.length - 1) {
    return refuse('the SSH signature has no beginning or no end, or something stands behind it');
  }
  const body = lines.slice(1, -1).join('');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(body)) return refuse('the SSH signature is not base64');
  const blob = Buffer.from(body, 'base64');
  const reader = new WireReader(blob);
  const magic = reader.bytes(MAGIC.length);
  const version = reader.number();
  const [key, space, reserved, hash, inner] = Array.from({ length: 5 }, () => reader.string());
  if (!reader.isWhole || magic === undefined || key === undefined || reserved === undefined || inner === undefined) {
    return refuse('the SSH signature is damaged');
  }
  if (!magic.equals(MAGIC) || version !== VERSION) return refuse('the SSH signature is of a version not known here');
  if (space?.toString('latin1') !== namespace) {
    return refuse(`the SSH signature was made for something else than ${namespace}`);
  }
  const hashName = hash?.toString('latin1');
  if (hashName !== 'sha256' && hashName !== 'sha512') return refuse('the SSH signature uses a hash not known here');
  const made = readInner(inner);
  if (made === undefined) return refuse('the SSH signature is damaged');
  return ok({ key, fingerprint: fingerprintOf(key), hash: hashName, reserved, ...made });
}

/** Whether the key in it made it, of exactly these bytes. Never throws. */
export function isSshSignatureOf(signature: SshSignature, options: SignedBytes): boolean {
  try {
    return isGood(signature, options);
  } catch {
    return false; // a key or a number that the crypto library does not take
  }
}

export interface SignedBytes {
  readonly payload: Uint8Array;
  readonly namespace: string;
}

/** Whether a key can make signatures that are verified here. */
export function isSigningKeyBlob(blob: Buffer): boolean {
  try {
    return keyOf(blob) !== undefined;
  } catch {
    return false;
  }
}

function isGood(signed: SshSignature, { payload, namespace }: SignedBytes): boolean {
  const key = keyOf(signed.key);
  if (key === undefined || !key.algorithms.includes(signed.algorithm)) return false;
  const message = Buffer.concat([
    MAGIC,
    ...[Buffer.from(namespace), signed.reserved, Buffer.from(signed.hash), digest(signed.hash, payload)].map(wire),
  ]);
  const covered = coveredBytes(signed, key, message);
  if (covered === undefined) return false;
  switch (key.family) {
    case 'ed25519':
      return verify(null, covered, key.key, signed.signature);
    case 'rsa':
      return verify(
        signed.algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256',
        covered,
        key.key,
        padded(signed.signature, key.bytes),
      );
    case 'ecdsa': {
      const reader = new WireReader(signed.signature);
      const [r, s] = [reader.string(), reader.string()];
      if (!reader.isWhole || r === undefined || s === undefined) return false;
      const raw = Buffer.concat([padded(r, key.bytes), padded(s, key.bytes)]);
      return verify(key.hash, covered, { key: key.key, dsaEncoding: 'ieee-p1363' }, raw);
    }
    default:
      return key.family satisfies never;
  }
}

/** A token signs what it was asked for, and what it saw: its flags and its counter (PROTOCOL.u2f, "SSH U2F Signatures"). */
function coveredBytes(signed: SshSignature, key: SigningKeyObject, message: Buffer): Buffer | undefined {
  if (key.application === undefined) return signed.tokenState === undefined ? message : undefined;
  const state = signed.tokenState;
  if (state === undefined || ((state[0] ?? 0) & USER_PRESENT) === 0) return undefined;
  return Buffer.concat([digest('sha256', key.application), state, digest('sha256', message)]);
}

interface SigningKeyObject {
  readonly family: 'ed25519' | 'rsa' | 'ecdsa';
  readonly key: KeyObject;
  readonly hash: string;
  /** Of a number in a signature. */
  readonly bytes: number;
  readonly algorithms: readonly string[];
  /** Of security tokens. */
  readonly application?: Buffer;
}

const CURVES: ReadonlyMap<string, { readonly crv: string; readonly bytes: number; readonly hash: string }> = new Map([
  ['nistp256', { crv: 'P-256', bytes: 32, hash: 'sha256' }],
  ['nistp384', { crv: 'P-384', bytes: 48, hash: 'sha384' }],
  ['nistp521', { crv: 'P-521', bytes: 66, hash: 'sha512' }],
]);

/** Undefined where it is no key, or of a type not known here. @throws where the numbers in it make no key. */
function keyOf(blob: Buffer): SigningKeyObject | undefined {
  const reader = new WireReader(blob);
  const type = reader.string()?.toString('latin1') ?? '';
  const fields: Buffer[] = [];
  for (let field = reader.string(); field !== undefined && fields.length < 4; field = reader.string())
    fields.push(field);
  if (!reader.isWhole && fields.length > 3) return undefined;
  const isToken = type.startsWith('sk-') && type.endsWith('@openssh.com');
  const application = isToken ? fields.pop() : undefined;
  if (isToken && application === undefined) return undefined;
  const plain = isToken ? type.slice('sk-'.length, -'@openssh.com'.length) : type;
  const key = plainKey(plain, fields);
  if (key === undefined || (isToken && key.family === 'rsa')) return undefined;
  return application === undefined ? key : { ...key, algorithms: [type], application };
}

function plainKey(type: string, fields: readonly Buffer[]): SigningKeyObject | undefined {
  const [first, second] = fields;
  if (type === 'ssh-ed25519' && first?.length === 32 && fields.length === 1) {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: first.toString('base64url') };
    return { family: 'ed25519', key: publicKey(jwk), hash: '', bytes: 32, algorithms: [type] };
  }
  if (type === 'ssh-rsa' && first !== undefined && second !== undefined && fields.length === 2) {
    const [e, n] = [unsigned(first), unsigned(second)];
    const jwk = { kty: 'RSA', e: e.toString('base64url'), n: n.toString('base64url') };
    // Not ssh-rsa itself: that is SHA-1.
    return {
      family: 'rsa',
      key: publicKey(jwk),
      hash: '',
      bytes: n.length,
      algorithms: ['rsa-sha2-256', 'rsa-sha2-512'],
    };
  }
  const name = first?.toString('latin1') ?? '';
  const curve = CURVES.get(name);
  if (curve === undefined || type !== `ecdsa-sha2-${name}` || fields.length !== 2) return undefined;
  if (second?.length !== 1 + 2 * curve.bytes || second[0] !== 4) return undefined;
  const [x, y] = [second.subarray(1, 1 + curve.bytes), second.subarray(1 + curve.bytes)];
  const jwk = { kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') };
  return { family: 'ecdsa', key: publicKey(jwk), hash: curve.hash, bytes: curve.bytes, algorithms: [type] };
}

function publicKey(key: Record<string, string>): KeyObject {
  return createPublicKey({ key, format: 'jwk' });
}

function readInner(blob: Buffer): Pick<SshSignature, 'algorithm' | 'signature' | 'tokenState'> | undefined {
  const reader = new WireReader(blob);
  const algorithm = reader.string()?.toString('latin1');
  const signature = reader.string();
  if (algorithm === undefined || signature === undefined) return undefined;
  const tokenState = algorithm.startsWith('sk-') ? reader.bytes(5) : undefined;
  if (!reader.isWhole || (algorithm.startsWith('sk-') && tokenState === undefined)) return undefined;
  return { algorithm, signature, tokenState };
}

function digest(hash: string, bytes: Uint8Array): Buffer {
  return createHash(hash).update(bytes).digest();
}

/** A field behind its length. */
function wire(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function unsigned(number: Buffer): Buffer {
  return number[0] === 0 ? number.subarray(1) : number;
}

/** A number at its full length. */
function padded(number: Buffer, bytes: number): Buffer {
  const plain = unsigned(number);
  return plain.length >= bytes ? plain : Buffer.concat([Buffer.alloc(bytes - plain.length), plain]);
}

/** Fields of the SSH wire (RFC 4251, 5); after one that does not fit nothing is whole any more. */
class WireReader {
  readonly #blob: Buffer;
  #at = 0;
  #isBroken = false;

  constructor(blob: Buffer) {
    this.#blob = blob;
  }

  /** Everything was read, and nothing was missing. */
  get isWhole(): boolean {
    return !this.#isBroken && this.#at === this.#blob.length;
  }

  bytes(count: number): Buffer | undefined {
    if (this.#isBroken || count > this.#blob.length - this.#at) {
      this.#isBroken = true;
      return undefined;
    }
    this.#at += count;
    return this.#blob.subarray(this.#at - count, this.#at);
  }

  number(): number | undefined {
    return this.bytes(4)?.readUInt32BE(0);
  }

  string(): Buffer | undefined {
    if (this.#at === this.#blob.length) return undefined;
    const length = this.number();
    return length === undefined ? undefined : this.bytes(length);
  }
}
