/** A command's output collected for one JSON answer, up to a bound. */
import { Writable } from 'node:stream';

export class Collected extends Writable {
  readonly #bytesMax: number;
  readonly #onFull: () => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #full = false;

  constructor(bytesMax: number, onFull: () => void) {
    super();
    this.#bytesMax = bytesMax;
    this.#onFull = onFull;
    this.on('error', () => {});
  }

  /** More came than is kept. */
  get full(): boolean {
    return this.#full;
  }

  /** What came, as text; bytes that are not UTF-8 become U+FFFD. */
  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const kept = chunk.subarray(0, this.#bytesMax - this.#bytes);
    if (kept.length > 0) this.#chunks.push(kept);
    this.#bytes += kept.length;
    if (kept.length < chunk.length && !this.#full) {
      this.#full = true;
      this.#onFull();
    }
    // What is over the bound is dropped until the command notices that it was aborted.
    done();
  }
}
