/** One exchange of Git LFS over HTTP: its request, and how it is answered. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { Principal } from '../identity/principal.ts';
import { LFS_JSON } from '../lfs/batch.ts';
import type { VisitEnd } from '../request/visit.ts';
import type { DoorMetrics } from './door.ts';
import { discard, RequestBody, type BodyLimits } from './http-body.ts';
import type { LfsDoorParts } from './lfs-parts.ts';
import type { TurnedAway } from './turned-away.ts';

export interface HttpLfsParts {
  readonly lfs: LfsDoorParts;
  readonly directory: { byToken(secret: string, address?: string): Promise<Principal | undefined> };
  readonly clock: Clock;
  readonly metrics: Pick<DoorMetrics, 'login'>;
  readonly limits: BodyLimits;
  /** Of this door. */
  readonly scheme: 'http' | 'https';
  readonly onTurnedAway?: TurnedAway;
}

/** One request and its answer. */
export interface LfsExchange extends HttpLfsParts {
  readonly id: string;
  readonly address: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly expectsContinue: boolean;
}

export const NO_STORE: OutgoingHttpHeaders = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
const REALM = 'Basic realm="gatehouse", charset="UTF-8"';

/** The body of a JSON request. @throws Fault `bad-input` where it is longer than such a thing is. */
export async function smallBody({ request, response, limits, clock, expectsContinue }: LfsExchange): Promise<string> {
  const onBegin = (): void => {
    if (expectsContinue) response.writeContinue();
  };
  const body = new RequestBody({ request, decoder: undefined, limits, clock, onBegin });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BOUNDS.lfsRequestBytesMax) {
      const publicMessage = `a request of Git LFS has at most ${BOUNDS.lfsRequestBytesMax} bytes`;
      throw new Fault('bad-input', 'lfs request is too long', { publicMessage });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

export function told(exchange: LfsExchange, body: Json | undefined): VisitEnd {
  return { outcome: 'served', tell: () => answerJson(exchange, 200, body, {}) };
}

export function refused(
  exchange: LfsExchange,
  status: number,
  reason: string,
  headers: OutgoingHttpHeaders = {},
): VisitEnd {
  return { outcome: 'refused', reason, tell: () => answer(exchange, status, reason, headers) };
}

export function statusOf(code: string): number {
  switch (code) {
    case 'bad-input':
      return 400;
    case 'missing':
      return 404;
    case 'timeout':
      return 408;
    case 'upstream':
      return 502;
    case 'busy':
    case 'aborted':
      return 503;
    default:
      return 500;
  }
}

export function challenge(): OutgoingHttpHeaders {
  return { 'www-authenticate': REALM, 'lfs-authenticate': REALM };
}

export async function answer(
  exchange: LfsExchange,
  status: number,
  reason: string,
  headers: OutgoingHttpHeaders = {},
): Promise<void> {
  const retry = status === 503 ? { 'retry-after': '5' } : {};
  await answerJson(
    exchange,
    status,
    { message: `gatehouse: ${reason}`, request_id: exchange.id },
    { ...retry, ...headers },
  );
}

async function answerJson(
  exchange: LfsExchange,
  status: number,
  body: Json | undefined,
  headers: OutgoingHttpHeaders,
): Promise<void> {
  const { request, response, limits, clock, expectsContinue } = exchange;
  if (response.destroyed || response.headersSent) return;
  const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(`${JSON.stringify(body)}\n`);
  const isUnread = !request.complete && hasBody(request);
  response.writeHead(status, {
    ...(body === undefined ? {} : { 'content-type': LFS_JSON }),
    'content-length': bytes.length,
    ...NO_STORE,
    ...headers,
    ...(isUnread ? { connection: 'close' } : {}),
  });
  if (request.method !== 'HEAD') response.write(bytes);
  // Closing on a client that still sends would reset the connection and lose the words just written.
  if (isUnread && !expectsContinue) await discard(request, limits, clock);
  response.end();
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Where the client reached this gate: what the site says of itself, else what the client called it. */
export function originOf({ lfs, request, scheme }: LfsExchange): string {
  const given = lfs.publicUrl();
  if (given !== undefined) return given;
  const { host = '' } = request.headers;
  if (!/^[A-Za-z0-9.:[\]_-]{1,255}$/.test(host)) {
    throw new Fault('bad-input', 'no host in lfs request', { publicMessage: 'the request names no host' });
  }
  return `${scheme}://${host}`;
}

export function signalOf(response: ServerResponse): AbortSignal {
  const abort = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) abort.abort(new Fault('aborted', 'http client went away'));
  });
  return abort.signal;
}
