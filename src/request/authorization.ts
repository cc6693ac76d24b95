/** The token in an HTTP Authorization header, for every door that speaks HTTP. */

export type Authorization =
  /** No header: anonymous. */
  | { readonly kind: 'none' }
  | { readonly kind: 'token'; readonly secret: string }
  /** A header that holds no token: another scheme, broken base64, nothing in it. */
  | { readonly kind: 'unusable' };

/**
 * Basic (any user name, the token as password; or the token as user name and no password, as some clients
 * send it) and Bearer (RFC 7617, RFC 6750).
 */
export function parseAuthorization(header: string | undefined): Authorization {
  if (header === undefined) return { kind: 'none' };
  const match = /^(basic|bearer) +([\x21-\x7e]+) *$/i.exec(header);
  const [, scheme, value] = match ?? [];
  if (scheme === undefined || value === undefined) return { kind: 'unusable' };
  return scheme.toLowerCase() === 'bearer' ? token(value) : parseBasic(value);
}

function parseBasic(value: string): Authorization {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value)) return { kind: 'unusable' };
  const pair = Buffer.from(value, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon === -1) return { kind: 'unusable' };
  const password = pair.slice(colon + 1);
  return token(password === '' ? pair.slice(0, colon) : password);
}

function token(secret: string): Authorization {
  return secret === '' ? { kind: 'unusable' } : { kind: 'token', secret };
}
