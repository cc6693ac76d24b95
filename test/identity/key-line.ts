/** A fresh ed25519 public key, as a line and in wire form, without starting ssh-keygen. */
import { randomBytes } from 'node:crypto';

export function makeKeyLine(comment = 'me@laptop'): { readonly line: string; readonly blob: Buffer } {
  const type = 'ssh-ed25519';
  const head = Buffer.alloc(4);
  head.writeUInt32BE(type.length);
  const blob = Buffer.concat([head, Buffer.from(type), Buffer.from([0, 0, 0, 32]), randomBytes(32)]);
  return { line: `${type} ${blob.toString('base64')} ${comment}\n`, blob };
}
