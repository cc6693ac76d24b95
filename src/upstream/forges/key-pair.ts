/** An ed25519 key pair for one mirror, made in the gate: the private half in OpenSSH's form, which ssh2 reads. */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { Fault } from '../../base/fault.ts';
import type { Clock } from '../../base/clock.ts';

export interface DeployKeyPair {
  /** OpenSSH's form, without a passphrase. */
  readonly privateKey: string;
  /** `ssh-ed25519 BASE64`. */
  readonly publicKey: string;
}

const TYPE = 'ssh-ed25519';
const BLOCK = 8;
const LINE = 70;

/** The pair, after it signed and checked something once. */
export function makeKeyPair(clock: Pick<Clock, 'randomBytes'>): DeployKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const challenge = clock.randomBytes(32);
  const rebuilt = createPublicKey(privateKey);
  if (!verify(null, challenge, rebuilt, sign(null, challenge, privateKey)))
    throw new Fault('internal', 'made key does not sign');
  const secret = part(privateKey.export({ format: 'jwk' }), 'd');
  const open = part(publicKey.export({ format: 'jwk' }), 'x');
  const blob = Buffer.concat([string(TYPE), string(open)]);
  const text = opensshKey({ blob, open, secret, check: clock.randomBytes(4) });
  return { privateKey: text, publicKey: `${TYPE} ${blob.toString('base64')}` };
}

interface Halves {
  readonly blob: Buffer;
  readonly open: Buffer;
  readonly secret: Buffer;
  /** Twice in the private part: whoever opens it sees that it did. */
  readonly check: Buffer;
}

/** PROTOCOL.key of OpenSSH, section 1 (whole file) and 3 (private part). */
function opensshKey({ blob, open, secret, check }: Halves): string {
  const inner = [check, check, string(TYPE), string(open), string(Buffer.concat([secret, open])), string('')];
  const length = inner.reduce((sum, { length: bytes }) => sum + bytes, 0);
  const padding = Buffer.from(Array.from({ length: (BLOCK - (length % BLOCK)) % BLOCK }, (_, index) => index + 1));
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0', 'latin1'),
    string('none'),
    string('none'),
    string(''),
    uint32(1),
    string(blob),
    string(Buffer.concat([...inner, padding])),
  ]);
  const lines = whole.toString('base64').match(new RegExp(`.{1,${LINE}}`, 'g')) ?? [];
  const label = 'OPENSSH PRIVATE KEY';
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** RFC 8037: `d` the seed, `x` the public point. */
function part(jwk: { readonly d?: string; readonly x?: string }, name: 'd' | 'x'): Buffer {
  const text = jwk[name];
  if (text === undefined) throw new Fault('internal', 'made key lacks a part');
  return Buffer.from(text, 'base64url');
}

/** RFC 4251, section 5. */
function string(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
