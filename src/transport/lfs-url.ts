/** The URLs of Git LFS below a repository's (git-lfs docs/api/server-discovery.md): NAME/info/lfs or NAME.git/info/lfs. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { parseLfsOid, parseLfsSize, type LfsPointer } from '../lfs/pointer.ts';

export type LfsUrl = { readonly path: string } & (
  | { readonly kind: 'batch' }
  | { readonly kind: 'verify' }
  /** Where the links of a batch lead. */
  | { readonly kind: 'object'; readonly pointer: LfsPointer }
  | { readonly kind: 'locks' }
);

const BELOW = /^(.*)\/info\/lfs(\/.*)?$/s;
const OBJECT = /^\/objects\/([^/]*)\/([^/]*)$/;

/** What a request target means, or undefined where it is none of LFS's. As `parseGitUrl`, nothing in it is resolved. */
export function parseLfsUrl(target: string): Parsed<LfsUrl> | undefined {
  const [rawPath = ''] = target.split('?');
  const match = BELOW.exec(rawPath);
  if (match === null || rawPath.endsWith('/info/refs')) return undefined;
  const path = decode(match[1] ?? '');
  if (path === undefined) return refuse('the path is not well-formed percent-encoding');
  const rest = match[2] ?? '';
  if (rest === '/objects/batch') return ok({ kind: 'batch', path });
  if (rest === '/verify') return ok({ kind: 'verify', path });
  if (/^\/locks(?:\/|$)/.test(rest)) return ok({ kind: 'locks', path });
  const [, oidText = '', sizeText = ''] = OBJECT.exec(rest) ?? [];
  const oid = parseLfsOid(oidText);
  const size = parseLfsSize(sizeText);
  if (oid === undefined || size === undefined) return refuse('there is no such page of Git LFS');
  return ok({ kind: 'object', path, pointer: { oid, size } });
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
