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
      // RFC 4253, 6.6: the blob begins with the length of the key's type and the type.
      if (blob.length < 4 + type.length || blob.readUInt32BE(0) !== type.length) continue;
      if (blob.toString('latin1', 4, 4 + type.length) === type) return { type, encoded };
    }
  }
  return undefined;
}

/** `SHA256:...` of the first key in a text of one or more lines; undefined: there is none. */
export function fingerprintOfKey(text: string): string | undefined {
  const key = keyIn(text);
  return key && fingerprintOfBlob(Buffer.from(key.encoded, 'base64'));
}

export function fingerprintOfBlob(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
