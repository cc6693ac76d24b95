/**
 * HTTP for the APIs of forges: the token in a header and nowhere else, certificates checked against the system's
 * authorities or given ones, no redirect followed, answers, pages and waits bounded, failures told in words.
 */
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BOUNDS } from '../../base/bounds.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { isJsonObject, type Json } from '../../base/json.ts';
import { AGENT } from '../../base/version.ts';
import type { Asking, ForgePlace } from './forge.ts';

export interface ForgeClientOptions {
  readonly place: ForgePlace;
  /** Of every request; holds the token. */
  readonly headers: Readonly<Record<string, string>>;
  /** Never repeated in words. */
  readonly token: string;
  /** What the token needs, for who has to make another: `the scope api`. */
  readonly needs: string;
  readonly clock: Pick<Clock, 'after'>;
}

interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Behind the API's address, with its query. */
  readonly path: string;
  readonly body?: Json;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** An answer that may be another a moment later. */
const PASSING: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);

export class ForgeClient {
  readonly #options: ForgeClientOptions;

  constructor(options: ForgeClientOptions) {
    this.#options = options;
  }

  /** The object that was made. @throws Fault `upstream` with `context.isUnsure` where it may have been made all the same. */
  async create(path: string, body: Json, asking: Asking): Promise<Json> {
    const answer = await this.#ask({ method: 'POST', path, body }, asking);
    if (answer.status !== 201) throw this.#failure(answer, 'creating');
    return this.#json(answer);
  }

  /** Every element of a list, over its pages. */
  async list(path: string, asking: Asking): Promise<readonly Json[]> {
    const found: Json[] = [];
    for (let page = 1; page <= BOUNDS.forgePagesMax; page += 1) {
      const answer = await this.#ask({ method: 'GET', path: `${path}${pageQuery(path, page)}` }, asking);
      if (answer.status !== 200) throw this.#failure(answer, 'listing');
      const json = this.#json(answer);
      if (!Array.isArray(json)) throw this.#fault('answered something that is no list');
      found.push(...(json as readonly Json[])); // an array in Json is one of Json
      // Whoever gives fewer than asked for may have a bound of its own: only an empty page, or no next one, is the end.
      if (json.length === 0 || !hasNext(answer, json.length)) return found;
    }
    throw this.#fault(`has more than ${BOUNDS.forgePagesMax} pages of them`);
  }

  /** False: 404, it is gone already. */
  async delete(path: string, asking: Asking): Promise<boolean> {
    const answer = await this.#ask({ method: 'DELETE', path }, asking);
    if (answer.status === 404) return false;
    if (answer.status !== 204 && answer.status !== 200 && answer.status !== 202)
      throw this.#failure(answer, 'revoking');
    return true;
  }

  /** Tries again what only reads or deletes; a creation only where the forge said that it did nothing. */
  async #ask(call: Call, asking: Asking): Promise<Answer> {
    let waitMs: number = BOUNDS.forgeRetryMs;
    for (let tries = 1; ; tries += 1) {
      const isLast = tries === BOUNDS.forgeTriesMax;
      try {
        const answer = await this.#once(call, asking);
        const mayRetry = call.method === 'POST' ? answer.status === 429 : PASSING.has(answer.status);
        if (isLast || !mayRetry) return answer;
        const askedMs = retryAfterMs(answer);
        if (askedMs !== undefined && askedMs > BOUNDS.forgeRetryAfterMsMax) return answer;
        waitMs = askedMs ?? waitMs;
      } catch (error) {
        if (isLast || call.method === 'POST' || asking.signal.aborted) throw error;
      }
      await this.#wait(waitMs, asking);
      waitMs *= 2;
    }
  }

  #wait(ms: number, { signal }: Asking): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(abortedFault(signal));
      };
      const cancel = this.#options.clock.after(ms, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  async #once({ method, path, body }: Call, { signal }: Asking): Promise<Answer> {
    if (signal.aborted) throw abortedFault(signal);
    const { place, headers, clock } = this.#options;
    const url = new URL(`${place.apiUrl}${path}`);
    const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const deadline = new AbortController();
    const cancel = clock.after(BOUNDS.forgeAnswerMs, () => {
      deadline.abort();
    });
    const options: RequestOptions & { readonly ca?: string; readonly rejectUnauthorized: true } = {
      method,
      agent: false,
      headers: {
        accept: 'application/json',
        'user-agent': AGENT,
        ...headers,
        ...(sent === undefined ? {} : { 'content-type': 'application/json', 'content-length': sent.length }),
      },
      signal: AbortSignal.any([signal, deadline.signal]),
      rejectUnauthorized: true,
      ...(place.authorities === undefined ? {} : { ca: place.authorities }),
    };
    try {
      return await exchange(url, options, sent);
    } catch (cause) {
      if (signal.aborted) throw abortedFault(signal);
      if (cause instanceof Fault) throw this.#fault(cause.publicMessage ?? cause.message, { isUnsure: true }, cause);
      const words = deadline.signal.aborted
        ? `did not answer within ${BOUNDS.forgeAnswerMs / 1000} s`
        : `cannot be asked: ${this.#safe(codeOf(cause))}`;
      throw this.#fault(words, { isUnsure: true }, cause);
    } finally {
      cancel();
    }
  }

  #json({ text }: Answer): Json {
    try {
      return JSON.parse(text) as Json; // what JSON.parse gives is Json
    } catch {
      throw this.#fault('answered something that is no JSON', { isUnsure: true });
    }
  }

  /** The forge's no, in words of what to do. */
  #failure(answer: Answer, doing: string): Fault {
    const { status } = answer;
    const { place, needs } = this.#options;
    const said = this.#safe(messageOf(answer.text));
    const tail = said === '' ? '' : ` (${said})`;
    const words = ((): string => {
      if (status >= 300 && status < 400)
        return `answers with a redirect, which is not followed: name its address itself`;
      if (status === 401) return `does not take the token: it is wrong or has expired${tail}`;
      if (status === 403) return `does not allow it: the token needs ${needs}${tail}`;
      if (status === 404)
        return `knows no project ${place.project}, or the token may not administer it: it needs ${needs}`;
      if (status === 429) return `asks to wait: too many requests${tail}`;
      if (status >= 500) return `failed with ${status} while ${doing}${tail}`;
      return `refused ${doing} with ${status}${tail}`;
    })();
    return this.#fault(words, { status, isUnsure: status >= 500 });
  }

  #fault(words: string, context: Readonly<Record<string, unknown>> = {}, cause?: unknown): Fault {
    const { place } = this.#options;
    return new Fault('upstream', 'forge did not do what it was asked', {
      cause,
      context: { ...context, forge: place.kind, project: place.project },
      publicMessage: `the forge ${new URL(place.apiUrl).host} ${words}`,
    });
  }

  /** Words of the other side, short and printable; a server that repeats the token is not repeated. */
  #safe(text: string): string {
    const plain = text.replaceAll(this.#options.token, '***').replaceAll(/[^\x20-\x7e]+/g, ' ');
    return plain.trim().slice(0, 300);
  }
}

function exchange(url: URL, options: RequestOptions, body: Buffer | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = send(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= BOUNDS.forgeAnswerBytesMax) chunks.push(chunk);
        else request.destroy(new Fault('upstream', 'answer is too large', { publicMessage: 'answers too much' }));
      });
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.once('error', reject);
    request.end(body);
  });
}

const PAGE = 50;

function pageQuery(path: string, page: number): string {
  // GitHub and GitLab say per_page, Gitea limit; each ignores what is not its own.
  return `${path.includes('?') ? '&' : '?'}per_page=${PAGE}&limit=${PAGE}&page=${page}`;
}

/** RFC 8288 `Link` (GitHub, Gitea, GitLab), or GitLab's X-Next-Page; where neither says anything, a full page has a next one. */
function hasNext({ headers }: Answer, count: number): boolean {
  const { link, 'x-next-page': next } = headers;
  if (typeof next === 'string' && next !== '') return true;
  if (link !== undefined) return /;\s*rel="?next"?/.test(String(link));
  return next === undefined && count >= PAGE;
}

/** Seconds (RFC 9110, 10.2.3); a date is as if nothing were said. */
function retryAfterMs({ headers }: Answer): number | undefined {
  const text = headers['retry-after'];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) * 1000 : undefined;
}

/** What a forge says: `{"message": ...}`, where a message may be an object of lists (GitLab). */
function messageOf(text: string): string {
  try {
    const json: unknown = JSON.parse(text);
    if (!isJsonObject(json)) return '';
    const said = json['message'] ?? json['error'] ?? '';
    const more = json['errors'] === undefined ? '' : ` ${JSON.stringify(json['errors'])}`;
    return `${typeof said === 'string' ? said : JSON.stringify(said)}${more}`;
  } catch {
    return '';
  }
}

function codeOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'an error';
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}

function abortedFault(signal: AbortSignal): Fault {
  return new Fault('aborted', 'forge is not asked any more', { cause: signal.reason });
}
