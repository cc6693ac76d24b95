/** Git LFS over HTTP: one exchange from its head to its last byte. Who may what is decided by the walk. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, publicMessageOf, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { ANONYMOUS, type Principal } from '../identity/principal.ts';
import { batchAnswer, LFS_JSON, parseBatch, parseVerify } from '../lfs/batch.ts';
import { heldFrom, type LfsOperation } from '../lfs/grants.ts';
import type { LfsPointer } from '../lfs/pointer.ts';
import { clientAddress } from '../request/address.ts';
import { parseAuthorization } from '../request/authorization.ts';
import type { VisitEnd, VisitOutcome, VisitTail } from '../request/visit.ts';
import type { DoorMetrics } from './door.ts';
import { discard, RequestBody, type BodyLimits } from './http-body.ts';
import { parseRange } from './http-range.ts';
import { grantSecretIn, linkBase, type LfsDoorParts } from './lfs-parts.ts';
import type { LfsUrl } from './lfs-url.ts';
import { turnedAway, type TurnedAway } from './turned-away.ts';

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

interface Exchange extends HttpLfsParts {
  readonly id: string;
  readonly address: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly expectsContinue: boolean;
}

/** Who asks, and how far what was shown reaches. */
interface Asker {
  readonly principal: Principal;
  /** Undefined: it was no grant. */
  readonly grant?: { readonly repositoryId: string; readonly operation: LfsOperation };
}

const NO_STORE: OutgoingHttpHeaders = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
const REALM = 'Basic realm="gatehouse", charset="UTF-8"';
const LOCKS = 'file locks are not kept here';
const WRONG_CREDENTIAL = 'this token is wrong, expired or revoked';
/**
 * Of an upload that holds a secret: received, and not taken. git-lfs sends an object eight times more where its upload is
 * refused, with a pause each, and reads a 422 there as a complaint about content types; it asks `verify` next, which says why.
 */
const RECEIVED = 202;
/** A client gives up on a silent connection after 30 s (`lfs.activitytimeout`), and takes five interim answers at most. */
const ALIVE_MS = 20_000;
const ALIVE_MAX = 5;

/** Answers one request. Never throws. */
export async function serveLfs(about: Omit<Exchange, 'id' | 'address'>, url: LfsUrl): Promise<void> {
  const address = clientAddress(about.request.socket.remoteAddress);
  const exchange: Exchange = { ...about, id: newId(about.clock), address };
  try {
    const allowed = methodsOf(url);
    if (!allowed.includes(exchange.request.method ?? '')) {
      await answer(exchange, 405, `this is asked for with ${allowed.join(' or ')}`, { allow: allowed.join(', ') });
      return;
    }
    const asker = await askerOf(exchange);
    if (asker === undefined) {
      const reason = WRONG_CREDENTIAL;
      exchange.onTurnedAway?.(
        turnedAway({ ...exchange, transport: 'http' }, { event: 'login', reason, requestedPath: url.path }),
      );
      await answer(exchange, 401, reason, challenge());
      return;
    }
    await serve(exchange, url, asker);
  } catch (error) {
    if (exchange.response.headersSent || !(error instanceof Fault)) exchange.response.destroy();
    else await answer(exchange, statusOf(error.code), publicMessageOf(error, exchange.id)).catch(() => {});
  }
}

function methodsOf(url: LfsUrl): readonly string[] {
  if (url.kind === 'object') return ['GET', 'HEAD', 'PUT'];
  return url.kind === 'locks' ? ['GET', 'POST'] : ['POST'];
}

async function askerOf({ request, lfs, directory, metrics, address }: Exchange): Promise<Asker | undefined> {
  const header = request.headers.authorization;
  const secret = grantSecretIn(header);
  if (secret !== undefined) {
    const grant = lfs.grants.find(secret);
    if (grant === undefined) return undefined;
    return { principal: heldFrom(grant.principal, address), grant };
  }
  const authorization = parseAuthorization(header);
  if (authorization.kind === 'none') return { principal: ANONYMOUS };
  const principal = authorization.kind === 'token' ? await directory.byToken(authorization.secret, address) : undefined;
  metrics.login('http', principal === undefined ? 'refused' : 'served');
  return principal && { principal };
}

interface Asked {
  readonly operation: LfsOperation;
  readonly argv: readonly string[];
  readonly tail: VisitTail;
}

async function serve(exchange: Exchange, url: LfsUrl, asker: Asker): Promise<void> {
  const { lfs, id, address, response } = exchange;
  const asked = await askedOf(exchange, url);
  const turnAway = (reason: string): void => {
    const origin = { id, transport: 'http', address, principal: asker.principal } as const;
    exchange.onTurnedAway?.(turnedAway(origin, { event: 'connect', reason, requestedPath: url.path }));
  };
  if (asked.kind === 'refused') {
    turnAway(asked.reason);
    await answer(exchange, 422, asked.reason);
    return;
  }
  const { operation, argv, tail } = asked.value;
  const { principal, grant } = asker;
  if (grant !== undefined && operation === 'upload' && grant.operation !== 'upload') {
    const reason = 'what you showed lets you download, not upload';
    turnAway(reason);
    await answer(exchange, 403, reason);
    return;
  }
  const outcome = await lfs.walk.visit(
    {
      id,
      transport: 'http',
      address,
      principal,
      event: 'lfs',
      argv,
      operation: operation === 'upload' ? 'write' : 'read',
      requestedPath: url.path,
      ...(grant === undefined ? {} : { repositoryId: grant.repositoryId }),
      signal: signalOf(response),
    },
    tail,
  );
  await conclude(exchange, outcome, principal.kind === 'anonymous');
}

async function askedOf(exchange: Exchange, url: LfsUrl): Promise<Parsed<Asked>> {
  switch (url.kind) {
    case 'batch': {
      const text = await smallBody(exchange);
      const batch = parseBatch(text);
      if (batch.kind === 'refused') return batch;
      const { operation, objects } = batch.value;
      const tail: VisitTail = async ({ repository, principal, signal }) => {
        const { lfs, id } = exchange;
        const fates = await lfs.service.batch(repository, batch.value, { requestId: id, signal });
        const base = linkBase(lfs, originOf(exchange), { principal, repository, operation });
        return told(exchange, batchAnswer(batch.value, fates, base));
      };
      return { kind: 'ok', value: { operation, argv: ['batch', operation, String(objects.length)], tail } };
    }
    case 'verify': {
      const pointer = parseVerify(await smallBody(exchange));
      if (pointer === undefined) return { kind: 'refused', reason: 'verify is asked with an oid and a size' };
      const tail: VisitTail = async ({ repository }) => {
        const reason = await exchange.lfs.service.verifyRefusal(repository, pointer);
        return reason === undefined ? told(exchange, {}) : refused(exchange, 422, reason);
      };
      return { kind: 'ok', value: { operation: 'upload', argv: ['verify', pointer.oid], tail } };
    }
    case 'locks':
      return {
        kind: 'ok',
        value: { operation: 'download', argv: ['locks'], tail: async () => refused(exchange, 501, LOCKS) },
      };
    case 'object':
      return { kind: 'ok', value: objectAsked(exchange, url.pointer) };
    default:
      return url satisfies never;
  }
}

function objectAsked(exchange: Exchange, pointer: LfsPointer): Asked {
  if (exchange.request.method === 'PUT') {
    return {
      operation: 'upload',
      argv: ['upload', pointer.oid],
      tail: (visited) => upload(exchange, pointer, visited),
    };
  }
  const tail: VisitTail = (visited) => download(exchange, pointer, visited);
  return { operation: 'download', argv: ['download', pointer.oid], tail };
}

async function upload(
  exchange: Exchange,
  pointer: LfsPointer,
  { repository, principal, signal, confirm }: Parameters<VisitTail>[0],
): Promise<VisitEnd> {
  const { request, response, lfs, clock, limits } = exchange;
  const length = request.headers['content-length'];
  if (length !== undefined && Number(length) !== pointer.size) {
    return refused(exchange, 400, `the body has ${length} bytes, the link is for ${pointer.size}`);
  }
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    return refused(exchange, 415, 'an object is sent as it is, without Content-Encoding');
  }
  const onBegin = (): void => {
    if (exchange.expectsContinue) response.writeContinue();
  };
  const content = new RequestBody({ request, decoder: undefined, limits, clock, onBegin });
  const onAbort = (): void => {
    content.destroy(new Fault('aborted', 'lfs upload was aborted', { cause: signal.reason }));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  const stop = stayAlive(exchange);
  try {
    const taken = await lfs.service.upload({ repository, principal, pointer, content, confirm, signal });
    if (taken.kind === 'refused') {
      const status = taken.isForGood === true ? RECEIVED : 403;
      return { ...refused(exchange, status, taken.reason), bytesIn: pointer.size };
    }
    return { ...told(exchange, undefined), isChange: true, bytesIn: pointer.size };
  } finally {
    stop();
    signal.removeEventListener('abort', onAbort);
    content.destroy();
  }
}

/** Says now and then that something goes on: while an object is scanned, nothing comes and nothing goes. */
function stayAlive({ request, response, clock }: Exchange): () => void {
  let left = ALIVE_MAX;
  let cancel = (): void => {};
  const arm = (): void => {
    cancel = clock.after(ALIVE_MS, () => {
      if (response.headersSent || response.destroyed) return;
      if (request.complete && left > 0) {
        left -= 1;
        response.writeProcessing();
      }
      arm();
    });
  };
  arm();
  return () => {
    cancel();
  };
}

async function download(
  exchange: Exchange,
  pointer: LfsPointer,
  { repository, signal, onAnswer }: Parameters<VisitTail>[0],
): Promise<VisitEnd> {
  const { request, response, lfs, id } = exchange;
  await using object = await lfs.service.download(repository, pointer, { requestId: id, signal });
  if (object === undefined) return refused(exchange, 404, 'the object is not here');
  const { size } = object;
  const range = request.method === 'HEAD' ? undefined : parseRange(request.headers.range, size);
  if (range === 'none') {
    return refused(exchange, 416, 'nothing of the object lies there', { 'content-range': `bytes */${size}` });
  }
  const { start, end } = range ?? { start: 0, end: size };
  onAnswer();
  response.writeHead(range === undefined ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': end - start,
    'accept-ranges': 'bytes',
    etag: `"${pointer.oid}"`,
    ...NO_STORE,
    ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (request.method === 'HEAD') {
    response.end();
    return { outcome: 'served', bytesOut: 0 };
  }
  await pipeline(object.read(start, end), response, { signal });
  return { outcome: 'served', bytesOut: end - start };
}

/** The body of a JSON request. @throws Fault `bad-input` where it is longer than such a thing is. */
async function smallBody({ request, response, limits, clock, expectsContinue }: Exchange): Promise<string> {
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

function told(exchange: Exchange, body: Json | undefined): VisitEnd {
  return { outcome: 'served', tell: () => answerJson(exchange, 200, body, {}) };
}

function refused(exchange: Exchange, status: number, reason: string, headers: OutgoingHttpHeaders = {}): VisitEnd {
  return { outcome: 'refused', reason, tell: () => answer(exchange, status, reason, headers) };
}

async function conclude(exchange: Exchange, outcome: VisitOutcome, isAnonymous: boolean): Promise<void> {
  switch (outcome.kind) {
    case 'told':
      return;
    case 'missing':
    case 'refused':
      if (isAnonymous) await answer(exchange, 401, outcome.reason, challenge());
      else await answer(exchange, outcome.kind === 'missing' ? 404 : 403, outcome.reason);
      return;
    case 'faulted':
      // Half an object must not look whole.
      if (outcome.inBand || exchange.response.headersSent) exchange.response.destroy();
      else await answer(exchange, statusOf(outcome.code), outcome.reason);
      return;
    default:
      outcome satisfies never;
  }
}

function statusOf(code: string): number {
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

function challenge(): OutgoingHttpHeaders {
  return { 'www-authenticate': REALM, 'lfs-authenticate': REALM };
}

async function answer(
  exchange: Exchange,
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
  exchange: Exchange,
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
function originOf({ lfs, request, scheme }: Exchange): string {
  const given = lfs.publicUrl();
  if (given !== undefined) return given;
  const { host = '' } = request.headers;
  if (!/^[A-Za-z0-9.:[\]_-]{1,255}$/.test(host)) {
    throw new Fault('bad-input', 'no host in lfs request', { publicMessage: 'the request names no host' });
  }
  return `${scheme}://${host}`;
}

function signalOf(response: ServerResponse): AbortSignal {
  const abort = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) abort.abort(new Fault('aborted', 'http client went away'));
  });
  return abort.signal;
}
