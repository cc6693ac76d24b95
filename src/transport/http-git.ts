/** Git over HTTP: one exchange from its head to its last byte. What is asked is decided by the walk. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { finished } from 'node:stream/promises';
import { newId, type Clock } from '../base/clock.ts';
import { GIT_SERVICES, type GitService } from '../git/service.ts';
import { ANONYMOUS, type Principal } from '../identity/principal.ts';
import { clientAddress } from '../request/address.ts';
import { parseAuthorization } from '../request/authorization.ts';
import type { Outcome } from '../request/request.ts';
import { parseProtocol, spoken, type DoorMetrics, type DoorWalk } from './door.ts';
import type { GitUrl } from './git-url.ts';
import { turnedAway, type TurnedAway, type TurnedAwayAbout } from './turned-away.ts';
import { decoderFor, discard, type BodyLimits } from './http-body.ts';
import { HttpGitRequest } from './http-request.ts';
import { turnParsed } from './http-turn.ts';

export interface HttpGitParts {
  readonly walk: DoorWalk;
  readonly directory: { byToken(secret: string, address?: string): Promise<Principal | undefined> };
  readonly clock: Clock;
  readonly metrics: Pick<DoorMetrics, 'login'>;
  readonly limits: BodyLimits;
  /** Told of whom the door turns away before the walk hears of it. */
  readonly onTurnedAway?: TurnedAway;
}

/** Nothing of a repository may be kept by a cache: the next answer may be another, or for somebody else. */
const NO_CACHE: OutgoingHttpHeaders = {
  'cache-control': 'no-cache, max-age=0, must-revalidate',
  expires: 'Fri, 01 Jan 1980 00:00:00 GMT',
  pragma: 'no-cache',
};
const DUMB = 'use a smart client: git 1.6.6 or newer';
const REALM = 'Basic realm="gatehouse", charset="UTF-8"';

interface Exchange extends HttpGitParts {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
}

type ServiceUrl = Exclude<GitUrl, { readonly kind: 'dumb' }>;

/** Answers one request. Never throws. */
export async function serveGit(exchange: Exchange, url: GitUrl): Promise<void> {
  try {
    if (url.kind === 'dumb') {
      await answer(exchange, 403, DUMB);
      return;
    }
    const method = url.kind === 'advertise' ? 'GET' : 'POST';
    if (exchange.request.method !== method) {
      await answer(exchange, 405, `this is asked for with ${method}`, { allow: method });
      return;
    }
    await serveService(exchange, url);
  } catch {
    // Only a broken connection comes here; the walk turned everything else into an outcome.
    exchange.response.destroy();
  }
}

async function serveService(exchange: Exchange, url: ServiceUrl): Promise<void> {
  const { request, response, walk, directory, clock, limits } = exchange;
  const authorization = parseAuthorization(request.headers.authorization);
  const address = clientAddress(request.socket.remoteAddress);
  const named = authorization.kind === 'token' ? await directory.byToken(authorization.secret, address) : undefined;
  if (authorization.kind !== 'none') exchange.metrics.login('http', named === undefined ? 'refused' : 'served');
  if (authorization.kind !== 'none' && named === undefined) {
    const reason = 'this token is wrong, expired or revoked';
    turnAway(exchange, { event: 'login', reason, requestedPath: url.path });
    await answer(exchange, 401, reason, { 'www-authenticate': REALM });
    return;
  }
  const decoder = decoderFor(request.headers['content-encoding']);
  const wrong = wrongBody(exchange, url, decoder === 'unknown');
  if (wrong !== undefined || decoder === 'unknown') {
    const reason = wrong ?? 'unknown Content-Encoding';
    turnAway(exchange, { event: 'connect', reason, requestedPath: url.path });
    await answer(exchange, 415, reason);
    return;
  }
  const principal = named ?? ANONYMOUS;
  const asked = new HttpGitRequest({
    request,
    response,
    id: newId(clock),
    address,
    principal,
    service: url.service,
    requestedPath: url.path,
    protocol: parseProtocol(singleHeader(request.headers['git-protocol'])),
    mode: url.kind,
    expectsContinue: exchange.expectsContinue,
    decoder,
    headers: SERVED_HEADERS[url.kind].get(url.service) ?? NO_CACHE,
    limits,
    clock,
  });
  const outcome = await walk.handle(asked);
  asked.close();
  await conclude(exchange, { outcome, asked, anonymous: principal.kind === 'anonymous' });
}

function turnAway({ request, clock, onTurnedAway }: Exchange, about: TurnedAwayAbout): void {
  const address = clientAddress(request.socket.remoteAddress);
  onTurnedAway?.(turnedAway({ id: newId(clock), transport: 'http', address }, about));
}

/** What is wrong with the declared body, in words. */
function wrongBody({ request }: Exchange, url: ServiceUrl, unknownEncoding: boolean): string | undefined {
  if (url.kind === 'advertise') return undefined;
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  const wanted = `application/x-git-${url.service}-request`;
  if (type !== wanted) return `the Content-Type of this request is ${wanted}`;
  return unknownEncoding ? 'the Content-Encoding of a request is gzip, deflate or none' : undefined;
}

function headersOf(service: GitService, what: 'advertisement' | 'result'): OutgoingHttpHeaders {
  return { 'content-type': `application/x-git-${service}-${what}`, ...NO_CACHE };
}

const SERVED_HEADERS: Readonly<Record<ServiceUrl['kind'], ReadonlyMap<GitService, OutgoingHttpHeaders>>> = {
  advertise: new Map(GIT_SERVICES.map((service) => [service, headersOf(service, 'advertisement')])),
  rpc: new Map(GIT_SERVICES.map((service) => [service, headersOf(service, 'result')])),
};

interface Ending {
  readonly outcome: Outcome;
  readonly asked: HttpGitRequest;
  readonly anonymous: boolean;
}

async function conclude(exchange: Exchange, { outcome, asked, anonymous }: Ending): Promise<void> {
  switch (outcome.kind) {
    case 'served':
      await finish(exchange, asked);
      return;
    case 'missing':
    case 'refused':
      // Nothing was written yet: that is what an outcome at admission promises.
      if (anonymous) await answer(exchange, 401, outcome.reason, { 'www-authenticate': REALM });
      else await answer(exchange, outcome.kind === 'missing' ? 404 : 403, outcome.reason);
      return;
    case 'faulted':
      if (!exchange.response.headersSent)
        await answer(exchange, statusOf(outcome.code), outcome.reason, { 'retry-after': '5' });
      else if (outcome.inBand) await finish(exchange, asked);
      // Half an answer must not look whole.
      else exchange.response.destroy();
      return;
    default:
      outcome satisfies never;
  }
}

async function finish({ request, clock, limits }: Exchange, asked: HttpGitRequest): Promise<void> {
  if (!asked.hasAnswered) {
    const { output } = asked;
    if (!output.writableEnded) output.end();
    await finished(output);
  }
  if (request.complete) return;
  if (!(await discard(request, limits, clock))) request.socket.destroySoon();
}

function statusOf(code: string): number {
  switch (code) {
    case 'bad-input':
      return 400;
    case 'timeout':
      return 408;
    case 'busy':
    case 'aborted':
      return 503;
    default:
      return 500;
  }
}

/** A whole answer in words. git shows text/plain to its user as `remote: ...` lines. */
async function answer(
  exchange: Exchange,
  status: number,
  reason: string,
  more: OutgoingHttpHeaders = {},
): Promise<void> {
  const { request, response, walk, clock, limits, expectsContinue } = exchange;
  // A short body came with its head, and is here once the parser has gone through what was read.
  if (!request.complete && hasBody(request) && !expectsContinue) await turnParsed();
  if (response.destroyed || response.headersSent) return;
  const body = Buffer.from(spoken(reason));
  const unread = !request.complete && hasBody(request);
  const { 'retry-after': retryAfter, ...rest } = more;
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': body.length,
    ...NO_CACHE,
    ...rest,
    ...(status === 503 && retryAfter !== undefined ? { 'retry-after': retryAfter } : {}),
    ...(unread || walk.draining ? { connection: 'close' } : {}),
  });
  if (!unread) {
    response.end(body);
    return;
  }
  response.write(body);
  // Closing on a client that still sends would reset the connection and lose the words just written.
  if (!expectsContinue) await discard(request, limits, clock);
  response.end();
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function singleHeader(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
