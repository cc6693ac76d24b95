/** What may leave the thread of a secret: a few characters of it, and a fingerprint that tells it from others. */
import { createHash } from 'node:crypto';

const SHOWN_CHARS_MAX = 4;

/** `ghp_... (40 characters)`: the first four at most, and never more than a quarter of it. */
export function redact(secret: string): string {
  const characters = Array.from(secret);
  const shown = Math.min(SHOWN_CHARS_MAX, Math.floor(characters.length / 4));
  const start = characters.slice(0, shown).map((one) => (/^[\x21-\x7e]$/.test(one) ? one : '?'));
  return `${start.join('')}... (${characters.length} characters)`;
}

/** SHA-256 in hex over rule id, NUL and secret. */
export function fingerprintOf(rule: string, secret: string): string {
  return createHash('sha256').update(`${rule}\0${secret}`).digest('hex');
}
