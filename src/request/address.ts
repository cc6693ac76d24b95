/** How the journal, the log and the limits name a client's address. */

/** Without port; an IPv4 client of an IPv6 socket in its IPv4 form. `unknown` where the socket is already gone. */
export function clientAddress(remoteAddress: string | undefined): string {
  return (remoteAddress ?? 'unknown').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}
