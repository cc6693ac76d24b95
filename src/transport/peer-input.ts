/**
 * What a peer sends over a two-way stream, as a stream of its own: destroying it lets the rest run off and
 * leaves the other direction open for the answer, and a connection that breaks does not look like an end.
 */
import { Readable, type Duplex } from 'node:stream';
import { Fault } from '../base/fault.ts';

const BUFFER_BYTES = 64 * 1024;

export class PeerInput extends Readable {
  readonly #source: Duplex;
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  readonly #onData: (chunk: Buffer) => void;

  /** @param signal aborted when the peer is gone; not by its mere end. */
  constructor(source: Duplex, signal: AbortSignal) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#source = source;
    this.#signal = signal;
    this.#onAbort = () => {
      // An end that the peer did not send must not look like one: half a pack is not a pack.
      this.destroy(new Fault('aborted', 'peer is gone', { cause: signal.reason }));
    };
    this.#onData = (chunk) => {
      if (!this.push(chunk)) source.pause();
    };
    this.on('error', () => {});
    signal.addEventListener('abort', this.#onAbort, { once: true });
    source.on('data', this.#onData);
    source.once('end', () => {
      if (!this.destroyed) this.push(null);
    });
    source.pause();
    if (signal.aborted) this.#onAbort();
  }

  override _read(): void {
    this.#source.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#source.off('data', this.#onData);
    this.#source.resume();
    done(error);
  }
}
