/** A stream that one side writes to while the other reads it, and may stop early. */
import { once } from 'node:events';
import { PassThrough } from 'node:stream';

export class Conveyor {
  readonly #stream = new PassThrough({ highWaterMark: 256 * 1024 });
  readonly #reading: Promise<void>;
  #open = true;
  #failure: unknown;

  constructor(read: (source: AsyncIterable<Buffer>) => Promise<void>) {
    this.#stream.on('error', () => {
      // The reader hears of it.
    });
    this.#reading = read(this.#stream as AsyncIterable<Buffer>)
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#open = false;
        this.#stream.destroy();
      });
  }

  /** Whether anybody still reads. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Resolves when there is room for more. */
  async push(chunk: Buffer): Promise<void> {
    if (!this.#open || this.#stream.write(chunk)) return;
    await Promise.race([this.#reading, once(this.#stream, 'drain').catch(() => undefined)]);
  }

  /** @throws what the reader threw. */
  async end(): Promise<void> {
    if (this.#open) this.#stream.end();
    await this.#reading;
    if (this.#failure !== undefined) throw this.#failure;
  }
}
