/** An object that is on its way in from an upstream, read by those who wait for it while it comes. */
import { open, type FileHandle } from 'node:fs/promises';
import { Fault } from '../base/fault.ts';
import type { Watch } from './storage.ts';

const CHUNK_BYTES = 256 * 1024;

/**
 * Whoever reads gets what is on disk already, and the last byte only when the whole was found to be what its oid says: a
 * client never has a whole object that is another.
 */
export class Following implements Watch {
  readonly #size: number;
  readonly #ready = Promise.withResolvers<undefined>();
  #path = '';
  #bytes = 0;
  #isWhole = false;
  #error: unknown;
  #moved = Promise.withResolvers<undefined>();

  constructor(size: number) {
    this.#size = size;
    this.#ready.promise.catch(() => {});
  }

  opened(path: string): void {
    this.#path = path;
    this.#ready.resolve(undefined);
  }

  wrote(bytes: number): void {
    this.#bytes = bytes;
    this.#move();
  }

  /** Everything is there and verified, and lies at `path` now. */
  finish(path: string): void {
    this.#path = path;
    this.#isWhole = true;
    this.#move();
  }

  fail(error: unknown): void {
    this.#error = error;
    this.#ready.reject(error);
    this.#move();
  }

  /** Resolves when there is something to read. @throws what the flight failed with. */
  async begun(signal: AbortSignal): Promise<void> {
    await this.#ready.promise;
    while (this.#limit() === 0 && !this.#isWhole) await this.#more(signal);
  }

  /** The bytes from `start` up to `end`. @throws what the flight failed with; Fault `aborted`. */
  async *read(start: number, end: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const file = await this.#open(signal);
    try {
      for (let at = start; at < end;) {
        const most = Math.min(end, this.#limit());
        if (at >= most) {
          await this.#more(signal);
          continue;
        }
        const { bytesRead, buffer } = await file.read({
          buffer: Buffer.allocUnsafe(Math.min(CHUNK_BYTES, most - at)),
          position: at,
        });
        if (bytesRead === 0) throw new Fault('corrupt', 'lfs object on its way in is short');
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async #open(signal: AbortSignal): Promise<FileHandle> {
    await this.#ready.promise;
    for (;;) {
      const { isWhole, path } = { isWhole: this.#isWhole, path: this.#path };
      try {
        return await open(path, 'r');
      } catch (error) {
        // It is just being moved to its place.
        if (isWhole) throw error;
        if (!this.#isWhole) await this.#more(signal);
      }
    }
  }

  #limit(): number {
    return this.#isWhole ? this.#size : Math.min(this.#bytes, this.#size - 1);
  }

  async #more(signal: AbortSignal): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    if (signal.aborted) throw new Fault('aborted', 'reader of an lfs object is gone', { cause: signal.reason });
    const onAbort = (): void => {
      this.#move();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    await this.#moved.promise;
    signal.removeEventListener('abort', onAbort);
    if (this.#error !== undefined) throw this.#error;
  }

  #move(): void {
    const { resolve } = this.#moved;
    this.#moved = Promise.withResolvers<undefined>();
    resolve(undefined);
  }
}
