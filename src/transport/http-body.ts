/** The bodies of a Git request over HTTP: the request's, unpacked and watched; the answer's, with its head at the last moment. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Readable, Writable, type Transform } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { declareExact, onLength } from '../git/stream.ts';

export interface BodyLimits {
  /** A body that is waited for brings at least `paceBytes` in each such stretch of milliseconds. */
  readonly paceMs: number;
  readonly paceBytes: number;
  /** Of a body that nobody wants, so much is read so long, so that the client sees the answer instead of a reset. */
  readonly discardBytes: number;
  readonly discardMs: number;
}

export const BODY_LIMITS: BodyLimits = { paceMs: 30_000, paceBytes: 1_024, discardBytes: 1_048_576, discardMs: 5_000 };

/** A decoder for `Content-Encoding`; undefined for none; 'unknown' for one that is not spoken here. */
export function decoderFor(encoding: string | undefined): Transform | undefined | 'unknown' {
  switch ((encoding ?? 'identity').trim().toLowerCase()) {
    case '':
    case 'identity':
      return undefined;
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    default:
      return 'unknown';
  }
}

/**
 * A request's body as the walk reads it. Memory is bounded by back-pressure, also of a body that unpacks to a
 * thousand times its size. Destroying it leaves the connection alone, so that an answer still gets out.
 */
export class RequestBody extends Readable {
  readonly #request: IncomingMessage;
  readonly #decoder: Transform | undefined;
  readonly #limits: BodyLimits;
  readonly #clock: Clock;
  readonly #onBegin: () => void;
  #begun = false;
  #bytes = 0;
  #cancelPace: () => void = () => {};

  constructor(options: {
    readonly request: IncomingMessage;
    readonly decoder: Transform | undefined;
    readonly limits: BodyLimits;
    readonly clock: Clock;
    /** Called when the body is first asked for: where the client waits for `100 Continue`. */
    readonly onBegin: () => void;
  }) {
    super({ highWaterMark: 64 * 1024 });
    this.#request = options.request;
    this.#decoder = options.decoder;
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#onBegin = options.onBegin;
    this.on('error', () => {});
  }

  override _read(): void {
    if (!this.#begun) this.#begin();
    this.#source.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#cancelPace();
    if (this.#decoder !== undefined) {
      this.#request.unpipe(this.#decoder);
      this.#decoder.destroy();
    }
    this.#request.removeAllListeners('data');
    this.#request.pause();
    done(error);
  }

  get #source(): Readable {
    return this.#decoder ?? this.#request;
  }

  #begin(): void {
    this.#begun = true;
    this.#onBegin();
    const source = this.#source;
    source.on('data', (chunk: Buffer) => {
      if (this.destroyed) return;
      if (!this.push(chunk)) source.pause();
    });
    source.once('end', () => {
      if (!this.destroyed) this.push(null);
    });
    this.#decoder?.once('error', (cause) => {
      this.destroy(
        new Fault('bad-input', 'request body does not unpack', {
          cause,
          publicMessage: 'the request body is not what its Content-Encoding says',
        }),
      );
    });
    const onLost = (cause?: Error): void => {
      if (!this.#request.complete) this.destroy(new Fault('aborted', 'http client went away', { cause }));
    };
    this.#request.once('error', onLost);
    this.#request.once('close', () => {
      onLost();
    });
    this.#request.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
    });
    if (this.#decoder !== undefined) this.#request.pipe(this.#decoder);
    // It may have gone before anybody read: then there is no event any more that says so.
    if (this.#request.destroyed) onLost();
    this.#watch();
  }

  /** Ends a body that drips: it would hold its place for ever. Only counts while somebody waits for it. */
  #watch(): void {
    const { paceMs, paceBytes } = this.#limits;
    const before = this.#bytes;
    this.#cancelPace = this.#clock.after(paceMs, () => {
      if (this.destroyed || this.#request.complete) return;
      const waiting = this.readableLength === 0;
      if (waiting && this.#bytes - before < paceBytes) {
        const publicMessage = 'the request body came too slowly';
        this.destroy(new Fault('timeout', 'request body drips', { publicMessage }));
        return;
      }
      this.#watch();
    });
  }
}

/** Refuses a body where none may be; GET requests have an empty one. */
export function emptyBody(): Readable {
  return Readable.from([]);
}

/** An answer whose status and head go out with its first byte: until then a refusal can have its own. */
export class LazyAnswer extends Writable {
  readonly #response: ServerResponse;
  readonly #headers: OutgoingHttpHeaders;
  /** Bytes that the answer has, where that was known: it goes without chunks then. */
  #length: number | undefined;
  #written = 0;

  constructor(response: ServerResponse, headers: OutgoingHttpHeaders) {
    super({ highWaterMark: 64 * 1024 });
    this.#response = response;
    this.#headers = headers;
    declareExact(this);
    onLength(this, (bytes) => {
      if (!response.headersSent) this.#length = bytes;
    });
    this.on('error', () => {});
    response.once('close', () => {
      if (!this.writableFinished) this.destroy(new Fault('aborted', 'http client went away'));
    });
  }

  /** Something is out: the status cannot be chosen any more. */
  get started(): boolean {
    return this.#response.headersSent;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#begin();
    this.#written += chunk.length;
    if (this.#length !== undefined && this.#written > this.#length) this.#breakOff(done);
    else this.#response.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#begin();
    if (this.#length !== undefined && this.#written < this.#length) {
      this.#breakOff(done);
      return;
    }
    this.#response.end(() => {
      done();
    });
  }

  /** More or less than was said: the client would take the next answer on the connection for a part of this one. */
  #breakOff(done: (error: Error) => void): void {
    this.#response.destroy();
    done(new Fault('aborted', 'http answer is not as long as announced'));
  }

  #begin(): void {
    if (this.#response.headersSent) return;
    const length = this.#length === undefined ? {} : { 'content-length': this.#length };
    this.#response.writeHead(200, { ...this.#headers, ...length });
  }
}

/** Reads and drops what is left of a body nobody wants, up to the bounds. True: it came to its end. */
export async function discard(request: IncomingMessage, limits: BodyLimits, clock: Clock): Promise<boolean> {
  if (request.complete || request.destroyed) return request.complete;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let bytes = 0;
  const cancel = clock.after(limits.discardMs, () => {
    resolve(false);
  });
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > limits.discardBytes) resolve(false);
  });
  request.once('end', () => {
    resolve(true);
  });
  request.once('close', () => {
    resolve(request.complete);
  });
  request.resume();
  const ended = await promise;
  cancel();
  return ended;
}
