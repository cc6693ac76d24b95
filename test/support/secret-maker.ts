/** Makes secrets of every kind that the default rules know, and things that only look like them, from a seed. */
import { ageToken, base62, grafanaChecksum } from '../../src/scan/default-rules/checksums.ts';
import { crc32 } from 'node:zlib';
import { SAMPLES, type Sample } from './secret-samples.ts';

const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const UPPER = LOWER.toUpperCase();
const DIGITS = '0123456789';
const CLASSES: Readonly<Record<string, string>> = {
  w: DIGITS + UPPER + LOWER,
  h: `${DIGITS}abcdef`,
  H: `${DIGITS}ABCDEF`,
  L: DIGITS + LOWER,
  U: DIGITS + UPPER,
  d: DIGITS,
  a: UPPER + LOWER,
  b: `${DIGITS + UPPER + LOWER}-_`,
  B: `${DIGITS + UPPER + LOWER}+/`,
  E: `${UPPER}234567`,
  P: `${DIGITS + UPPER + LOWER}!%*_-`,
};

/** The same numbers for the same seed (xorshift, 32 bits): a failure can be looked at again. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  }

  /** From 0 to `most` - 1. */
  below(most: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % most;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }

  chars(count: number, alphabet: string): string {
    const solid = alphabet.replaceAll(/[^0-9A-Za-z]/g, '');
    const isEdge = (index: number): boolean => index === 0 || index === count - 1;
    // Begins and ends with a letter or digit, as a provider's token in the middle of a line may be expected to.
    return Array.from({ length: count }, (_, index) => this.#char(isEdge(index) ? solid : alphabet)).join('');
  }

  #char(alphabet: string): string {
    return alphabet[this.below(alphabet.length)] ?? '';
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }
}

export interface Made {
  readonly rule: string;
  /** May have several lines. */
  readonly text: string;
  /** Has to stand on a line of its own. */
  readonly isLine: boolean;
}

export const KINDS: readonly string[] = SAMPLES.map(([rule]) => rule);

export function makeSecret(rule: string, dice: Dice): Made {
  const sample = SAMPLES.find(([known]) => known === rule);
  if (sample === undefined) throw new Error(`no sample of ${rule}`);
  return makeSample(sample, dice);
}

function makeSample([rule, form]: Sample, dice: Dice): Made {
  const isLine = form.startsWith('nl:') || / |^[A-Z_]+=|:\/\//.test(form) || form.startsWith('fn:');
  return { rule, text: textOf(form, dice), isLine };
}

function textOf(form: string, dice: Dice): string {
  const [, how, rest = ''] = /^(crc|whole|grafana|fn|nl):([^]*)$/.exec(form) ?? [];
  if (how === 'fn') return FUNCTIONS[rest]?.(dice) ?? `no function ${rest}`;
  const text = filled(how === undefined ? form : rest, dice);
  if (how === 'crc') return `${text}${base62(crc32(text.slice(text.lastIndexOf('_') + 1)))}`;
  if (how === 'whole') return `${text}${base62(crc32(text))}`;
  return how === 'grafana' ? `${text}_${grafanaChecksum(text)}` : text;
}

function filled(form: string, dice: Dice): string {
  return form.replaceAll(/<(\d+)(\w)>/g, (_, count: string, letter: string) =>
    dice.chars(Number(count), CLASSES[letter] ?? ''),
  );
}

/** What is no secret though it looks like one: cut short, with another checksum, masked, an example. */
export function nearMisses(rule: string, dice: Dice): readonly string[] {
  const sample = SAMPLES.find(([known]) => known === rule);
  if (sample === undefined) return [];
  const [, form, loose] = sample;
  const isCrc = /^(?:crc|whole|grafana):/.test(form);
  const isToken = !/[ ="]|^\w+:|:\/\//.test(form);
  if (!isCrc && !isToken) return [];
  const bare = form.replace(/^(?:crc|whole|grafana):/, '');
  const masked = bare.replaceAll(/<(\d+)(\w)>/g, (_, count: string) => 'x'.repeat(Number(count)));
  const example = filled(
    bare.replace(/<(\d{2,})([wbB])>/, (_, count: string, letter: string) => {
      return Number(count) < 16 ? `<${count}${letter}>` : `EXAMPLE<${Number(count) - 7}${letter}>`;
    }),
    dice,
  );
  const list = [masked, ...(example.includes('EXAMPLE') ? [example] : [])];
  if (isCrc) {
    const token = textOf(form, dice);
    const last = token.at(-1) === 'a' ? 'b' : 'a';
    return [...list, `${token.slice(0, -1)}${last}`];
  }
  return loose === undefined ? [...list, textOf(form, dice).slice(0, -1)] : list;
}

/** Lines that assign something called a password which is none. */
export const HARMLESS_LINES: readonly string[] = [
  'password = "${PASSWORD}"',
  "password: 'changeme123'",
  'const secret = process.env.APP_SECRET;',
  'api_key = "<your-api-key>"',
  'DB_PASSWORD=********',
  'git clone https://user:password@git.example.org/x.git',
  // oxlint-disable-next-line no-template-curly-in-string -- a line of somebody's code, as text
  'url = `https://${USER}:${PASS}@git.example.org/`;',
  'client_secret: {{ .Values.secret }}',
  'secret = getSecretFromVault("billing")',
  '"password": "password"',
  'accessToken: "xxxxxxxxxxxxxxxxxxxxxxxx"',
  'password = "correct-horse-battery"',
  'Authorization: Bearer $TOKEN',
  '-----BEGIN RSA PRIVATE KEY-----',
  'see -----BEGIN PRIVATE KEY----- ... -----END PRIVATE KEY-----',
];

type Make = (dice: Dice) => string;

function pem(label: string, head: Buffer, count: number): Make {
  return (dice) => {
    const body = Buffer.concat([head, dice.bytes(count)]).toString('base64');
    return `-----BEGIN ${label}-----\n${body.replaceAll(/.{64}/g, '$&\n').trimEnd()}\n-----END ${label}-----`;
  };
}

function json64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const RSA_HEAD = Buffer.from('308204a30201000282010100', 'hex');
const PKCS8_HEAD = Buffer.from('308204bd020100300d06092a864886f70d0101010500048204a7', 'hex');

const FUNCTIONS: Readonly<Record<string, Make>> = {
  age: (dice) => ageToken([...dice.bytes(52)].map((byte) => byte & 31)),
  pypi: (dice) => {
    const location = Buffer.concat([Buffer.from([2, 1, 8]), Buffer.from('pypi.org'), Buffer.from([2, 36])]);
    return `pypi-${Buffer.concat([location, dice.bytes(110)]).toString('base64url')}`;
  },
  gcp: (dice) => {
    const key = pem('PRIVATE KEY', PKCS8_HEAD, 1190)(dice).replaceAll('\n', '\\n');
    return `{"type": "service_account", "private_key": "${key}\\n", "client_id": "1"}`;
  },
  sas: (dice) =>
    `https://acct.blob.core.windows.net/c/f?sv=2024-01-01&sp=r&sig=${dice.chars(43, CLASSES['w'] ?? '')}%3D`,
  discord: (dice) => {
    const id = `1${dice.chars(17, DIGITS)}`;
    const w = CLASSES['w'] ?? '';
    return `discord token: ${Buffer.from(id).toString('base64url')}.${dice.chars(6, w)}.${dice.chars(38, w)}`;
  },
  sentry: (dice) => {
    const payload = json64({
      iat: 1_700_000_000.5,
      url: 'https://sentry.io',
      region_url: 'https://us.sentry.io',
      org: 'acme',
    });
    return `sntrys_${payload}_${dice.chars(43, CLASSES['w'] ?? '')}`;
  },
  mapbox: (dice) =>
    `sk.${json64({ u: 'acme', a: dice.chars(24, CLASSES['L'] ?? '') })}.${dice.chars(22, CLASSES['w'] ?? '')}`,
  jwt: (dice) =>
    `${json64({ alg: 'HS256', typ: 'JWT' })}.${json64({ sub: dice.chars(10, DIGITS), iat: 1_700_000_000 })}.${dice.chars(43, CLASSES['b'] ?? '')}`,
  url: (dice) => `postgres://app:${dice.chars(16, CLASSES['w'] ?? '')}@db.internal:5432/orders`,
  basic: (dice) => {
    const credential = Buffer.from(`robot:${dice.chars(18, CLASSES['w'] ?? '')}`).toString('base64');
    return `Authorization: Basic ${credential}`;
  },
  kubernetes: (dice) => {
    const value = Buffer.from(dice.chars(20, CLASSES['w'] ?? '')).toString('base64');
    return `apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ntype: Opaque\ndata:\n  name: ZGI=\n  value: ${value}`;
  },
  putty: (dice) => {
    const lines = (count: number): string =>
      Array.from({ length: count }, () => dice.bytes(48).toString('base64')).join('\n');
    return `PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: imported\nPublic-Lines: 6\n${lines(6)}\nPrivate-Lines: 14\n${lines(14)}\nPrivate-MAC: ${dice.chars(40, CLASSES['h'] ?? '')}`;
  },
  'private-key-rsa': pem('RSA PRIVATE KEY', RSA_HEAD, 1180),
  'private-key-ec': pem('EC PRIVATE KEY', Buffer.from('30770201010420', 'hex'), 114),
  'private-key-dsa': pem('DSA PRIVATE KEY', Buffer.from('308201bb02010002818100', 'hex'), 437),
  'private-key-pkcs8': pem('PRIVATE KEY', PKCS8_HEAD, 1190),
  'private-key-encrypted': pem('ENCRYPTED PRIVATE KEY', Buffer.from('3082052e305806092a864886f70d01050d', 'hex'), 1300),
  'private-key-openssh': pem('OPENSSH PRIVATE KEY', Buffer.from('openssh-key-v1\0'), 380),
  'private-key-pgp': (dice) =>
    pem('PGP PRIVATE KEY BLOCK', Buffer.from([0xc5]), 900)(dice).replace('-----\n', '-----\nVersion: GnuPG v2\n\n'),
};
