/** Git LFS pointers: the small text that stands in a tree in place of a file (git-lfs docs/spec.md, "The Pointer"). */
import { BOUNDS } from '../base/bounds.ts';

declare const oidBrand: unique symbol;
/** SHA-256 of an LFS object, 64 lower-case hexadecimal digits: safe in a path. */
export type LfsOid = string & { readonly [oidBrand]: true };

export interface LfsPointer {
  readonly oid: LfsOid;
  /** Bytes. */
  readonly size: number;
}

const OID = /^[0-9a-f]{64}$/;
// The last two are from before the first release; git-lfs still reads them, so they count here.
const VERSION =
  /^version (?:https:\/\/git-lfs\.github\.com\/spec\/v1|https:\/\/hawser\.github\.com\/spec\/v1|http:\/\/git-media\.io\/v\/2)$/;

/** Undefined for anything else. */
export function parseLfsOid(text: string): LfsOid | undefined {
  return OID.test(text) ? (text as LfsOid) : undefined;
}

/** A whole number of bytes that a file may have; undefined for anything else. */
export function parseLfsSize(value: unknown): number | undefined {
  const size = typeof value === 'string' && /^(?:0|[1-9]\d{0,15})$/.test(value) ? Number(value) : value;
  return typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : undefined;
}

/** Whether a blob of so many bytes can be a pointer at all: they are below 1,024. */
export function mayBePointer(bytes: number): boolean {
  return bytes > 0 && bytes < BOUNDS.lfsPointerBytesMax;
}

/**
 * The pointer that these bytes are, or undefined. What git-lfs takes for one is one here: the version first, then
 * lines of a key and a value, in any order, extensions among them; with CRLF or blanks around the whole too.
 */
export function parsePointer(bytes: Uint8Array): LfsPointer | undefined {
  if (!mayBePointer(bytes.length)) return undefined;
  const lines = new TextDecoder().decode(bytes).trim().split(/\r?\n/);
  if (!VERSION.test(lines[0] ?? '')) return undefined;
  const values = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const [, key, value] = /^([a-z0-9.-]+) (.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined || values.has(key)) return undefined;
    values.set(key, value.trim());
  }
  const oid = parseLfsOid(/^sha256:(.*)$/.exec(values.get('oid') ?? '')?.[1] ?? '');
  const size = parseLfsSize(values.get('size'));
  return oid === undefined || size === undefined ? undefined : { oid, size };
}
