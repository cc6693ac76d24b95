/**
 * pkt-lines, strictly (gitprotocol-common, "pkt-line Format"; gitprotocol-v2, "Packet-Line Framing"): writing
 * one, and reading them from a stream of which no more than one pkt and one chunk are ever held.
 */
import assert from 'node:assert/strict';
import type { Readable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { badInput } from '../base/fault.ts';
import { readChunk } from './stream.ts';

const LENGTH_DIGITS = 4;
/** Bytes of payload that fit into one pkt-line. */
export const PKT_PAYLOAD_BYTES_MAX = BOUNDS.pktBytesMax - LENGTH_DIGITS;

export const FLUSH = Buffer.from('0000');
export const DELIM = Buffer.from('0001');
export const RESPONSE_END = Buffer.from('0002');

/** `payload` may share memory with what was read: copy what must outlive the next few reads. */
export type Pkt =
  | { readonly kind: 'data'; readonly payload: Buffer }
  | { readonly kind: 'flush' }
  | { readonly kind: 'delim' }
  | { readonly kind: 'response-end' };

const SPECIAL = [{ kind: 'flush' }, { kind: 'delim' }, { kind: 'response-end' }] as const;

/** The pkt-line of `payload`; text gets no LF that it does not have. @throws Fault `bad-input` over 65516 bytes. */
export function encodePkt(payload: Uint8Array | string): Buffer {
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
  if (length > PKT_PAYLOAD_BYTES_MAX) throw badInput('a line is too long for a pkt-line', { length });
  const pkt = Buffer.allocUnsafe(LENGTH_DIGITS + length);
  pkt.write(pktHeader(length), 0, 'latin1');
  if (typeof payload === 'string') pkt.write(payload, LENGTH_DIGITS, 'utf8');
  else pkt.set(payload, LENGTH_DIGITS);
  return pkt;
}

/** The four length digits of a pkt-line with `payloadBytes` bytes of payload. */
export function pktHeader(payloadBytes: number): string {
  return SHORT_HEADERS[payloadBytes] ?? headerOf(payloadBytes);
}

function headerOf(payloadBytes: number): string {
  return (payloadBytes + LENGTH_DIGITS).toString(16).padStart(LENGTH_DIGITS, '0');
}

/** Of the lines that lists of refs are made of. */
const SHORT_HEADERS: readonly string[] = Array.from({ length: 256 }, (_, payloadBytes) => headerOf(payloadBytes));

/** The payload as text, without one trailing LF. */
export function pktText(payload: Buffer): string {
  const end = payload.at(-1) === 0x0a ? payload.length - 1 : payload.length;
  return payload.toString('utf8', 0, end);
}

export type WholePkt =
  | { readonly kind: 'data'; readonly text: string }
  /** `isLast`: no bytes follow. */
  | { readonly kind: 'flush'; readonly isLast: boolean }
  | { readonly kind: 'delim' | 'response-end' };

/** The pkts of bytes that are all here. @throws Fault `bad-input` as `PktReader.next`. */
export function* readPkts(bytes: Buffer): Generator<WholePkt> {
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < LENGTH_DIGITS) throw truncated();
    const length = parseLength(bytes.subarray(at, at + LENGTH_DIGITS));
    const special = SPECIAL[length];
    const end = at + (special === undefined ? length : LENGTH_DIGITS);
    if (special === undefined && (length < LENGTH_DIGITS || length > BOUNDS.pktBytesMax)) {
      throw badInput(`protocol error: bad line length ${length}`);
    }
    if (end > bytes.length) throw truncated();
    if (special === undefined) yield { kind: 'data', text: pktText(bytes.subarray(at + LENGTH_DIGITS, end)) };
    else if (special.kind === 'flush') yield { kind: 'flush', isLast: end === bytes.length };
    else yield special;
    at = end;
  }
}

/** Reads pkt-lines from a stream in paused mode. One reader, one call of `next` at a time. */
export class PktReader {
  readonly #input: Readable;
  readonly #signal: AbortSignal | undefined;
  #chunk: Buffer = Buffer.alloc(0);
  #offset = 0;
  #consumed = 0;
  #busy = false;

  constructor(input: Readable, signal?: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
  }

  /** Bytes of the pkts read so far, length digits included; what `rest` yields is not counted. */
  get bytesRead(): number {
    return this.#consumed;
  }

  /**
   * The next pkt; undefined where the stream ends between two pkts.
   * @throws Fault `bad-input` (malformed or truncated), `aborted` (the peer broke off, or the signal).
   */
  async next(): Promise<Pkt | undefined> {
    assert(!this.#busy, 'one call of next at a time');
    this.#busy = true;
    try {
      const header = await this.#take(LENGTH_DIGITS);
      if (header === undefined) return undefined;
      const length = parseLength(header);
      const special = SPECIAL[length];
      if (special !== undefined) return special;
      if (length < LENGTH_DIGITS || length > BOUNDS.pktBytesMax) {
        throw badInput(`protocol error: bad line length ${length}`);
      }
      const payload = await this.#take(length - LENGTH_DIGITS);
      if (payload === undefined) throw truncated();
      return { kind: 'data', payload };
    } finally {
      this.#busy = false;
    }
  }

  /** The next pkt where all of it has come already; undefined: `next` waits for it, or says what is wrong with it. */
  ready(): Pkt | undefined {
    const start = this.#offset + LENGTH_DIGITS;
    if (this.#busy || start > this.#chunk.length) return undefined;
    const length = lengthAt(this.#chunk, this.#offset);
    const special = SPECIAL[length];
    if (special === undefined && (length < LENGTH_DIGITS || length > BOUNDS.pktBytesMax)) return undefined;
    const payloadBytes = special === undefined ? length - LENGTH_DIGITS : 0;
    if (start + payloadBytes > this.#chunk.length) return undefined;
    this.#offset = start;
    this.#consumed += LENGTH_DIGITS;
    return special ?? { kind: 'data', payload: this.#cut(payloadBytes) };
  }

  /** What follows the last pkt read: the buffered leftover, then the stream. Leaving the loop early keeps the stream. */
  async *rest(): AsyncGenerator<Buffer, void, undefined> {
    if (this.#offset < this.#chunk.length) {
      const leftover = this.#chunk.subarray(this.#offset);
      this.#chunk = Buffer.alloc(0);
      this.#offset = 0;
      yield leftover;
    }
    for (;;) {
      const chunk = await readChunk(this.#input, this.#signal);
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /** Exactly `count` bytes; undefined where the stream ends before the first of them and `count` is not 0. */
  async #take(count: number): Promise<Buffer | undefined> {
    const here = this.#chunk.length - this.#offset;
    if (here >= count) return this.#cut(count);
    const parts: Buffer[] = [];
    let missing = count;
    if (here > 0) {
      parts.push(this.#cut(here));
      missing -= here;
    }
    while (missing > 0) {
      const chunk = await readChunk(this.#input, this.#signal);
      if (chunk === undefined) {
        if (missing === count) return undefined;
        throw truncated();
      }
      this.#chunk = chunk;
      this.#offset = 0;
      const part = this.#cut(Math.min(missing, chunk.length));
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, count);
  }

  #cut(count: number): Buffer {
    const part = this.#chunk.subarray(this.#offset, this.#offset + count);
    this.#offset += count;
    this.#consumed += count;
    return part;
  }
}

function truncated(): Error {
  return badInput('protocol error: the connection ended inside a pkt-line');
}

/** Four hexadecimal digits; -1 where they are none. */
function lengthAt(bytes: Buffer, at: number): number {
  let length = 0;
  for (let index = at; index < at + LENGTH_DIGITS; index += 1) {
    const digit = HEX_DIGITS[bytes[index] ?? 0] ?? -1;
    if (digit < 0) return -1;
    length = length * 16 + digit;
  }
  return length;
}

/** What each byte is worth as a hexadecimal digit; -1: it is none. */
const HEX_DIGITS = Int8Array.from({ length: 256 }, (_, byte) =>
  /^[0-9a-fA-F]$/.test(String.fromCharCode(byte)) ? Number.parseInt(String.fromCharCode(byte), 16) : -1,
);

function parseLength(header: Buffer): number {
  const digits = header.toString('latin1');
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) {
    throw badInput(`protocol error: bad line length character: ${digits.replaceAll(/[^\x20-\x7e]/g, '?')}`);
  }
  return Number.parseInt(digits, 16);
}
