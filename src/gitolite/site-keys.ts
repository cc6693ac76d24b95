/** Public keys as they lie in a site's `keydir`: whose they are, and their fingerprints as ssh-keygen tells them. */
import { createHash } from 'node:crypto';

/** `folder/baz@home.pub` is a key of `baz`. */
export function userOfKeyFile(path: string): string {
  return path.replace(/^.*\//s, '').replace(/(?:@[^.]+)?\.pub$/, '');
}

const KEY = /(?:^|[ \t])((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.+-]+)[ \t]+([A-Za-z0-9+/]+={0,2})(?=[ \t]|$)/g;

export interface KeyText {
  readonly type: string;
  /** The wire form in base64. */
  readonly encoded: string;
}

/** The first key in a text of one or more lines; undefined: there is none. */
export function keyIn(text: string): KeyText | undefined {
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    for (const [, type = '', encoded = ''] of line.matchAll(KEY)) {
      const blob = Buffer.from(encoded, 'base64');
      if (isWhole(blob, type)) return { type, encoded };
    }
  }
  return undefined;
}

/** RFC 4253, 6.6: the type of the key, then its numbers, each behind its length. What was cut or joined is no key. */
function isWhole(blob: Buffer, type: string): boolean {
  const fields: Buffer[] = [];
  for (let at = 0; at < blob.length;) {
    const end = at + 4 > blob.length ? Infinity : at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return false;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  const [inside, first] = fields;
  if (inside?.toString('latin1') !== type || first === undefined) return false;
  return type !== 'ssh-ed25519' || first.length === ED25519_BYTES;
}

const ED25519_BYTES = 32;

/** `SHA256:...` of the first key in a text of one or more lines; undefined: there is none. */
export function fingerprintOfKey(text: string): string | undefined {
  const key = keyIn(text);
  return key && fingerprintOfBlob(Buffer.from(key.encoded, 'base64'));
}

export function fingerprintOfBlob(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
