/** A repository as one bundle over HTTP: whole, or from where a broken download ended. Who may is decided by the walk. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, ok, publicMessageOf, refuse, type Parsed } from '../base/fault.ts';
import { declareExact, writeThrough } from '../git/stream.ts';
import { ANONYMOUS, type Principal } from '../identity/principal.ts';
import { clientAddress } from '../request/address.ts';
import { parseAuthorization } from '../request/authorization.ts';
import type { VisitEnd, Visited } from '../request/visit.ts';
import type { Walk } from '../request/walk.ts';
import type { OpenBundle } from '../upload/bundles.ts';
import { changedMeanwhile } from '../upload/still.ts';
import type { BundleRequest, Upload } from '../upload/upload.ts';
import { spoken, type DoorMetrics } from './door.ts';
import { parseRange } from './http-range.ts';
import { turnedAway, type TurnedAway } from './turned-away.ts';

/** Last part of its URL: what the `repo` tool asks for, too, before it fetches. */
export const BUNDLE_NAME = 'clone.bundle';

export interface BundleDoorParts {
  readonly walk: Pick<Walk, 'visit'>;
  readonly open: (request: BundleRequest) => ReturnType<Upload['openBundle']>;
}

interface Exchange {
  readonly bundles: BundleDoorParts;
  readonly directory: { byToken(secret: string, address?: string): Promise<Principal | undefined> };
  readonly clock: Clock;
  readonly metrics: Pick<DoorMetrics, 'login'>;
  readonly onTurnedAway?: TurnedAway;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** It may be kept by nobody but its reader, and asks again before it is used again: permissions change. */
const PRIVATE: OutgoingHttpHeaders = { 'cache-control': 'private, no-cache', 'x-content-type-options': 'nosniff' };
const CHALLENGE = { 'www-authenticate': 'Basic realm="gatehouse", charset="UTF-8"' };
/** So often one is opened where the branches that may be read change meanwhile. */
const LOOKS_MAX = 4;
const NONE = 'there is no bundle of this repository: clone it without one';

/** The repository's path, where the URL is that of a bundle. */
export function parseBundleUrl(target: string): string | undefined {
  const path = target.split('?', 1)[0] ?? '';
  if (!path.endsWith(`/${BUNDLE_NAME}`)) return undefined;
  try {
    return decodeURIComponent(path.slice(0, -`/${BUNDLE_NAME}`.length));
  } catch {
    return undefined;
  }
}

/** Answers one request. Never throws. */
export async function serveBundle(exchange: Exchange, path: string): Promise<void> {
  const { request, response, directory, clock, bundles } = exchange;
  const id = newId(clock);
  const address = clientAddress(request.socket.remoteAddress);
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      answer(exchange, 405, 'this is asked for with GET or HEAD', { allow: 'GET, HEAD' });
      return;
    }
    const authorization = parseAuthorization(request.headers.authorization);
    const named = authorization.kind === 'token' ? await directory.byToken(authorization.secret, address) : undefined;
    if (authorization.kind !== 'none') exchange.metrics.login('http', named === undefined ? 'refused' : 'served');
    if (authorization.kind !== 'none' && named === undefined) {
      const reason = 'this token is wrong, expired or revoked';
      const origin = { id, transport: 'http', address } as const;
      exchange.onTurnedAway?.(turnedAway(origin, { event: 'login', reason, requestedPath: path }));
      answer(exchange, 401, reason, CHALLENGE);
      return;
    }
    const principal = named ?? ANONYMOUS;
    const outcome = await bundles.walk.visit(
      {
        id,
        transport: 'http',
        address,
        principal,
        event: 'bundle',
        argv: [],
        operation: 'read',
        requestedPath: path,
        signal: signalOf(response),
      },
      (visited) => send(exchange, id, visited),
    );
    if (outcome.kind === 'told') return;
    if (response.headersSent) response.destroy();
    else if (outcome.kind === 'faulted') answer(exchange, outcome.code === 'busy' ? 503 : 500, outcome.reason);
    else if (principal.kind === 'anonymous') answer(exchange, 401, outcome.reason, CHALLENGE);
    else answer(exchange, outcome.kind === 'missing' ? 404 : 403, outcome.reason);
  } catch (error) {
    if (response.headersSent) response.destroy();
    else answer(exchange, 500, publicMessageOf(error, id));
  }
}

async function send(exchange: Exchange, requestId: string, visited: Visited): Promise<VisitEnd> {
  const { request, response, bundles } = exchange;
  const { signal, onAnswer } = visited;
  const opened = await openStill(bundles, visited, requestId);
  if (opened.kind === 'refused') {
    const { reason } = opened;
    return { outcome: 'refused', reason, tell: async () => answer(exchange, reason === NONE ? 404 : 403, reason) };
  }
  using bundle = opened.value;
  const { size } = bundle;
  const etag = `"${bundle.etag}"`;
  const headers = { ...PRIVATE, etag, 'accept-ranges': 'bytes', 'content-type': 'application/x-git-bundle' };
  if (request.headers['if-none-match'] === etag) {
    return { outcome: 'served', bytesOut: 0, tell: async () => void response.writeHead(304, headers).end() };
  }
  // A part of another making fits nothing that the client has.
  const isSame = (request.headers['if-range'] ?? etag) === etag;
  const range = isSame && request.method === 'GET' ? parseRange(request.headers.range, size) : undefined;
  if (range === 'none') {
    const reason = 'nothing of the bundle lies there';
    const more = { 'content-range': `bytes */${size}` };
    return { outcome: 'refused', reason, tell: async () => answer(exchange, 416, reason, more) };
  }
  const { start, end } = range ?? { start: 0, end: size };
  onAnswer();
  declareExact(response);
  response.writeHead(range === undefined ? 200 : 206, {
    ...headers,
    'content-length': end - start,
    ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (request.method === 'GET')
    for await (const chunk of bundle.read({ start, end }, signal)) await writeThrough(response, chunk, signal);
  response.end();
  return { outcome: 'served', bytesOut: request.method === 'GET' ? end - start : 0 };
}

/**
 * It may take long to make: whoever lost the right to it meanwhile, or to a branch in it, does not get it.
 * @throws Fault of the making; `busy` where what may be read changes again and again.
 */
async function openStill({ open }: BundleDoorParts, visited: Visited, requestId: string): Promise<Parsed<OpenBundle>> {
  let { mayRead } = visited;
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    const { repository, freshen, signal, work } = visited;
    using stack = new DisposableStack();
    const bundle = await open({ repository, mayRead, freshen, requestId, signal, work });
    if (bundle === undefined) return refuse(NONE);
    stack.use(bundle);
    const still = await visited.confirm();
    if (still.kind === 'refused') return still;
    if (still.value.mayRead === mayRead) {
      stack.move();
      return ok(bundle);
    }
    ({ mayRead } = still.value);
  }
  throw changedMeanwhile();
}

function signalOf(response: ServerResponse): AbortSignal {
  const abort = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) abort.abort(new Fault('aborted', 'http client went away'));
  });
  return abort.signal;
}

function answer({ response }: Exchange, status: number, reason: string, more: OutgoingHttpHeaders = {}): void {
  if (response.destroyed || response.headersSent) return;
  const body = Buffer.from(spoken(reason));
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': body.length,
    ...PRIVATE,
    ...(status === 503 ? { 'retry-after': '5' } : {}),
    ...more,
  });
  response.end(body);
}
