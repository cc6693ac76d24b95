/** Ranges of addresses, `10.0.0.0/8` or `2001:db8::/32` (RFC 4632, RFC 4291 section 2.3), and whether a client is in one. */
import { BlockList, isIP } from 'node:net';
import { ok, refuse, type Parsed } from './fault.ts';

const EXPECTED = 'a range of addresses is an address and a number of bits: 10.0.0.0/8, 2001:db8::/32, 192.0.2.7';

/** The range in the one spelling that is kept; one address alone is a range of its own. */
export function parseCidr(text: string): Parsed<string> {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0 || address.includes('%')) return refuse(EXPECTED);
  if (/^::ffff:/i.test(address)) return refuse(`write ${address.slice(0, 60)} as the IPv4 address that it is`);
  const bitsMax = family === 4 ? 32 : 128;
  if (bits === undefined) return ok(`${address.toLowerCase()}/${bitsMax}`);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > bitsMax) return refuse(EXPECTED);
  return ok(`${address.toLowerCase()}/${bits}`);
}

/**
 * Whether the address lies in one of the ranges, as `parseCidr` made them. An IPv4 client of an IPv6 socket counts as
 * IPv4. What is no address (`local`, `unknown`) lies nowhere.
 */
export function isWithin(ranges: readonly string[], address: string | undefined): boolean {
  const plain = (address ?? '').replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  const family = isIP(plain);
  if (family === 0) return false;
  return listOf(ranges).check(plain, family === 6 ? 'ipv6' : 'ipv4');
}

/** Asked for each ref of a push, and for each repository of a listing. */
const LISTS = new WeakMap<readonly string[], BlockList>();

function listOf(ranges: readonly string[]): BlockList {
  const known = LISTS.get(ranges);
  if (known !== undefined) return known;
  const list = new BlockList();
  for (const range of ranges) {
    const [start = '', bits = ''] = range.split('/');
    list.addSubnet(start, Number(bits), start.includes(':') ? 'ipv6' : 'ipv4');
  }
  LISTS.set(ranges, list);
  return list;
}
