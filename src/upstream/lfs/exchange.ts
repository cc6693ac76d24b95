/** One HTTP exchange with an upstream's LFS server, or with the store that its links lead to. */
import { request as requestHttp, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Fault } from '../../base/fault.ts';
import { AGENT } from '../../base/version.ts';
import { readChunk, writeAll } from '../../git/stream.ts';
import type { Upstream, UpstreamCredential } from '../upstream.ts';
import { codeOf, connectionReason } from '../wire/socket.ts';
import type { Words } from '../wire/words.ts';
import { parsePlace, publicLookup, type Place } from './reach.ts';

export interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly href: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Its length is `bytes`. */
  readonly body?: { readonly bytes: number; readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array> };
  /** Milliseconds without a byte in either direction. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

export interface ExchangeParts {
  readonly upstream: Upstream;
  readonly credential: UpstreamCredential | undefined;
  readonly words: Words;
}

/** Of a GET: a store behind a store. */
const REDIRECTS_MAX = 3;

/**
 * The head of the answer, whatever its status; its body is still to be read. A redirect of a GET is followed by the same
 * rules and without the headers. @throws Fault `upstream` with public words; `aborted`.
 */
export async function exchange(parts: ExchangeParts, asked: Asked): Promise<IncomingMessage> {
  let current = asked;
  for (let redirects = 0; ; redirects += 1) {
    const place = parsePlace(current.href, parts.upstream.url);
    if (place.kind === 'refused') throw fault(parts, `gives ${place.reason}, which is not followed`);
    const response = await respond(parts, current, place.value);
    const { location } = response.headers;
    const isElsewhere = [301, 302, 303, 307, 308].includes(response.statusCode ?? 0);
    if (!isElsewhere || current.method !== 'GET' || location === undefined) return response;
    response.destroy();
    if (redirects >= REDIRECTS_MAX) throw fault(parts, 'sends from one place to another without an end');
    const href = URL.parse(location, current.href)?.href ?? '';
    current = { ...current, href, headers: {} };
  }
}

/** At most `bytesMax` of a body. @throws Fault as `exchange`. */
export async function bodyOf(
  parts: ExchangeParts,
  response: IncomingMessage,
  { bytesMax, signal }: { readonly bytesMax: number; readonly signal: AbortSignal },
): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const chunk = await readChunk(response, signal);
      if (chunk === undefined) return Buffer.concat(chunks).toString();
      bytes += chunk.length;
      if (bytes > bytesMax) throw fault(parts, 'sends more than an answer of Git LFS has');
      chunks.push(chunk);
    }
  } catch (error) {
    throw translated(parts, error, signal);
  } finally {
    response.destroy();
  }
}

/** The bytes as they come. @throws Fault as `exchange` while they are read. */
export async function* contentOf(
  parts: ExchangeParts,
  response: IncomingMessage,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const chunk = await readChunk(response, signal);
      if (chunk === undefined) return;
      yield chunk;
    }
  } catch (error) {
    throw translated(parts, error, signal);
  } finally {
    response.destroy();
  }
}

export function fault({ words }: Pick<ExchangeParts, 'words'>, what: string, cause?: unknown): Fault {
  return words.fault(
    'lfs of upstream failed',
    `the LFS server of the upstream ${words.label} ${words.reason(what)}`,
    cause,
  );
}

async function respond(parts: ExchangeParts, asked: Asked, place: Place): Promise<IncomingMessage> {
  const request = start(parts, asked, place);
  try {
    const response = await responded(request, asked);
    response.on('error', () => {});
    return response;
  } catch (error) {
    request.destroy();
    throw translated(parts, error, asked.signal);
  }
}

function start({ upstream, credential }: ExchangeParts, asked: Asked, { url, isUpstream }: Place): ClientRequest {
  const { method, headers, body, signal, silenceMs } = asked;
  const options: RequestOptions = {
    method,
    agent: false,
    signal,
    headers: {
      'user-agent': `git-lfs/3.3.0 (${AGENT})`,
      ...headers,
      ...(body === undefined ? {} : { 'content-length': body.bytes }),
    },
    ...(isUpstream ? {} : { lookup: publicLookup }),
  };
  const certificate = isUpstream && credential?.kind === 'certificate' ? credential : undefined;
  const request =
    url.protocol === 'http:'
      ? requestHttp(url, options)
      : requestHttps(url, {
          ...options,
          rejectUnauthorized: true,
          minVersion: 'TLSv1.2',
          ...(isUpstream && upstream.authorities !== undefined ? { ca: upstream.authorities } : {}),
          ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.privateKey }),
        });
  request.setTimeout(silenceMs, () => {
    request.destroy(Object.assign(new Error('silent'), { code: 'ETIMEDOUT' }));
  });
  return request;
}

/** Starts the body and waits for the answer's head, whichever comes first. */
function responded(request: ClientRequest, { body, signal }: Asked): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
    if (body === undefined) {
      request.end();
      return;
    }
    send(request, body.content, signal).catch((error: unknown) => {
      // What should have been sent could not be read: cut, so that half of it is not taken for the whole.
      request.destroy();
      reject(error instanceof Error ? error : new Fault('internal', 'lfs body failed', { cause: error }));
    });
  });
}

async function send(
  request: ClientRequest,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of content) {
    try {
      await writeAll(request, chunk, signal);
    } catch {
      return; // the server does not listen any more: its answer, or the connection's error, says why
    }
  }
  request.end();
}

function translated(parts: ExchangeParts, error: unknown, signal: AbortSignal): Fault {
  if (signal.aborted) {
    const { reason } = signal as { readonly reason: unknown };
    if (reason instanceof Fault && reason.code === 'timeout') return reason;
    return new Fault('aborted', 'lfs exchange with upstream was aborted', { cause: error });
  }
  if (error instanceof Fault && error.code !== 'aborted') return error;
  const why = codeOf(error) === 'EPRIVATE' ? 'its address is not public' : connectionReason(error);
  return fault(parts, why === undefined ? 'broke off' : `cannot be reached or broke off: ${why}`, error);
}
