/** Where a door listens: `HOST:PORT`, IPv6 in brackets, or `off`. */
import { isIP } from 'node:net';
import { ok, refuse, type Parsed } from './fault.ts';

export interface Listen {
  /** A name or an address, without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** `off`: the door stays closed. */
export type Address = Listen | 'off';

const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const EXPECTED = 'an address is HOST:PORT (127.0.0.1:2222, [::1]:2222, host.example:0) or off';

export function parseAddress(text: string): Parsed<Address> {
  if (text === 'off') return ok('off');
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return refuse(EXPECTED);
  const [, bracketed, plain, portText] = match;
  const host = bracketed ?? plain ?? '';
  const isHost = bracketed === undefined ? isIP(host) === 4 || HOST_NAME.test(host) : isIP(host) === 6;
  if (!isHost) return refuse(EXPECTED);
  const port = Number(portText);
  return port <= 65_535 ? ok({ host, port }) : refuse(`a port is at most 65535, not ${port}`);
}

/** The same form that `parseAddress` reads. */
export function formatAddress(address: Address): string {
  if (address === 'off') return 'off';
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}
