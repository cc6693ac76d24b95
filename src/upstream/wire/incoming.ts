/** What an upstream answers, pkt by pkt, under the deadlines of a call; every way in which it can go wrong becomes a fault in words. */
import type { Readable } from 'node:stream';
import { PktReader, type Pkt } from '../../git/pkt-line.ts';
import { readChunk } from '../../git/stream.ts';
import type { Call } from './call.ts';

export interface IncomingOptions {
  readonly input: Readable;
  readonly call: Call;
  /** What the peer said aside (standard error) when it broke off; may wait a moment for it. */
  readonly lastWords?: () => Promise<string | undefined>;
}

export type DataPkt = Extract<Pkt, { kind: 'data' }>;

export class Incoming {
  readonly #call: Call;
  readonly #input: Readable;
  readonly #reader: PktReader;
  readonly #lastWords: () => Promise<string | undefined>;

  constructor({ input, call, lastWords }: IncomingOptions) {
    this.#call = call;
    this.#input = input;
    this.#reader = new PktReader(input, call.signal);
    this.#lastWords = lastWords ?? (() => Promise.resolve(undefined));
  }

  get bytesRead(): number {
    return this.#reader.bytesRead;
  }

  /** The next pkt; undefined at the end. An ERR pkt is thrown (gitprotocol-pack, "Error Packet"). @throws Fault as `Remote` says. */
  async next(ms: number = this.#call.limits.silenceMs): Promise<Pkt | undefined> {
    const pkt = await this.#guard(ms, () => this.#reader.next());
    if (pkt?.kind === 'data' && isError(pkt.payload)) throw this.#call.words.said(pkt.payload.toString('utf8', 4));
    return pkt;
  }

  /** The next pkt, which must be there. */
  async expect(ms?: number): Promise<Pkt> {
    const pkt = await this.next(ms);
    if (pkt === undefined) throw this.#call.translate(undefined, await this.#lastWords());
    return pkt;
  }

  /** Everything behind the last pkt, as it comes. */
  async *rest(): AsyncGenerator<Buffer, void, undefined> {
    const chunks = this.#reader.rest();
    for (;;) {
      const { value } = await this.#guard(this.#call.limits.silenceMs, () => chunks.next());
      if (value === undefined) return;
      yield value;
    }
  }

  /** Reads on to the end, keeping nothing: at most `bytesMax`. */
  async drain(bytesMax: number): Promise<void> {
    let left = bytesMax;
    while (left > 0) {
      const chunk = await this.#guard(this.#call.limits.silenceMs, () => readChunk(this.#input, this.#call.signal));
      if (chunk === undefined) return;
      left -= chunk.length;
    }
  }

  async #guard<T>(ms: number, read: () => Promise<T>): Promise<T> {
    try {
      return await this.#call.within(ms, read());
    } catch (error) {
      const lastWords = this.#call.isOver ? undefined : await this.#lastWords();
      throw this.#call.translate(error, lastWords);
    }
  }
}

function isError(payload: Buffer): boolean {
  return payload.length > 4 && payload.toString('latin1', 0, 4) === 'ERR ';
}
