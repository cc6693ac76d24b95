/** Git's URLs below a repository's (gitprotocol-http): which are services, which are of clients too old for us. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { GIT_SERVICES, parseGitService, type GitService } from '../git/service.ts';

export type GitUrl =
  /** GET: what a clone or push asks first. */
  | { readonly kind: 'advertise'; readonly path: string; readonly service: GitService }
  /** POST. */
  | { readonly kind: 'rpc'; readonly path: string; readonly service: GitService }
  /** Files of the repository itself, as git before 1.6.6 fetched them one by one. */
  | { readonly kind: 'dumb' };

const SERVICE = new RegExp(`^(.*)/git-(${GIT_SERVICES.join('|')})$`, 's');
const DUMB = /\/(?:HEAD|objects\/(?:info\/.+|pack\/.+|[0-9a-f]{2}\/[0-9a-f]+))$/;

/**
 * What a request target means, or undefined where it is none of Git's. The path is decoded once; nothing in it
 * is resolved: `..`, encoded slashes and control characters reach the name parser, which refuses them.
 */
export function parseGitUrl(target: string): Parsed<GitUrl> | undefined {
  const [rawPath = '', ...rest] = target.split('?');
  const query = rest.join('?');
  const isListing = rawPath.endsWith('/info/refs');
  const rpc = SERVICE.exec(rawPath);
  if (!isListing && rpc === null) return DUMB.test(rawPath) ? ok({ kind: 'dumb' }) : undefined;
  const path = decode(isListing ? rawPath.slice(0, -'/info/refs'.length) : (rpc?.[1] ?? ''));
  if (path === undefined) return refuse('the path is not well-formed percent-encoding');
  const asked = isListing ? serviceIn(query) : `git-${rpc?.[2] ?? ''}`;
  if (asked === null) return ok({ kind: 'dumb' });
  const service = asked.startsWith('git-') ? parseGitService(asked) : undefined;
  if (service === undefined) return refuse('there is no such Git service');
  if (!isListing) return ok({ kind: 'rpc', path, service });
  if (service === 'upload-archive') return refuse('git-upload-archive advertises nothing');
  return ok({ kind: 'advertise', path, service });
}

function serviceIn(query: string): string | null {
  // As git writes it.
  const plain = /^service=([a-z-]+)$/.exec(query)?.[1];
  return plain ?? new URLSearchParams(query).get('service');
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
