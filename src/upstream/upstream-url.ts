/**
 * An upstream's address, read once and strictly, in the spellings that git takes (git-clone(1), "GIT URLS"). Whatever
 * could be taken for an option, another program or a file of this machine is refused, and so is a secret in an address.
 */
import { Buffer } from 'node:buffer';
import { isIPv4, isIPv6 } from 'node:net';
import { ok, refuse, type Parsed, type Refusal } from '../base/fault.ts';
import type { UpstreamScheme, UpstreamUrl } from './upstream.ts';

export interface UpstreamUrlOptions {
  /** Takes `http://` to hosts other than this one: credential and objects go over the network in the clear. Default: no. */
  readonly allowsClearText?: boolean;
}

const URL_BYTES_MAX = 2_048;
const PORTS: Readonly<Record<UpstreamScheme, number>> = { ssh: 22, https: 443, http: 80, git: 9418 };
/** Accepted spellings; git itself still knows the two joined ones. */
const SCHEMES: ReadonlyMap<string, UpstreamScheme> = new Map([
  ['ssh', 'ssh'],
  ['git+ssh', 'ssh'],
  ['ssh+git', 'ssh'],
  ['https', 'https'],
  ['http', 'http'],
  ['git', 'git'],
]);
const FORMS = 'ssh://git@HOST/PATH, git@HOST:PATH, https://HOST/PATH or git://HOST/PATH';
const USER = /^[A-Za-z0-9_.][A-Za-z0-9_.+~-]{0,127}$/;
const HOST = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** The address in `text`; the refusal says what to write instead and never repeats a password. */
export function parseUpstreamUrl(text: string, options: UpstreamUrlOptions = {}): Parsed<UpstreamUrl> {
  if (text === '') return refuse(`there is no address: write ${FORMS}`);
  if (Buffer.byteLength(text) > URL_BYTES_MAX) return refuse(`an address has at most ${URL_BYTES_MAX} bytes`);
  if (/[\p{Cc}\p{Zl}\p{Zp} ]/u.test(text) || !text.isWellFormed()) {
    return refuse('an address holds no spaces, line ends or other control characters');
  }
  if (text.startsWith('-')) return refuse(`an address does not start with "-": write ${FORMS}`);
  if (/^[A-Za-z0-9][A-Za-z0-9+.-]*::/.test(text)) {
    return refuse(`remote helpers (NAME::...) would run programs here and are not taken: write ${FORMS}`);
  }
  const url = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/]*)(.*)$/s.exec(text);
  if (url !== null) {
    const [, scheme = '', authority = '', path = ''] = url;
    return parseUrl({ text, scheme: scheme.toLowerCase(), authority, path }, options);
  }
  return parseScpForm(text);
}

/** Whether `host` is this machine by its very name: nothing between the two can be listened to. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** The host as it stands in a URL or a message: IPv6 in brackets. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

interface Pieces {
  readonly text: string;
  readonly scheme: string;
  readonly authority: string;
  /** With its leading slash, as it was written. */
  readonly path: string;
}

function parseUrl(pieces: Pieces, options: UpstreamUrlOptions): Parsed<UpstreamUrl> {
  const scheme = SCHEMES.get(pieces.scheme);
  if (scheme === undefined) return refuse(`"${pieces.scheme}://" is no address of an upstream: write ${FORMS}`);
  const at = pieces.authority.lastIndexOf('@');
  const user = parseUser(scheme, at === -1 ? undefined : pieces.authority.slice(0, at));
  if (user.kind === 'refused') return user;
  const place = parsePlace(pieces.authority.slice(at + 1), PORTS[scheme]);
  if (place.kind === 'refused') return place;
  const { host, port } = place.value;
  if (scheme === 'http' && options.allowsClearText !== true && !isLoopbackHost(host)) {
    return refuse('http:// sends credential and objects in the clear: write https://');
  }
  const isHttp = scheme === 'http' || scheme === 'https';
  const path = isHttp ? parseHttpPath(pieces.path) : parseServerPath(pieces.path);
  if (path.kind === 'refused') return path;
  return ok({ scheme, user: user.value, host, port, path: path.value, text: pieces.text });
}

/** `[user@]host:path`: no slash before the first colon, else it is a file (git-clone(1)). */
function parseScpForm(text: string): Parsed<UpstreamUrl> {
  const match = /^(?:([^/@[\]]*)@)?(\[[^\]/]*\]|[^/:@[\]]+):(.*)$/s.exec(text);
  if (match === null) return refuse(`a file of this machine is no upstream: write ${FORMS}`);
  const [, written, host = '', path = ''] = match;
  if (written === undefined && host.length === 1) {
    return refuse(`a file of this machine is no upstream: write ${FORMS}`);
  }
  const user = parseUser('ssh', written);
  if (user.kind === 'refused') return user;
  const place = parsePlace(host, PORTS.ssh);
  if (place.kind === 'refused') return place;
  const asked = checkPath(path.startsWith('/~') ? path.slice(1) : path);
  if (asked.kind === 'refused') return asked;
  return ok({ scheme: 'ssh', user: user.value, ...place.value, path: asked.value, text });
}

function parseUser(scheme: UpstreamScheme, written: string | undefined): Parsed<string | undefined> {
  if (written === undefined) return ok(scheme === 'ssh' ? 'git' : undefined);
  if (written.includes(':')) {
    return refuse(
      'no password in an address: give the credential by itself, where it is sealed; the address is shown to everybody',
    );
  }
  if (scheme !== 'ssh') {
    return refuse(
      'no user name in an address that is not ssh: it belongs to the credential; leave out everything up to the "@"',
    );
  }
  const user = decoded(written);
  if (user !== undefined && USER.test(user)) return ok(user);
  return refuse('the user in an address has letters, digits and . _ + ~ -, and does not start with "-"');
}

function parsePlace(text: string, defaultPort: number): Parsed<{ readonly host: string; readonly port: number }> {
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(text);
  if (match === null)
    return refuse('the host of an address is a name, an IPv4 address, or an IPv6 address in brackets');
  const [, written = '', digits] = match;
  const host = parseHost(written);
  if (host.kind === 'refused') return host;
  if (digits === undefined || digits === '') return ok({ host: host.value, port: defaultPort });
  const port = Number(digits);
  if (digits.length > 5 || port < 1 || port > 65_535) return refuse('a port is a number from 1 to 65535');
  return ok({ host: host.value, port });
}

function parseHost(written: string): Parsed<string> {
  if (written === '') return refuse(`an address needs a host: write ${FORMS}`);
  if (written.startsWith('[')) {
    const address = written.slice(1, -1).toLowerCase();
    return isIPv6(address) && !address.includes('%') ? ok(address) : refuse('between brackets stands an IPv6 address');
  }
  if (!HOST.test(written) || written.includes('..')) {
    return refuse('the host of an address has letters, digits, dots and "-", and starts with a letter or digit');
  }
  return ok(written.toLowerCase());
}

/** Of ssh and git://: percent-decoded, `/~user/...` without its slash (as git asks for it). */
function parseServerPath(written: string): Parsed<string> {
  const path = decoded(written);
  if (path === undefined) return refuse('the path of the address is not well-formed percent-encoding');
  return checkPath(path.startsWith('/~') ? path.slice(1) : path);
}

/** Of http: stays percent-encoded, for that is how it is asked for. */
function parseHttpPath(written: string): Parsed<string> {
  if (/[?#]/.test(written)) return refuse('no "?" and no "#" in the address of a repository');
  const path = decoded(written);
  if (path === undefined) return refuse('the path of the address is not well-formed percent-encoding');
  const checked = checkPath(path);
  if (checked.kind === 'refused') return checked;
  if (path.split('/').some((part) => part === '.' || part === '..'))
    return refuse('no "." or ".." in the address of a repository');
  const asked = new URL(`http://host${written}`).pathname.replace(/\/+$/, '');
  return asked === '' ? NO_PATH : ok(asked);
}

const NO_PATH: Refusal = refuse('an address needs the path of a repository behind the host');

function checkPath(path: string): Parsed<string> {
  if (/^\/*$/.test(path)) return NO_PATH;
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(path)) return refuse('the path of an address holds no control characters');
  // `git-upload-pack '-x'` would read it as an option.
  if (path.startsWith('-')) return refuse('the path of an address does not start with "-"');
  return ok(path);
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
