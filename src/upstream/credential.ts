/** Credentials for upstreams as they are given and as they are sealed. Their text is never repeated in words. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';
import { readFields } from '../base/fields.ts';
import type { Json } from '../base/json.ts';
import { CREDENTIAL_KINDS, type CredentialKind } from './mirror-record.ts';
import type { UpstreamCredential, UpstreamScheme } from './upstream.ts';

const USER = /^[\x21-\x39\x3b-\x7e]{1,128}$/;

export interface GivenCredential {
  readonly kind: CredentialKind;
  /** What stood in the file or came on standard input. */
  readonly text: string;
  /** Of a token: who goes with it. */
  readonly username: string | undefined;
  readonly bearer: boolean;
}

/** The credential in `text`; refused where it is none, or does not fit the way to the upstream. */
export function parseCredential(given: GivenCredential, scheme: UpstreamScheme): Parsed<UpstreamCredential> {
  const { kind, text } = given;
  if (Buffer.byteLength(text) > BOUNDS.upstreamCredentialBytesMax) return refuse('that is too long for a credential');
  if (scheme === 'git') return refuse('git:// takes no credential: it knows nobody');
  if (kind === 'key' && scheme !== 'ssh') return refuse('a key is for ssh: give a token or a certificate');
  if (kind !== 'key' && scheme === 'ssh') return refuse('ssh takes a private key: --key FILE');
  if (kind === 'certificate' && scheme !== 'https') return refuse('a client certificate is for https');
  switch (kind) {
    case 'key':
      return parseKey(text);
    case 'token':
      return parseToken(given);
    case 'certificate':
      return parseCertificate(text);
    default:
      return kind satisfies never;
  }
}

/** What is sealed. */
export function writeCredential(credential: UpstreamCredential): string {
  return JSON.stringify(credential);
}

/** @throws Fault 'corrupt' */
export function readCredential(text: string): UpstreamCredential {
  const fields = readFields(parseSealed(text), 'sealed upstream credential');
  const kind = fields.word('kind', CREDENTIAL_KINDS);
  switch (kind) {
    case 'key':
      return { kind, privateKey: fields.text('privateKey') };
    case 'token': {
      const bearer = fields.flag('bearer');
      return { kind, username: fields.text('username'), secret: fields.text('secret'), bearer };
    }
    case 'certificate':
      return { kind, certificate: fields.text('certificate'), privateKey: fields.text('privateKey') };
    default:
      return kind satisfies never;
  }
}

function parseSealed(text: string): Json {
  try {
    return JSON.parse(text) as Json; // what JSON.parse gives is Json
  } catch {
    throw new Fault('corrupt', 'sealed credential is no JSON');
  }
}

function parseKey(text: string): Parsed<UpstreamCredential> {
  const privateKey = `${text.replaceAll('\r\n', '\n').trim()}\n`;
  const label = /^-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n[\s\S]+\n-----END \1-----\n$/.exec(privateKey)?.[1];
  if (label === undefined) {
    if (/^(?:ssh|ecdsa|sk)-/.test(privateKey)) return refuse('that is a public key: give the file without .pub');
    return refuse('that is no private key: it starts with -----BEGIN OPENSSH PRIVATE KEY----- or the like');
  }
  if (isEncrypted(privateKey, label)) {
    return refuse(
      'the private key has a passphrase, which nobody here could type: make one without, for this gate alone',
    );
  }
  return ok({ kind: 'key', privateKey });
}

/** OpenSSH's own form names its cipher behind the magic (PROTOCOL.key, section 1); PEM says so in its header. */
function isEncrypted(text: string, label: string): boolean {
  if (label !== 'OPENSSH PRIVATE KEY') return label.startsWith('ENCRYPTED') || /\nProc-Type: 4,ENCRYPTED/.test(text);
  const body = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64');
  const magic = 'openssh-key-v1\0';
  const at = magic.length;
  if (body.toString('latin1', 0, at) !== magic || body.length < at + 8) return false;
  return body.toString('latin1', at + 4, at + 4 + Math.min(64, body.readUInt32BE(at))) !== 'none';
}

function parseToken({ text, username, bearer }: GivenCredential): Parsed<UpstreamCredential> {
  const secret = text.trim();
  if (secret === '') return refuse('there is no token: it is read from standard input or a file');
  if (secret.length > BOUNDS.upstreamTokenBytesMax) return refuse('that is too long for a token');
  if (!/^[\x21-\x7e]+$/.test(secret)) return refuse('a token is one word of printable ASCII');
  if (username !== undefined && !USER.test(username)) return refuse('a user name of HTTP is printable and has no ":"');
  return ok({ kind: 'token', username: username ?? 'git', secret, bearer });
}

/** A certificate (or a chain) and its private key, in PEM, in one text. */
function parseCertificate(text: string): Parsed<UpstreamCredential> {
  const certificates = blocks(text, /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  const keys = blocks(text, /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]+?-----END \1-----/g);
  const [first] = certificates;
  const [key] = keys;
  if (first === undefined || key === undefined || keys.length > 1) {
    return refuse('a client certificate is PEM: CERTIFICATE first, its chain, and one PRIVATE KEY');
  }
  if (key.includes('ENCRYPTED')) return refuse('the private key has a passphrase, which nobody here could type');
  try {
    const isPair = new X509Certificate(first).checkPrivateKey(createPrivateKey(key));
    if (!isPair) return refuse('the private key does not belong to the certificate');
  } catch {
    return refuse('the certificate or its private key cannot be read');
  }
  return ok({ kind: 'certificate', certificate: certificates.join('\n'), privateKey: key });
}

function blocks(text: string, pattern: RegExp): readonly string[] {
  return [...text.matchAll(pattern)].map(([block]) => `${block}\n`);
}
