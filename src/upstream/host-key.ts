/**
 * The host key that an operator pins: `TYPE BASE64`, or a line of known_hosts as `ssh-keyscan` prints it (sshd(8),
 * "SSH_KNOWN_HOSTS FILE FORMAT"). Which host it belongs to is checked, so that nobody pins the key of another machine.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { KEY_TYPES, parsePublicKey } from '../identity/public-key.ts';

export interface HostPlace {
  readonly host: string;
  readonly port: number;
}

const SSH_PORT = 22;

/** The key in `text` as `TYPE BASE64`; refused where it is no key, or a line of known_hosts that is not about `forHost`. */
export function parseHostKey(text: string, forHost?: HostPlace): Parsed<string> {
  if (text.length > BOUNDS.publicKeyBytesMax) return refuse('that is too long for a host key');
  const line = text.trim();
  if (line === '' || line.startsWith('#'))
    return refuse('there is no host key: ssh-keyscan HOST prints them; compare with what the host publishes');
  if (/[\r\n]/.test(line)) return refuse('that is more than one line: pin one host key at a time');
  const words = line.split(/[ \t]+/);
  const [first = '', ...rest] = words;
  if (first.startsWith('@'))
    return refuse('markers (@cert-authority, @revoked) are not taken: pin the host key itself');
  if (isKeyType(first)) return parseKey(words);
  if (first.startsWith('-----') || !isKeyType(rest[0] ?? '')) {
    return refuse(`a host key is "TYPE BASE64" or a line of known_hosts; TYPE is one of ${KEY_TYPES.join(', ')}`);
  }
  const key = parseKey(rest);
  if (key.kind === 'refused' || forHost === undefined) return key;
  return isAbout(first, forHost) ? key : refuse(`that line of known_hosts is not about ${knownHostsName(forHost)}`);
}

/** A host's name in known_hosts: `[host]:port` where the port is not 22. */
export function knownHostsName({ host, port }: HostPlace): string {
  return port === SSH_PORT ? host : `[${host}]:${port}`;
}

function isKeyType(word: string): boolean {
  return /^(?:ssh-|ecdsa-|sk-)/.test(word);
}

function parseKey(words: readonly string[]): Parsed<string> {
  const parsed = parsePublicKey(words.slice(0, 2).join(' '));
  if (parsed.kind === 'refused') return refuse(`that host key cannot be pinned: ${parsed.reason}`);
  return ok(`${parsed.value.type} ${parsed.value.blob.toString('base64')}`);
}

/** Names are compared as they are: a pattern (`*`, `!`) pins nothing. */
function isAbout(names: string, place: HostPlace): boolean {
  const wanted = knownHostsName(place).toLowerCase();
  if (names.startsWith('|1|')) return isHashOf(names, wanted);
  return names.split(',').some((name) => name.toLowerCase() === wanted);
}

/** `|1|SALT|HMAC-SHA1 of the name`, as HashKnownHosts writes it. */
function isHashOf(hashed: string, name: string): boolean {
  const [, , salt = '', digest = ''] = hashed.split('|');
  const wanted = Buffer.from(digest, 'base64');
  const made = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return wanted.length === made.length && timingSafeEqual(wanted, made);
}
