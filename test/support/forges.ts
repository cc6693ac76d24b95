/**
 * Forges for tests: small servers that speak the published APIs of Gitea, GitHub and GitLab about deploy keys and webhooks,
 * strictly (paths, headers, fields, status codes, pages), in front of a real sshd that lets in exactly the keys that
 * were registered, each to its project, and to push only where it may.
 */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { startSshd } from './sshd.ts';
import { UpstreamRepositories } from './upstream.ts';
import { workspace, type Scope } from './workspace.ts';

export type ForgeKind = 'gitea' | 'github' | 'gitlab';

export interface RegisteredKey {
  readonly id: number;
  readonly project: string;
  readonly title: string;
  readonly key: string;
  readonly mayWrite: boolean;
}

export interface RegisteredHook {
  readonly id: number;
  readonly project: string;
  readonly url: string;
  readonly secret: string;
  /** GitLab's `signing_token`. */
  readonly signing: string | undefined;
  readonly events: readonly string[];
}

/** What a request gets instead of its answer. `after`: it is carried out first. */
export interface Fate {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly after?: boolean;
  /** The connection ends without an answer. */
  readonly drop?: boolean;
  /** Awaited before anything is done or said. */
  readonly wait?: () => Promise<void>;
}

export interface TestForge {
  readonly kind: ForgeKind;
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /** The one token that may administer projects, made for this run. */
  token: string;
  readonly repositories: UpstreamRepositories;
  readonly hostKey: string;
  /** What each request was, as `METHOD path`. */
  readonly seen: string[];
  readonly keys: RegisteredKey[];
  readonly hooks: RegisteredHook[];
  /** Elements of a page, whatever was asked for. */
  pageMax: number;
  /** Asked for each request; undefined: it takes its course. */
  fate: (request: { readonly method: string; readonly path: string }) => Fate | undefined;
  sshUrl(project: string): string;
  /** A key that somebody else registered. */
  addKey(key: Omit<RegisteredKey, 'id'>): RegisteredKey;
  /** Calls a webhook as this forge does; the status. */
  call(hook: RegisteredHook, body: string, change?: (headers: Record<string, string>) => void): Promise<number>;
}

const PREFIX: Readonly<Record<ForgeKind, string>> = { gitea: '/api/v1', github: '/api/v3', gitlab: '/api/v4' };

export async function startForge(scope: Scope, kind: ForgeKind): Promise<TestForge> {
  const repositories = new UpstreamRepositories(scope);
  const directory = workspace(scope, 'gatehouse-forge-');
  const authorized = join(directory, 'authorized_keys');
  const gate = join(directory, 'gate');
  writeFileSync(authorized, '', { mode: 0o600 });
  writeFileSync(gate, COMMAND, { mode: 0o755 });
  chmodSync(gate, 0o755);
  const sshd = await startSshd(scope, { home: directory, lines: [`AuthorizedKeysFile ${authorized}`] });
  const server = createServer((request, response) => void serve(forge, request, response, write));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  let number = 40;
  const write = (): void => {
    const lines = forge.keys.map(({ key, project, mayWrite }) => {
      const words = [gate, mayWrite ? 'write' : 'read', repositories.path(project)].join(' ');
      return `restrict,command="${words}" ${key}\n`;
    });
    // Another file in one step: sshd reads it at each login.
    writeFileSync(`${authorized}.new`, lines.join(''), { mode: 0o600 });
    renameSync(`${authorized}.new`, authorized);
  };
  const forge: TestForge & { next(): number } = {
    kind,
    url: `http://127.0.0.1:${address.port}`,
    token: `forge-${randomBytes(16).toString('hex')}`,
    repositories,
    hostKey: sshd.hostKey,
    seen: [],
    keys: [],
    hooks: [],
    pageMax: 50,
    fate: () => undefined,
    next: () => (number += 1),
    sshUrl: (project) => `ssh://${userInfo().username}@127.0.0.1:${sshd.port}${repositories.path(project)}`,
    addKey(key) {
      const added = { ...key, id: forge.next() };
      forge.keys.push(added);
      write();
      return added;
    },
    call: (hook, body, change) => callHook(kind, hook, body, change),
  };
  return forge;
}

/** One project, to read or to write. */
const COMMAND = `#!/bin/sh
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
case "$SSH_ORIGINAL_COMMAND" in
  "git-upload-pack '$2'") ;;
  "git-receive-pack '$2'") [ "$1" = write ] || { echo "this deploy key is read-only" >&2; exit 128; } ;;
  *) echo "this deploy key is for $2 only" >&2; exit 128 ;;
esac
exec git shell -c "$SSH_ORIGINAL_COMMAND"
`;

type State = TestForge & { next(): number };

async function serve(forge: State, request: IncomingMessage, response: ServerResponse, onKeys: () => void) {
  const { method = '', url = '' } = request;
  const path = url.split('?')[0] ?? '';
  forge.seen.push(`${method} ${path}`);
  const body = await text(request);
  const fate = forge.fate({ method, path });
  await fate?.wait?.();
  const real = fate === undefined || fate.after === true ? answerTo(forge, request, body) : undefined;
  if (real !== undefined && method !== 'GET') onKeys();
  if (fate?.drop === true) {
    request.socket.destroy();
    return;
  }
  const answer =
    fate === undefined || fate.status === undefined ? real : { status: fate.status, body: fate.body ?? '' };
  const { status, body: said, headers } = { headers: {}, body: '', status: 500, ...answer };
  response.writeHead(status, { 'content-type': 'application/json', ...headers, ...fate?.headers });
  response.end(typeof said === 'string' ? said : JSON.stringify(said));
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

function answerTo(forge: State, request: IncomingMessage, body: string): Answer {
  const { method = '', url = '', headers } = request;
  const asked = new URL(url, 'http://forge');
  const denied = unauthorized(forge, headers);
  if (denied !== undefined) return denied;
  const match = pathOf(forge.kind).exec(asked.pathname);
  const [project, collection, id] = [decodeURIComponent(match?.[1] ?? ''), match?.[2] ?? '', match?.[3]];
  if (match === null || !forge.repositories.has(project)) return { status: 404, body: { message: 'Not Found' } };
  const list: { id: number; project: string }[] = collection === 'hooks' ? forge.hooks : forge.keys;
  if (method === 'GET' && id === undefined) {
    const all = list.filter((one) => one.project === project).map((one) => shown(forge.kind, one));
    return page(forge, asked, all);
  }
  if (method === 'DELETE' && id !== undefined) {
    const at = list.findIndex((one) => one.project === project && String(one.id) === id);
    if (at < 0) return { status: 404, body: { message: '404 Not found' } };
    list.splice(at, 1);
    return { status: 204 };
  }
  if (method !== 'POST' || id !== undefined) return { status: 405, body: { message: 'method not allowed' } };
  if (headers['content-type'] !== 'application/json') return { status: 415, body: { message: 'JSON is wanted' } };
  const given = JSON.parse(body) as Readonly<Record<string, unknown>>;
  return collection === 'hooks' ? addHook(forge, project, given) : addKey(forge, project, given);
}

/** Each its own header, and no other. */
function unauthorized({ kind, token }: State, headers: IncomingMessage['headers']): Answer | undefined {
  const wanted = { gitea: `token ${token}`, github: `Bearer ${token}`, gitlab: undefined }[kind];
  const isRight = kind === 'gitlab' ? headers['private-token'] === token : headers.authorization === wanted;
  if (!isRight) return { status: 401, body: { message: kind === 'gitlab' ? '401 Unauthorized' : 'Bad credentials' } };
  if (kind !== 'github') return undefined;
  // GitHub refuses requests without a user agent.
  if (headers['user-agent'] === undefined) return { status: 403, body: { message: 'user agent' } };
  const isVersioned =
    headers.accept === 'application/vnd.github+json' && headers['x-github-api-version'] === '2022-11-28';
  return isVersioned ? undefined : { status: 400, body: { message: 'version' } };
}

function pathOf(kind: ForgeKind): RegExp {
  const [project, keys] = kind === 'gitlab' ? ['/projects/([^/]+)', 'deploy_keys'] : ['/repos/([^/]+/[^/]+)', 'keys'];
  return new RegExp(`^${PREFIX[kind]}${project}/(${keys}|hooks)(?:/(\\d+))?$`);
}

function addKey(forge: State, project: string, given: Readonly<Record<string, unknown>>): Answer {
  const { title, key } = given;
  const [field, other] = forge.kind === 'gitlab' ? ['can_push', 'read_only'] : ['read_only', 'can_push'];
  const flag = given[field];
  const isWhole = typeof title === 'string' && typeof key === 'string' && typeof flag === 'boolean';
  if (!isWhole || other in given || !/^ssh-ed25519 [A-Za-z0-9+/]{68}$/.test(key))
    return { status: 422, body: { message: 'Validation Failed', errors: [{ field: 'key' }] } };
  if (forge.keys.some((one) => one.key === key))
    return { status: forge.kind === 'gitlab' ? 400 : 422, body: { message: 'key is already in use' } };
  const added = { id: forge.next(), project, title, key, mayWrite: forge.kind === 'gitlab' ? flag : !flag };
  forge.keys.push(added);
  return { status: 201, body: shown(forge.kind, added) };
}

function addHook(forge: State, project: string, given: Readonly<Record<string, unknown>>): Answer {
  const config = (forge.kind === 'gitlab' ? given : given['config']) as Readonly<Record<string, unknown>> | undefined;
  const { url, secret, token, signing_token: signing } = config ?? {};
  const isNamed = { gitea: given['type'] === 'gitea', github: given['name'] === 'web', gitlab: true }[forge.kind];
  const shownSecret = forge.kind === 'gitlab' ? token : secret;
  if (!isNamed || typeof url !== 'string' || typeof shownSecret !== 'string')
    return { status: 422, body: { message: 'Validation Failed' } };
  if (forge.kind === 'gitlab' && !/^whsec_[A-Za-z0-9+/]{43}=$/.test(String(signing)))
    return { status: 400, body: { message: { signing_token: ['is invalid'] } } };
  const added: RegisteredHook = {
    id: forge.next(),
    project,
    url,
    secret: shownSecret,
    signing: typeof signing === 'string' ? signing : undefined,
    events: Array.isArray(given['events']) ? given['events'].map(String) : ['push'],
  };
  forge.hooks.push(added);
  return { status: 201, body: shown(forge.kind, added) };
}

/** As each API shows them; secrets are not. */
function shown(kind: ForgeKind, one: object): unknown {
  if ('url' in one && 'secret' in one) {
    const { id, url, events } = one as RegisteredHook;
    if (kind === 'gitlab') return { id, url, push_events: true, tag_push_events: true, signing_token_present: true };
    return {
      id,
      type: kind === 'gitea' ? 'gitea' : 'Repository',
      active: true,
      events,
      config: { url, content_type: 'json' },
    };
  }
  const { id, title, key, mayWrite } = one as RegisteredKey;
  const created_at = '2026-01-01T00:00:00Z';
  if (kind === 'gitlab') return { id, title, key, created_at, can_push: mayWrite };
  // Gitea keeps the comment of a key, so one is shown.
  return { id, title, key: kind === 'gitea' ? `${key} comment` : key, created_at, read_only: !mayWrite };
}

function page({ kind, pageMax, url }: State, asked: URL, all: readonly unknown[]): Answer {
  const size = Math.min(pageMax, Number(asked.searchParams.get(kind === 'gitea' ? 'limit' : 'per_page') ?? '30'));
  const number = Number(asked.searchParams.get('page') ?? '1');
  const body = all.slice((number - 1) * size, number * size);
  const isLast = number * size >= all.length;
  const link = `<${url}${asked.pathname}?page=${number + 1}>; rel="next"`;
  const next = kind === 'gitlab' ? { 'x-next-page': isLast ? '' : String(number + 1) } : {};
  return { status: 200, body, headers: { ...next, ...(isLast || kind === 'gitlab' ? {} : { link }) } };
}

async function callHook(
  kind: ForgeKind,
  { url, secret, signing }: RegisteredHook,
  body: string,
  change: (headers: Record<string, string>) => void = () => {},
): Promise<number> {
  const hmac = createHmac('sha256', secret).update(body).digest('hex');
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (kind === 'github') Object.assign(headers, { 'x-hub-signature-256': `sha256=${hmac}`, 'x-github-event': 'push' });
  if (kind === 'gitea') Object.assign(headers, { 'x-gitea-signature': hmac, 'x-forgejo-signature': hmac });
  if (kind === 'gitlab') {
    const [id, time] = ['msg-1', '1790000000'];
    const key = Buffer.from((signing ?? '').replace('whsec_', ''), 'base64');
    const signature = createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64');
    Object.assign(headers, { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1,${signature}` });
    headers['x-gitlab-token'] = secret;
  }
  change(headers);
  const answer = await fetch(url, { method: 'POST', headers, body });
  await answer.text();
  return answer.status;
}
