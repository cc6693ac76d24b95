/**
 * Requests of Git's smart protocol over http(s). The credential goes with each of them and to nowhere else: no redirect is
 * followed. Statuses become words; a body that is an error page is shown by its first line.
 */
import { Agent as HttpAgent, request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Fault } from '../../base/fault.ts';
import { AGENT } from '../../base/version.ts';
import { writeAll } from '../../git/stream.ts';
import type { UpstreamCredential } from '../upstream.ts';
import { bracketed } from '../upstream-url.ts';
import type { Call } from './call.ts';
import type { HttpParts } from './http.ts';
import { firstLine, notGit, statusFault } from './http-words.ts';
import { NothingDone } from './nothing-done.ts';
import type { Body, WireService } from './session.ts';
import { codeOf, connectionReason } from './socket.ts';

export interface Answer {
  /** Unpacked. */
  readonly body: Readable;
  readonly response: IncomingMessage;
}

interface Asked {
  readonly service: WireService;
  readonly call: Call;
}

interface Posted extends Asked {
  readonly body: Body;
  /** For the head of the answer. */
  readonly answerMs: number;
}

interface Exchange {
  readonly method: 'GET' | 'POST';
  /** Behind the repository's path. */
  readonly target: string;
  readonly service: WireService;
  readonly call: Call;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Body | undefined;
  readonly answerMs: number;
  /** The answer's type, without which it is not Git's. */
  readonly type: string;
}

const FREE_SOCKETS_MAX = 4;

export class HttpClient {
  readonly #parts: HttpParts;
  #agent: HttpAgent | HttpsAgent | undefined;
  /** The certificate that `#agent` shows. */
  #shown: string | undefined;

  constructor(parts: HttpParts) {
    this.#parts = parts;
  }

  greet({ service, call }: Asked): Promise<Answer> {
    return this.#exchange({
      method: 'GET',
      target: `/info/refs?service=git-${service}`,
      service,
      call,
      headers: { accept: `application/x-git-${service}-advertisement, */*`, 'accept-encoding': 'gzip' },
      body: undefined,
      answerMs: call.limits.silenceMs,
      type: `application/x-git-${service}-advertisement`,
    });
  }

  /** @throws also `NothingDone`, where the server took no notice of the body. */
  post({ service, call, body, answerMs }: Posted): Promise<Answer> {
    return this.#exchange({
      method: 'POST',
      target: `/git-${service}`,
      service,
      call,
      headers: {
        'content-type': `application/x-git-${service}-request`,
        accept: `application/x-git-${service}-result`,
        'accept-encoding': 'gzip',
      },
      body,
      answerMs,
      type: `application/x-git-${service}-result`,
    });
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  async #exchange(exchange: Exchange): Promise<Answer> {
    const { call } = exchange;
    try {
      const credential = await this.#credential();
      const response = await this.#respond(exchange, credential);
      response.on('error', () => {});
      await this.#check(response, exchange, credential);
      return { body: unpacked(response), response };
    } catch (error) {
      if (error instanceof NothingDone) throw error;
      if (call.isOver || error instanceof Fault) throw call.translate(error);
      const reason = connectionReason(error);
      const fault = reason === undefined ? call.translate(error) : call.words.unreachable(reason, error);
      throw UNCONNECTED.has(codeOf(error) ?? '') ? new NothingDone(fault) : fault;
    }
  }

  async #credential(): Promise<UpstreamCredential | undefined> {
    const { words, credential, upstream } = this.#parts;
    const shown = await credential();
    words.hide(shown);
    const unfit = (publicMessage: string): NothingDone =>
      new NothingDone(words.fault('credential does not fit', publicMessage));
    if (shown?.kind === 'key') {
      const publicMessage = `the upstream ${words.label} is reached over ${upstream.url.scheme}: a key is of no use there, it needs a token or a certificate`;
      throw unfit(publicMessage);
    }
    if (shown?.kind === 'certificate' && upstream.url.scheme !== 'https') {
      throw unfit(`the upstream ${words.label} is reached without TLS: it can be shown no certificate`);
    }
    return shown;
  }

  /** The head of the answer; the body goes on being sent meanwhile. One more try where a kept connection was gone already. */
  async #respond(exchange: Exchange, credential: UpstreamCredential | undefined): Promise<IncomingMessage> {
    const { call, answerMs, body } = exchange;
    // A body that can be made once only is not sent twice, and what changes something is never repeated.
    const isRepeatable = body === undefined || (exchange.service === 'upload-pack' && Array.isArray(body));
    for (let attempt = 0; ; attempt += 1) {
      const request = this.#start(exchange, credential);
      try {
        return await call.within(answerMs, responded(request, exchange));
      } catch (error) {
        request.destroy();
        const isStale = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(codeOf(error) ?? '');
        if (!isStale || !isRepeatable || attempt > FREE_SOCKETS_MAX || call.isOver) throw error;
      }
    }
  }

  #start(
    { method, target, service, call, headers }: Exchange,
    credential: UpstreamCredential | undefined,
  ): ClientRequest {
    const { url } = this.#parts.upstream;
    const isTls = url.scheme === 'https';
    const options = {
      method,
      host: url.host,
      port: url.port,
      path: `${url.path}${target}`,
      agent: this.#agentFor(credential),
      signal: call.signal,
      headers: {
        host: url.port === (isTls ? 443 : 80) ? bracketed(url.host) : `${bracketed(url.host)}:${url.port}`,
        'user-agent': `git/2.40 ${AGENT}`,
        pragma: 'no-cache',
        ...headers,
        ...(service === 'upload-pack' ? { 'git-protocol': 'version=2' } : {}),
        ...authorization(credential),
      },
    };
    return isTls ? requestHttps(options) : requestHttp(options);
  }

  #agentFor(credential: UpstreamCredential | undefined): HttpAgent | HttpsAgent {
    const { upstream, limits } = this.#parts;
    const certificate = credential?.kind === 'certificate' ? credential : undefined;
    const shown = certificate === undefined ? undefined : `${certificate.certificate}\n${certificate.privateKey}`;
    if (this.#agent !== undefined && this.#shown === shown) return this.#agent;
    // Running requests keep their sockets; those at rest showed the old certificate.
    this.#agent?.destroy();
    this.#shown = shown;
    const kept = {
      keepAlive: true,
      maxSockets: limits.connectionsMax * limits.channelsMax,
      maxFreeSockets: FREE_SOCKETS_MAX,
      timeout: limits.idleMs,
      noDelay: true,
    };
    this.#agent =
      upstream.url.scheme === 'http'
        ? new HttpAgent(kept)
        : new HttpsAgent({
            ...kept,
            // Said outright: a variable of the environment could say otherwise.
            rejectUnauthorized: true,
            minVersion: 'TLSv1.2',
            ...(upstream.authorities === undefined ? {} : { ca: upstream.authorities }),
            ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.privateKey }),
          });
    return this.#agent;
  }

  /** @throws Fault for anything but a 200 of the right type; `NothingDone` where a body of a push was refused unread. */
  async #check(
    response: IncomingMessage,
    exchange: Exchange,
    credential: UpstreamCredential | undefined,
  ): Promise<void> {
    const { call, type } = exchange;
    const status = response.statusCode ?? 0;
    const given = (response.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
    if (status === 200 && given === type) return;
    const page = await firstLine(response, call);
    response.destroy();
    const fault =
      status === 200 ? notGit(call, given ?? '') : statusFault({ status, response, page, call, credential });
    throw UNREAD_STATUSES.has(status) && exchange.method === 'POST' ? new NothingDone(fault) : fault;
  }
}

/** By their meaning the request was not acted upon (RFC 9110, 15.5). */
const UNREAD_STATUSES: ReadonlySet<number> = new Set([
  301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 407, 411, 413, 415, 429,
]);

/** Nothing left this machine. */
const UNCONNECTED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** Starts the body and waits for the answer's head, whichever comes first. */
function responded(request: ClientRequest, { body, call }: Exchange): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
    if (body === undefined) {
      request.end();
      return;
    }
    sendBody(request, body, call).catch((error: unknown) => {
      // The body itself failed: cut, so that half of it is not taken for the whole.
      request.destroy(error instanceof Error ? error : undefined);
      reject(error);
    });
  });
}

async function sendBody(request: ClientRequest, body: Body, call: Call): Promise<void> {
  if (Array.isArray(body)) {
    request.end(Buffer.concat(body as readonly Uint8Array[]));
    return;
  }
  for await (const chunk of body) {
    try {
      await writeAll(request, chunk, call.signal);
      call.progressed();
    } catch {
      return; // the server does not listen any more: its answer, or the connection's error, says why
    }
  }
  request.end();
}

function unpacked(response: IncomingMessage): Readable {
  const encoding = response.headers['content-encoding']?.trim().toLowerCase();
  if (encoding !== 'gzip' && encoding !== 'x-gzip') return response;
  const gunzip = createGunzip();
  response.on('error', (error) => gunzip.destroy(error));
  response.once('close', () => {
    if (!response.complete) gunzip.destroy(new Fault('aborted', 'answer of upstream broke off'));
  });
  gunzip.on('error', () => {});
  return response.pipe(gunzip);
}

function authorization(credential: UpstreamCredential | undefined): Readonly<Record<string, string>> {
  if (credential?.kind !== 'token') return {};
  const { username, secret, bearer } = credential;
  if (bearer) return { authorization: `Bearer ${secret}` };
  return { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` };
}
