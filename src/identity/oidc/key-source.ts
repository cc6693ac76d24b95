/** Where the keys of an issuer come from, and with which algorithms they may sign. Never `none`, never a shared secret. */
import { isIP } from 'node:net';
import { isWithin } from '../../base/cidr.ts';
import { ok, refuse, type Parsed } from '../../base/fault.ts';

/** RFC 7518 section 3.1, RFC 8037 section 3.1. */
export const SIGNATURES = ['RS256', 'ES256', 'EdDSA'] as const;
export type Signature = (typeof SIGNATURES)[number];

/** A key set (RFC 7517 section 5) whose keys were looked at: public ones only. */
export interface KeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export type KeySource =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'inline'; readonly set: KeySet };

const KEYS_MAX = 100;
const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1/128'];

/** HTTPS; plain HTTP only where it does not leave the machine. */
export function parseKeysUrl(text: string): Parsed<KeySource> {
  const url = URL.parse(text);
  if (url === null) return refuse('jwks-url is no URL');
  if (url.username !== '' || url.password !== '') return refuse('jwks-url holds no user and no password');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isLoopback = isIP(host) !== 0 && isWithin(LOOPBACK, host);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback))
    return refuse('jwks-url starts with https://');
  url.hash = '';
  return ok({ kind: 'url', url: url.href });
}

/** The JSON of a key set, as it stands in a rule. */
export function parseInlineKeys(text: string): Parsed<KeySource> {
  const set = parseKeySet(text);
  return set.kind === 'refused' ? refuse(`jwks: ${set.reason}`) : ok({ kind: 'inline', set: set.value });
}

export function parseKeySet(text: string): Parsed<KeySet> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('this is no JSON');
  }
  const list = isObject(value) ? value['keys'] : undefined;
  if (!Array.isArray(list)) return refuse('this is no set of keys: {"keys": [...]}');
  if (list.length > KEYS_MAX) return refuse(`a set has at most ${KEYS_MAX} keys`);
  // Keys of other kinds may stand beside ours (RFC 7517 section 5); private and shared ones are never used.
  const keys = list.filter(isObject).filter((key) => isPublic(key) && key['use'] !== 'enc');
  return keys.length === 0 ? refuse('the set has no public key of the kinds RSA, EC and OKP') : ok({ keys });
}

function isPublic(key: Readonly<Record<string, unknown>>): boolean {
  return ['RSA', 'EC', 'OKP'].some((type) => key['kty'] === type) && key['d'] === undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
