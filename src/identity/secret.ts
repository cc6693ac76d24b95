/**
 * What a token looks like: `ght_` (a pass: `gpass_`), 12 characters that say which one it is, 30 that nobody can guess
 * (178 bits), and 6 of checksum (CRC-32), all base62. The prefix and the checksum let scanners recognise a leaked one
 * without asking anybody; the identifier makes the look-up one get.
 */
import type { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Clock } from '../base/clock.ts';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIXES = { token: 'ght_', pass: 'gpass_' } as const;
const ID_LENGTH = 12;
const SECRET_LENGTH = 30;
const CHECKSUM_LENGTH = 6;
const BODY = `(${Object.values(PREFIXES).join('|')})[0-9A-Za-z]{${ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH}}`;
const SHAPE = new RegExp(`^${BODY}$`);
const ANYWHERE = new RegExp(BODY, 'g');

export type SecretKind = keyof typeof PREFIXES;

export interface Secret {
  /** The whole text, shown once and never stored. */
  readonly text: string;
  readonly id: string;
}

export function makeSecret(clock: Clock, kind: SecretKind = 'token'): Secret {
  const id = randomWord(clock, ID_LENGTH);
  const body = `${PREFIXES[kind]}${id}${randomWord(clock, SECRET_LENGTH)}`;
  return { text: body + checksum(body), id };
}

/** The identifier in what somebody showed, or undefined where no such token (or pass) was ever issued. */
export function secretId(text: string, kind: SecretKind = 'token'): string | undefined {
  const prefix = SHAPE.exec(text)?.[1];
  if (prefix !== PREFIXES[kind]) return undefined;
  const body = text.slice(0, -CHECKSUM_LENGTH);
  if (checksum(body) !== text.slice(-CHECKSUM_LENGTH)) return undefined;
  return body.slice(prefix.length, prefix.length + ID_LENGTH);
}

/** Whether what somebody showed has the shape of a pass, right or wrong. */
export function isPassSecret(text: string): boolean {
  return text.startsWith(PREFIXES.pass);
}

/** The text without any token in it, for the journal: people paste them where a name is asked for. */
export function withoutTokens(text: string): string {
  const isThere = Object.values(PREFIXES).some((prefix) => text.includes(prefix));
  return isThere ? text.replaceAll(ANYWHERE, '(secret)') : text;
}

/**
 * What is stored instead of the secret. One round of SHA-256 is right here, where it would be wrong for a
 * password: the input is random and long, so there is no dictionary to try, and a slow hash would only slow
 * down every request.
 */
export function hashSecret(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/** Uniform: a byte that would favour the first characters is thrown away. */
function randomWord(clock: Clock, length: number): string {
  const fair = 256 - (256 % ALPHABET.length);
  let word = '';
  while (word.length < length) {
    for (const byte of clock.randomBytes(length)) {
      if (byte < fair && word.length < length) word += ALPHABET[byte % ALPHABET.length] ?? '';
    }
  }
  return word;
}

function checksum(body: string): string {
  let number = crc32(body);
  let text = '';
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit += 1) {
    text = (ALPHABET[number % ALPHABET.length] ?? '') + text;
    number = Math.floor(number / ALPHABET.length);
  }
  return text;
}
