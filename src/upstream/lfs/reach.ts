/**
 * Where an upstream's LFS server may send the gate. Its links are followed by the gate itself, with whatever they carry, so
 * they lead over https, and not into the networks that only this machine sees: only to the upstream's own host, which an
 * administrator declared, or to a public address.
 */
import { lookup as lookUp, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import type { UpstreamUrl } from '../upstream.ts';
import { isLoopbackHost } from '../upstream-url.ts';

const PRIVATE = new BlockList();
// IANA's special-purpose registries: what is not reachable by everybody.
for (const range of [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
  '::/127',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]) {
  const [start = '', bits] = range.split('/');
  PRIVATE.addSubnet(start, Number(bits), start.includes(':') ? 'ipv6' : 'ipv4');
}

/** An address of a private network, of this machine, or of nobody. */
export function isPrivateAddress(address: string): boolean {
  const plain = address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  const family = isIP(plain);
  if (family === 0 || /^::ffff:/i.test(plain)) return true;
  return PRIVATE.check(plain, family === 6 ? 'ipv6' : 'ipv4');
}

/** A link as it may be followed. `label`: what to call it without what may be secret in it. */
export interface Place {
  readonly url: URL;
  readonly label: string;
  /** The host that was declared: its addresses are taken as they are. */
  readonly isUpstream: boolean;
}

export function parsePlace(text: string, { host, scheme, port }: UpstreamUrl): Parsed<Place> {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse('a link that is no address');
  }
  const { protocol, username, password } = url;
  const target = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const label = `${protocol}//${url.host}`;
  if (username !== '' || password !== '') return refuse(`a link with a password in it (${label})`);
  const isUpstream = target === host.toLowerCase();
  // In the clear only where the upstream itself was declared so, or on this machine.
  const isDeclaredClear = scheme === 'http' && isUpstream && Number(url.port === '' ? 80 : url.port) === port;
  const isHere = isUpstream && isLoopbackHost(target);
  if (protocol !== 'https:' && !(protocol === 'http:' && (isDeclaredClear || isHere))) {
    return refuse(`a link that is not https (${label})`);
  }
  if (!isUpstream && isIP(target) !== 0 && isPrivateAddress(target)) {
    return refuse(`a link into a private network (${label})`);
  }
  return ok({ url, label, isUpstream });
}

/** As `dns.lookup`, for hosts other than the upstream's: an address that is private is none. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookUp(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
    const [first] = error === null ? found : [];
    if (error !== null || first === undefined) {
      callback(error ?? notPublic(), '', 0);
      return;
    }
    if (found.some(({ address }) => isPrivateAddress(address))) callback(notPublic(), '', 0);
    else if (options.all === true) callback(null, found);
    else callback(null, first.address, first.family);
  });
};

function notPublic(): NodeJS.ErrnoException {
  return Object.assign(new Error('address is not public'), { code: 'EPRIVATE' });
}
