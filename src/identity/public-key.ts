/**
 * One OpenSSH public key line, read strictly (the blobs: RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709
 * section 4; the numbers: RFC 4251 section 5). What passes is a key that this gate can verify with, and nothing else.
 */
import { Buffer } from 'node:buffer';
import { createHash, createPublicKey } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';

export const KEY_TYPES = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
] as const;
export type KeyType = (typeof KEY_TYPES)[number];

export interface PublicKey {
  readonly type: KeyType;
  readonly bits: number;
  /** The SSH wire form: what a client offers when it logs in. */
  readonly blob: Buffer;
  /** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly comment: string;
}

const COMMENT_LENGTH_MAX = 200;
const CURVES: ReadonlyMap<string, { readonly bits: number; readonly name: string }> = new Map([
  ['nistp256', { bits: 256, name: 'P-256' }],
  ['nistp384', { bits: 384, name: 'P-384' }],
  ['nistp521', { bits: 521, name: 'P-521' }],
]);

/** `SHA256:...` of a key's wire form. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The key in one line of text, as it stands in `~/.ssh/id_ed25519.pub`; the refusal says what it is instead. */
export function parsePublicKey(text: string): Parsed<PublicKey> {
  if (text.length > BOUNDS.publicKeyBytesMax) return refuse('that is too long for a public key');
  if (/PRIVATE KEY-----|PuTTY-User-Key-File/.test(text)) {
    return refuse(
      'that is a PRIVATE key: keep it to yourself, do not send it anywhere; the public one is in the file that ends in .pub',
    );
  }
  if (/^\s*-{4,5} ?BEGIN/.test(text)) {
    return refuse('that is not the OpenSSH form: convert it with ssh-keygen -i -f FILE');
  }
  const line = text.trim();
  if (line === '') return refuse('there is no key: send one line as in ~/.ssh/id_ed25519.pub');
  if (/[\r\n]/.test(line)) return refuse('that is more than one line: send one key at a time');
  if (/[\p{Cc}]/u.test(line.replaceAll('\t', ' ')) || !line.isWellFormed())
    return refuse('a public key holds no control characters');
  const [word = '', base64 = '', ...comment] = line.split(/[ \t]+/);
  const type = parseType(word, line);
  if (type.kind === 'refused') return type;
  const blob = decodeBase64(base64);
  if (blob === undefined) return refuse('the part behind the type is not a key in base64: was it cut?');
  const bits = bitsOf(type.value, blob);
  if (bits.kind === 'refused') return bits;
  return ok({
    type: type.value,
    bits: bits.value,
    blob,
    fingerprint: fingerprintOf(blob),
    comment: comment.join(' ').slice(0, COMMENT_LENGTH_MAX),
  });
}

function parseType(word: string, line: string): Parsed<KeyType> {
  const type = KEY_TYPES.find((known) => known === word);
  if (type !== undefined) return ok(type);
  if (word.includes('-cert-v0')) return refuse('that is a certificate: send the public key itself');
  if (word === 'ssh-dss') return refuse('DSA keys are not accepted: make a new key with ssh-keygen -t ed25519');
  if (word.startsWith('sk-'))
    return refuse('keys of security tokens (sk-...) are not accepted yet: ssh-keygen -t ed25519 makes one that is');
  if (KEY_TYPES.some((known) => line.includes(`${known} `))) {
    return refuse('no options in front of the key: send the line from the type on');
  }
  return refuse(`a public key starts with its type, one of ${KEY_TYPES.join(', ')}`);
}

/** Canonical base64 only: one key has one text. */
function decodeBase64(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

function bitsOf(type: KeyType, blob: Buffer): Parsed<number> {
  const fields = readStrings(blob);
  const damaged = refuse(`that is no ${type} key: it is damaged or was cut`);
  if (fields === undefined || fields[0]?.toString('latin1') !== type) return damaged;
  switch (type) {
    case 'ssh-ed25519':
      return fields.length === 2 && fields[1]?.length === 32 ? ok(256) : damaged;
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return pointBits(type, fields) ?? damaged;
    case 'ssh-rsa':
      return fields.length === 3 && fields[1] !== undefined && fields[2] !== undefined
        ? (rsaBits(fields[1], fields[2]) ?? damaged)
        : damaged;
    default:
      return type satisfies never;
  }
}

/** Every field of the blob, each behind its length; undefined where they do not fill it exactly. */
function readStrings(blob: Buffer): readonly Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (at < blob.length) {
    if (fields.length === 4 || blob.length - at < 4) return undefined;
    const length = blob.readUInt32BE(at);
    if (length > blob.length - at - 4) return undefined;
    fields.push(blob.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return fields;
}

function pointBits(type: KeyType, fields: readonly Buffer[]): Parsed<number> | undefined {
  const curve = CURVES.get(type.slice('ecdsa-sha2-'.length));
  const [, name, point] = fields;
  if (fields.length !== 3 || curve === undefined || name?.toString('latin1') !== type.slice('ecdsa-sha2-'.length))
    return undefined;
  const side = Math.ceil(curve.bits / 8);
  if (point === undefined || point.length !== 1 + 2 * side || point[0] !== 4) return undefined;
  const [x, y] = [point.subarray(1, 1 + side), point.subarray(1 + side)].map((part) => part.toString('base64url'));
  if (x === undefined || y === undefined) return undefined;
  try {
    createPublicKey({ key: { kty: 'EC', crv: curve.name, x, y }, format: 'jwk' });
  } catch {
    return undefined; // the point is not on the curve
  }
  return ok(curve.bits);
}

function rsaBits(exponent: Buffer, modulus: Buffer): Parsed<number> | undefined {
  const bits = positiveBits(modulus);
  const exponentBits = positiveBits(exponent);
  if (bits === undefined || exponentBits === undefined) return undefined;
  const isOdd = (number: Buffer): boolean => ((number.at(-1) ?? 0) & 1) === 1;
  if (!isOdd(modulus) || !isOdd(exponent) || exponentBits < 2 || exponentBits > 64) return undefined;
  if (bits < BOUNDS.rsaBitsMin) {
    return refuse(`an RSA key of ${bits} bits is too short: at least ${BOUNDS.rsaBitsMin}, or ssh-keygen -t ed25519`);
  }
  if (bits > BOUNDS.rsaBitsMax) return refuse(`an RSA key has at most ${BOUNDS.rsaBitsMax} bits`);
  return ok(bits);
}

/** Bits of an mpint; undefined where it is zero, negative or has needless bytes in front. */
function positiveBits(number: Buffer): number | undefined {
  const first = number[0];
  if (first === undefined || first >= 0x80) return undefined;
  if (first !== 0) return (number.length - 1) * 8 + (32 - Math.clz32(first));
  const second = number[1];
  return second !== undefined && second >= 0x80 ? (number.length - 1) * 8 : undefined;
}
