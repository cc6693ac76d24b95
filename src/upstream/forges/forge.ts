/**
 * A forge (Gitea, Forgejo, GitHub, GitLab) as far as the gate asks it for something: deploy keys and webhooks of one project.
 * Each dialect is a file; `forge-client.ts` speaks HTTP for all of them.
 */
import { isIP } from 'node:net';
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { isWithin } from '../../base/cidr.ts';
import type { UpstreamUrl } from '../upstream.ts';

export const FORGE_KINDS = ['gitea', 'github', 'gitlab'] as const;
export type ForgeKind = (typeof FORGE_KINDS)[number];

/** Where a project is asked for; no secret. */
export interface ForgePlace {
  readonly kind: ForgeKind;
  /** Of the API, without a slash at the end: `https://git.example/api/v1`. */
  readonly apiUrl: string;
  /** `org/repo`; at GitLab with any number of groups. */
  readonly project: string;
  /** PEM: the only authorities to trust. Undefined: the system's. */
  readonly authorities: string | undefined;
}

export interface ForgeKey {
  /** The forge's own. */
  readonly id: string;
  readonly title: string;
  /** `TYPE BASE64`, without a comment. */
  readonly publicKey: string;
  readonly mayWrite: boolean;
}

export interface ForgeHook {
  readonly id: string;
  readonly url: string;
}

export interface Asking {
  readonly signal: AbortSignal;
}

/** One project at one forge. Each call @throws Fault `upstream` with words that say what to do, `aborted`. */
export interface Forge {
  createKey(key: Omit<ForgeKey, 'id'>, asking: Asking): Promise<ForgeKey>;
  listKeys(asking: Asking): Promise<readonly ForgeKey[]>;
  /** False: it was gone already. */
  deleteKey(id: string, asking: Asking): Promise<boolean>;
  /** `secret` is 32 bytes in base64url. */
  createHook(hook: { readonly url: string; readonly secret: string }, asking: Asking): Promise<ForgeHook>;
  listHooks(asking: Asking): Promise<readonly ForgeHook[]>;
  deleteHook(id: string, asking: Asking): Promise<boolean>;
}

const API_PATHS: Readonly<Record<ForgeKind, string>> = { gitea: '/api/v1', github: '/api/v3', gitlab: '/api/v4' };
const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1/128'];

export interface AskedPlace {
  readonly kind: string;
  /** Of the forge or of its API; default: the upstream's host. */
  readonly url: string | undefined;
  /** Default: the upstream's path. */
  readonly project: string | undefined;
  readonly authorities: string | undefined;
}

/** Where the project behind `upstream` is asked for. */
export function parseForgePlace(asked: AskedPlace, upstream: UpstreamUrl): Parsed<ForgePlace> {
  const kind = FORGE_KINDS.find((each) => each === (asked.kind === 'forgejo' ? 'gitea' : asked.kind));
  if (kind === undefined) return refuse('a forge is gitea (Forgejo, too), github or gitlab');
  const apiUrl = parseApiUrl(kind, asked.url ?? defaultUrl(upstream));
  if (apiUrl.kind === 'refused') return apiUrl;
  const project = parseProject(kind, asked.project ?? upstream.path.replace(/^\/+|\/+$/g, '').replace(/\.git$/, ''));
  if (project.kind === 'refused') return project;
  return ok({ kind, apiUrl: apiUrl.value, project: project.value, authorities: asked.authorities });
}

function defaultUrl({ host }: UpstreamUrl): string {
  return `https://${host.includes(':') ? `[${host}]` : host}`;
}

function parseApiUrl(kind: ForgeKind, text: string): Parsed<string> {
  const url = URL.parse(text);
  if (url === null) return refuse("a forge's address is a URL: https://git.example");
  if (url.username !== '' || url.password !== '') return refuse('no user and no token in the address of a forge');
  if (url.search !== '' || url.hash !== '') return refuse('no "?" and no "#" in the address of a forge');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isLoopback = isIP(host) !== 0 && isWithin(LOOPBACK, host);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback))
    return refuse('a forge is asked over https: a token in the clear would be for everybody to read');
  const path = url.pathname.replace(/\/+$/, '');
  if (kind === 'github' && (host === 'api.github.com' || host === 'github.com' || host === 'ssh.github.com'))
    return ok('https://api.github.com');
  return ok(`${url.origin}${path.endsWith(API_PATHS[kind]) ? path : `${path}${API_PATHS[kind]}`}`);
}

function parseProject(kind: ForgeKind, text: string): Parsed<string> {
  const parts = text.split('/');
  const isPlain = parts.every((part) => /^[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}$/.test(part));
  const fits = kind === 'gitlab' ? parts.length >= 2 && parts.length <= 22 : parts.length === 2;
  if (isPlain && fits) return ok(text);
  return refuse(`the project at the forge is ${kind === 'gitlab' ? 'GROUP/…/PROJECT' : 'OWNER/REPOSITORY'}: name it`);
}

/** What marks a key as this gate's: what `mirror sweep` looks for where a crash left no number. */
export function titleOf(gateId: string, mirror: string): string {
  return `${titlePrefix(gateId)}${mirror}`;
}

export function titlePrefix(gateId: string): string {
  return `gatehouse ${gateId} `;
}
