/**
 * One conversation's two directions: pkts in, bytes out, both with back-pressure, counted, and given up when the
 * client is gone or does nothing for too long where it is its turn.
 */
import { preview, trace } from '../audit/trace.ts';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { type Pkt, PktReader, encodePkt } from '../git/pkt-line.ts';
import type { Conversation } from '../git/service.ts';
import { assertWritable, drained, isExact, writeThrough } from '../git/stream.ts';
import { PatientPlace } from './patient-place.ts';

/** A write is split so that a slow client holds no more than this beyond what the transport buffers. */
const WRITE_BYTES_MAX = 256 * 1024;
/** What a client is told in one ERR pkt. */
const ERROR_CHARACTERS_MAX = 4_096;

/** Each conversation ends with it: one for all, since a stack that nobody reads costs more than the rest of the end. */
const OVER = new Fault('aborted', 'conversation is over');

export class Wire implements Disposable {
  readonly conversation: Conversation;
  /** The conversation's signal, the idle limit's and `stop`'s together. */
  readonly signal: AbortSignal;
  readonly #reader: PktReader;
  readonly #ending = new AbortController();
  readonly #clock: Clock;
  #cancelTimer: () => void = () => {};
  #bytesOut = 0;
  #hasTold = false;
  #waiting = 0;
  #progress = 0;
  #place: PatientPlace | undefined;

  constructor(conversation: Conversation, clock: Clock) {
    this.conversation = conversation;
    this.#clock = clock;
    this.signal = AbortSignal.any([conversation.signal, this.#ending.signal]);
    this.#reader = new PktReader(conversation.input, this.signal);
    conversation.output.on('error', ignore);
    conversation.input.on('error', ignore);
    this.#watch(0);
  }

  get bytesOut(): number {
    return this.#bytesOut;
  }

  get bytesIn(): number {
    return this.#reader.bytesRead;
  }

  /** The next pkt; undefined where the client closed its side between two. @throws Fault */
  async next(): Promise<Pkt | undefined> {
    // What has come already is not the client's turn.
    const ready = this.signal.aborted ? undefined : this.#reader.ready();
    const pkt = ready ?? (await this.#clientsTurn(this.#reader.next()));
    if (ready !== undefined) this.#progress += 1;
    trace('pkt', () => `${this.conversation.requestId} < ${traced(pkt)}`);
    return pkt;
  }

  /** @throws Fault `aborted` where the client is gone, `timeout` where it takes nothing. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength; offset += WRITE_BYTES_MAX) {
      const part = bytes.subarray(offset, offset + WRITE_BYTES_MAX);
      trace('pkt', () => `${this.conversation.requestId} > ${preview(part)}`);
      const { output } = this.conversation;
      assertWritable(output, this.signal);
      if (output.write(part)) this.#progress += 1;
      else await this.#clientsTurn(drained(output, this.signal));
      this.#bytesOut += part.byteLength;
    }
  }

  /** Whether bytes may be overwritten once `writeThrough` has written them. */
  get isExact(): boolean {
    return isExact(this.conversation.output);
  }

  /** As `write`, at once and to its end: resolves when the transport is done with `bytes`. */
  async writeThrough(bytes: Uint8Array): Promise<void> {
    trace('pkt', () => `${this.conversation.requestId} > ${preview(bytes)}`);
    await this.#clientsTurn(writeThrough(this.conversation.output, bytes, this.signal));
    this.#bytesOut += bytes.byteLength;
  }

  /** Tells the client in an ERR pkt, unless it was told already; what cannot be said any more is not. */
  async error(text: string): Promise<void> {
    await this.lastWords(encodePkt(`ERR ${text.slice(0, ERROR_CHARACTERS_MAX)}\n`));
  }

  /** Writes once and without complaint: a fault follows anyway. Nothing at all where no words would be understood. */
  async lastWords(bytes: Uint8Array): Promise<void> {
    if (this.#hasTold) return;
    this.#hasTold = true;
    try {
      await this.write(bytes);
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause;
    }
  }

  /** What is disposed gives `place` back, where the client has not been waited for too long before. */
  holdPlace(place: Disposable | undefined): Disposable {
    const held = new PatientPlace(place, this.#clock);
    this.#place = held;
    return held;
  }

  /** Ends waiting reads: no more is expected from the client. */
  stop(): void {
    this.#ending.abort(OVER);
  }

  [Symbol.dispose](): void {
    this.#cancelTimer();
    this.stop();
    // The listeners stay: an error that a stream raises after the end must not become an uncaught one.
  }

  async #clientsTurn<T>(turn: Promise<T>): Promise<T> {
    const place = this.#place;
    this.#waiting += 1;
    place?.beginTurn();
    try {
      return await turn;
    } catch (cause) {
      throw this.#reasonOf(cause);
    } finally {
      place?.endTurn();
      this.#waiting -= 1;
      this.#progress += 1;
    }
  }

  /** An abort by the idle limit is a timeout, not the client's going away. */
  #reasonOf(cause: unknown): unknown {
    const reason: unknown = this.#ending.signal.reason;
    return reason instanceof Fault && reason.code === 'timeout' ? reason : cause;
  }

  #watch(seen: number): void {
    this.#cancelTimer = this.#clock.after(BOUNDS.clientIdleMs, () => {
      if (this.#waiting > 0 && this.#progress === seen) {
        this.#ending.abort(new Fault('timeout', 'client did nothing for too long'));
        return;
      }
      this.#watch(this.#progress);
    });
  }
}

function ignore(): void {
  // Whoever reads or writes gets the error; this only keeps it from being an uncaught one in between.
}

function traced(pkt: Pkt | undefined): string {
  if (pkt === undefined) return 'end';
  return pkt.kind === 'data' ? preview(pkt.payload) : pkt.kind;
}

/** A line from outside, fit for an error message: short, printable, no escape sequences. */
export function quoteLine(text: string): string {
  const clean = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return clean.length > 120 ? `'${clean.slice(0, 120)}...'` : `'${clean}'`;
}
