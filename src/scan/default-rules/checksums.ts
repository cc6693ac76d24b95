/** Checksums that providers put into their tokens. */
import { crc32 } from 'node:zlib';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const CHECKSUM_CHARS = 6;

/** A number in base 62, padded to six digits: enough for 32 bits. */
export function base62(value: number): string {
  let left = value;
  let text = '';
  while (left > 0) {
    text = `${BASE62[left % 62] ?? ''}${text}`;
    left = Math.floor(left / 62);
  }
  return text.padStart(CHECKSUM_CHARS, '0');
}

/**
 * `PREFIX_`, random letters and digits, and their CRC-32 in six digits of base 62. GitHub, "Behind GitHub's new
 * authentication token formats" (2021); npm's tokens are made the same way.
 */
export function hasPrefixedChecksum(token: string): boolean {
  const body = token.slice(token.lastIndexOf('_') + 1);
  const random = body.slice(0, -CHECKSUM_CHARS);
  return base62(crc32(random)) === body.slice(-CHECKSUM_CHARS);
}

/** `glsa_RANDOM_CHECKSUM`: the CRC-32 of all before it, little endian, in hex. Grafana's source, `satokengen`. */
export function hasGrafanaChecksum(token: string): boolean {
  const end = token.lastIndexOf('_');
  return grafanaChecksum(token.slice(0, end)) === token.slice(end + 1).toLowerCase();
}

export function grafanaChecksum(text: string): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc32(text));
  return bytes.toString('hex');
}

const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const BECH32_GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const AGE_PREFIX = 'age-secret-key-';

/** An age identity is Bech32 (BIP 173) with the prefix `AGE-SECRET-KEY-`, in capitals. The age specification, "X25519". */
export function hasAgeChecksum(token: string): boolean {
  const lower = token.toLowerCase();
  if (!lower.startsWith(`${AGE_PREFIX}1`)) return false;
  const digits = lower
    .slice(AGE_PREFIX.length + 1)
    .split('')
    .map((char) => BECH32.indexOf(char));
  return !digits.includes(-1) && bech32Sum([...expanded(AGE_PREFIX), ...digits]) === 1;
}

/** `digits` are five bits each; the token in capitals with its six digits of checksum. */
export function ageToken(digits: readonly number[]): string {
  const sum = bech32Sum([...expanded(AGE_PREFIX), ...digits, 0, 0, 0, 0, 0, 0]) ^ 1;
  const check = [0, 1, 2, 3, 4, 5].map((index) => (sum >>> (5 * (5 - index))) & 31);
  return `${AGE_PREFIX}1${[...digits, ...check].map((digit) => BECH32[digit] ?? '').join('')}`.toUpperCase();
}

function expanded(prefix: string): readonly number[] {
  const codes = prefix.split('').map((char) => char.charCodeAt(0));
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
}

function bech32Sum(digits: readonly number[]): number {
  let sum = 1;
  for (const digit of digits) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ digit;
    for (const [bit, generator] of BECH32_GENERATOR.entries()) if (((top >>> bit) & 1) === 1) sum ^= generator;
  }
  return sum >>> 0;
}
