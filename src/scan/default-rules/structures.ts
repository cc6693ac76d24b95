/** What tokens and keys decode to, where that can be told from chance. */
import { isPlaceholder, looksLikePassword } from './placeholders.ts';

/** RFC 7519: header and payload are JSON objects, the header names its algorithm. */
export function isJsonToken(token: string): boolean {
  const [header = '', payload = '', signature] = token.split('.');
  const head = jsonObject(header);
  if (head === undefined || typeof head['alg'] !== 'string' || head['alg'].toLowerCase() === 'none') return false;
  return jsonObject(payload) !== undefined && (signature ?? '').length >= 16 && !isPlaceholder(signature ?? '');
}

/** `sk.PAYLOAD.SIGNATURE`: the payload names its user. Mapbox documents `sk.` as the secret tokens. */
export function isMapboxToken(token: string): boolean {
  return typeof jsonObject(token.split('.')[1] ?? '')?.['u'] === 'string';
}

/** `sntrys_PAYLOAD_SIGNATURE`: the payload says when it was issued and for which region. Sentry RFC 91. */
export function isSentryToken(token: string): boolean {
  const payload = jsonObject(token.slice(token.indexOf('_') + 1).split('_')[0] ?? '');
  return payload !== undefined && 'iat' in payload;
}

/** `pypi-` and a macaroon (version 2, libmacaroons' format) whose location is pypi.org or test.pypi.org. */
export function isPypiToken(token: string): boolean {
  const macaroon = Buffer.from(token.slice('pypi-'.length), 'base64url');
  const length = macaroon[2] ?? 0;
  if (macaroon[0] !== 2 || macaroon[1] !== 1) return false;
  return ['pypi.org', 'test.pypi.org'].includes(macaroon.toString('latin1', 3, 3 + length));
}

/** The first part of a bot's token is the bot's id, a decimal number, in base 64. */
export function isDiscordToken(token: string): boolean {
  return /^\d{17,20}$/.test(Buffer.from(token.split('.')[0] ?? '', 'base64').toString('latin1'));
}

/** RFC 7617: base 64 of `user:password`. */
export function isBasicCredential(encoded: string): boolean {
  const text = printable(encoded);
  const colon = text?.indexOf(':') ?? -1;
  if (text === undefined || colon < 0) return false;
  const password = text.slice(colon + 1);
  return password.length >= 4 && !isPlaceholder(text) && !/^(?:password|passwd|pass|secret|test)$/i.test(password);
}

/** Base 64 of something that is a password or a key rather than a word. */
export function isEncodedSecret(encoded: string): boolean {
  const text = printable(encoded);
  if (text === undefined) return Buffer.from(encoded, 'base64').length >= 16 && !isPlaceholder(encoded);
  return looksLikePassword(text.trim());
}

function printable(encoded: string): string | undefined {
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  return /^[\x20-\x7e\t\r\n\u00a0-\ufffc]+$/.test(text) ? text : undefined;
}

function jsonObject(encoded: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

const OPENSSH_MAGIC = 'openssh-key-v1\0';
const KEY_BYTES_MIN = 32;
const DER_SEQUENCE = 0x30;

/**
 * PEM armour around a private key, from its BEGIN line on; the END line may be missing. RFC 7468 and RFC 1421 (encrypted),
 * OpenSSH's PROTOCOL.key, RFC 9580 section 6.2.
 */
export function isPrivateKey(block: string): boolean {
  const match = /^-----BEGIN ([A-Z0-9 ]+)-----([^]*)$/.exec(block.trim());
  if (match === null) return false;
  const [, label = '', rest = ''] = match;
  const text = rest
    .replaceAll(/\\[nr]/g, '\n')
    .replaceAll(/(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash): [^\n]*/g, '');
  const body = text.replaceAll(/[^A-Za-z0-9+/]/g, '');
  const bytes = Buffer.from(body, 'base64');
  if (bytes.length < KEY_BYTES_MIN || isPlaceholder(body.slice(0, 48).replace(/A{5,}/g, 'A'))) return false;
  if (label.startsWith('OPENSSH')) return bytes.toString('latin1', 0, OPENSSH_MAGIC.length) === OPENSSH_MAGIC;
  if (label.startsWith('PGP')) return ((bytes[0] ?? 0) & 0x80) !== 0;
  return rest.includes('Proc-Type') || isSequence(bytes);
}

/** A DER SEQUENCE that is not longer than a key can be, and not much shorter than what stands there. */
function isSequence(bytes: Buffer): boolean {
  if (bytes[0] !== DER_SEQUENCE) return false;
  const first = bytes[1] ?? 0;
  if (first < 0x80) return first >= 16;
  const count = first & 0x7f;
  return count >= 1 && count <= 2 && bytes.readUIntBE(2, count) >= 64;
}
