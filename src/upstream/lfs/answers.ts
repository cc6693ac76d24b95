/** What an upstream's LFS server answers, read strictly and within bounds (git-lfs docs/api). */
import { isJsonObject } from '../../base/json.ts';

export interface Action {
  readonly href: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface BatchObject {
  readonly oid: string;
  /** The link carries all that it needs. */
  readonly isAuthenticated: boolean;
  readonly download?: Action;
  readonly upload?: Action;
  readonly verify?: Action;
  /** Why there is no link. */
  readonly error?: { readonly message: string };
}

/** Where LFS is served, and what to show there. */
export interface Login {
  readonly href: string;
  readonly headers: Readonly<Record<string, string>>;
}

const HEADERS_MAX = 32;
const HEADER_BYTES_MAX = 8 * 1024;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
/** What belongs to the connection and not to the link. */
const KEPT_BACK: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'cookie',
  'proxy-authorization',
]);

/** Undefined: it is no such answer. */
export function readBatch(text: string): ReadonlyMap<string, BatchObject> | undefined {
  const body = parsed(text);
  if (!isJsonObject(body)) return undefined;
  const { objects, transfer } = body;
  if (!Array.isArray(objects) || (transfer !== undefined && transfer !== 'basic')) return undefined;
  const found = new Map<string, BatchObject>();
  for (const object of objects as readonly unknown[]) {
    const read = readObject(object);
    if (read === undefined) return undefined;
    found.set(read.oid, read);
  }
  return found;
}

/** The JSON of `git-lfs-authenticate`; undefined: it is none. */
export function readLogin(text: string): Login | undefined {
  return readAction(parsed(text));
}

function readObject(value: unknown): BatchObject | undefined {
  if (!isJsonObject(value)) return undefined;
  const { oid, actions, error, authenticated } = value;
  if (typeof oid !== 'string') return undefined;
  const of = (name: 'download' | 'upload' | 'verify'): { readonly [name]?: Action } => {
    const action = isJsonObject(actions) ? readAction(actions[name]) : undefined;
    return action === undefined ? {} : { [name]: action };
  };
  const failure = isJsonObject(error)
    ? { error: { message: typeof error['message'] === 'string' ? error['message'].slice(0, 500) : '' } }
    : {};
  return {
    oid,
    isAuthenticated: authenticated === true,
    ...of('download'),
    ...of('upload'),
    ...of('verify'),
    ...failure,
  };
}

function readAction(value: unknown): Action | undefined {
  if (!isJsonObject(value) || typeof value['href'] !== 'string') return undefined;
  const { href, header = {} } = value;
  if (!isJsonObject(header)) return undefined;
  const entries = Object.entries(header).filter(([name]) => !KEPT_BACK.has(name.toLowerCase()));
  if (entries.length > HEADERS_MAX) return undefined;
  const headers: Record<string, string> = {};
  for (const [name, text] of entries) {
    const isFit = typeof text === 'string' && text.length <= HEADER_BYTES_MAX && /^[\t\x20-\x7e]*$/.test(text);
    if (!NAME.test(name) || !isFit) return undefined;
    headers[name.toLowerCase()] = text;
  }
  return { href, headers };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
