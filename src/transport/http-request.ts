/**
 * One Git request over HTTP as the walk takes it. Streams, their listeners and the signal are made when somebody asks for
 * them: most requests are short questions with short answers, and never need one.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Readable, type Transform } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { BriefExchange, GitService } from '../git/service.ts';
import { readChunk } from '../git/stream.ts';
import type { Principal } from '../identity/principal.ts';
import type { GitRequest } from '../request/request.ts';
import { emptyBody, LazyAnswer, RequestBody, type BodyLimits } from './http-body.ts';
import { turnParsed } from './http-turn.ts';

/** A declared body of no more is read whole before it is answered. */
const BRIEF_BYTES_MAX = 4_096;
/** An answer of no more is joined with its head. */
const JOINED_BYTES_MAX = 8_192;

export interface HttpGitOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly id: string;
  readonly address: string;
  readonly principal: Principal;
  readonly service: GitService;
  readonly requestedPath: string;
  readonly protocol: 0 | 1 | 2;
  readonly mode: 'advertise' | 'rpc';
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
  /** Of a packed body. */
  readonly decoder: Transform | undefined;
  /** Of an answer that is served. */
  readonly headers: OutgoingHttpHeaders;
  readonly limits: BodyLimits;
  readonly clock: Clock;
}

export class HttpGitRequest implements GitRequest, BriefExchange {
  readonly id: string;
  readonly transport = 'http';
  readonly address: string;
  readonly principal: Principal;
  readonly service: GitService;
  readonly requestedPath: string;
  readonly protocol: 0 | 1 | 2;
  readonly mode: 'advertise' | 'rpc';
  readonly #options: HttpGitOptions;
  #body: Readable | undefined;
  #output: LazyAnswer | undefined;
  #abort: AbortController | undefined;
  #whole: Buffer | undefined;
  #hasAnswered = false;
  #cameLate = false;

  constructor(options: HttpGitOptions) {
    this.#options = options;
    this.id = options.id;
    this.address = options.address;
    this.principal = options.principal;
    this.service = options.service;
    this.requestedPath = options.requestedPath;
    this.protocol = options.protocol;
    this.mode = options.mode;
  }

  get input(): Readable {
    if (this.#whole !== undefined) {
      this.#body?.destroy();
      this.#body = Readable.from([this.#whole], { objectMode: false });
      this.#whole = undefined;
    }
    this.#body ??= this.#openBody();
    return this.#body;
  }

  get output(): LazyAnswer {
    this.#output ??= new LazyAnswer(this.#options.response, this.#options.headers);
    return this.#output;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const { response } = this.#options;
      const abort = (this.#abort = new AbortController());
      const onClose = (): void => {
        if (!response.writableFinished) abort.abort(new Fault('aborted', 'http client went away'));
      };
      // It may have gone before anybody asked: then there is no event any more that says so.
      if (response.closed || response.destroyed) onClose();
      else response.once('close', onClose);
    }
    return this.#abort.signal;
  }

  /** Undefined where the body is packed, waits for a word of ours, or is longer than a question for refs. */
  get brief(): BriefExchange | undefined {
    const { request, decoder, expectsContinue, mode } = this.#options;
    if (mode === 'advertise') return this;
    const length = Number(request.headers['content-length'] ?? Number.NaN);
    return decoder === undefined && !expectsContinue && length <= BRIEF_BYTES_MAX ? this : undefined;
  }

  get cameLate(): boolean {
    return this.#cameLate;
  }

  /** The answer went out whole. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  async read(): Promise<Buffer> {
    const { request } = this.#options;
    // As a rule it comes with its head, and is here once the parser has gone through what was read.
    if (!request.complete) await turnParsed();
    if (request.complete && this.#body === undefined) {
      this.#whole = bytesOf(request.read());
      return this.#whole;
    }
    this.#cameLate = true;
    this.#whole = await this.#collect();
    return this.#whole;
  }

  async answer(bytes: Buffer): Promise<void> {
    const { response, headers } = this.#options;
    if (response.destroyed) throw gone();
    this.#hasAnswered = true;
    response.writeHead(200, { ...headers, 'content-length': bytes.length });
    // One string with its head goes out in one write, where two pieces would be gathered.
    if (bytes.length <= JOINED_BYTES_MAX) response.end(bytes.toString('latin1'), 'latin1');
    else response.end(bytes);
    // Most answers are in the kernel's hands by now: nothing of them waits here, not behind an earlier answer either.
    if (response.writableFinished || (response.writableLength === 0 && response.socket !== null)) return;
    await this.#taken();
  }

  /** Lets go of what was not read. */
  close(): void {
    this.#body?.destroy();
  }

  #openBody(): Readable {
    const { request, response, decoder, limits, clock, mode, expectsContinue } = this.#options;
    if (mode === 'advertise') return emptyBody();
    const onBegin = (): void => {
      if (expectsContinue) response.writeContinue();
    };
    return new RequestBody({ request, decoder, limits, clock, onBegin });
  }

  async #collect(): Promise<Buffer> {
    const { input } = this;
    const chunks: Buffer[] = [];
    // As long as its Content-Length says, which is bounded.
    for (;;) {
      const chunk = await readChunk(input, this.signal);
      if (chunk === undefined) return Buffer.concat(chunks);
      chunks.push(chunk);
    }
  }

  /** Resolves when the client has taken all of it; a client that takes nothing is cut off by the door's `silenceMs`. */
  #taken(): Promise<void> {
    const { response } = this.#options;
    return new Promise((resolve, reject) => {
      response.once('finish', resolve);
      response.once('close', () => {
        if (response.writableFinished) resolve();
        else reject(gone());
      });
    });
  }
}

function gone(): Fault {
  return new Fault('aborted', 'http client went away');
}

function bytesOf(chunk: unknown): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.alloc(0);
}
