/**
 * The bytes behind the commands: counted, given up when the client falls silent, and thrown away in a bounded manner
 * where the push is refused, because a client that is cut off while it sends never reads why.
 */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';

export interface PackInputOptions {
  readonly chunks: AsyncIterator<Buffer>;
  readonly clock: Clock;
  readonly idleMs: number;
  /** What is said of silence; default: that the client sent nothing for too long. */
  readonly silence?: string;
}

export interface DrainOptions {
  readonly bytesMax: number;
  readonly ms: number;
  /** Silence after which nothing more is expected. Default: the idle bound. */
  readonly silentMs?: number;
}

export class PackInput {
  readonly #options: PackInputOptions;
  #awaited: Promise<IteratorResult<Buffer>> | undefined;
  #unread: Buffer | undefined;
  #bytes = 0;
  #isEnded = false;
  #idleMs: number;

  constructor(options: PackInputOptions) {
    this.#options = options;
    this.#idleMs = options.idleMs;
  }

  /** Bytes taken so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The next chunk; undefined at the end, or when `until` is aborted first. In the latter case nothing is lost: the
   * chunk that was waited for comes with the next call. @throws Fault `timeout` after `idleMs` of silence, `aborted`.
   */
  async next(until?: AbortSignal): Promise<Buffer | undefined> {
    const unread = this.#unread;
    if (unread !== undefined) {
      this.#unread = undefined;
      this.#bytes += unread.length;
      return unread;
    }
    if (this.#isEnded) return undefined;
    this.#awaited ??= this.#options.chunks.next();
    const result = await this.#bounded(this.#awaited, until);
    if (result === undefined) return undefined;
    this.#awaited = undefined;
    if (result.done === true) {
      this.#isEnded = true;
      return undefined;
    }
    this.#bytes += result.value.length;
    return result.value;
  }

  /** Gives back bytes that were taken last. */
  unread(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#unread = this.#unread === undefined ? chunk : Buffer.concat([chunk, this.#unread]);
    this.#bytes -= chunk.length;
  }

  /** Reads and forgets until the end, a bound or silence. Never throws: there is nothing left to save. */
  async drain({ bytesMax, ms, silentMs = this.#options.idleMs }: DrainOptions): Promise<void> {
    const bytesEnd = this.#bytes + bytesMax;
    const over = new AbortController();
    const cancel = this.#options.clock.after(ms, () => {
      over.abort();
    });
    this.#idleMs = silentMs;
    try {
      while (this.#bytes < bytesEnd && (await this.next(over.signal)) !== undefined);
    } catch {
      // The client is gone or silent: drained enough.
    } finally {
      cancel();
    }
  }

  /** What `wait` gives; undefined where `until` was aborted first. */
  #bounded<T>(wait: Promise<T>, until: AbortSignal | undefined): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        settle();
        resolve(undefined);
      };
      const cancel = this.#options.clock.after(this.#idleMs, () => {
        settle();
        const publicMessage = this.#options.silence ?? 'the client sent nothing for too long';
        reject(new Fault('timeout', 'sender of a pack is silent', { publicMessage }));
      });
      const settle = (): void => {
        cancel();
        until?.removeEventListener('abort', onAbort);
      };
      until?.addEventListener('abort', onAbort);
      if (until?.aborted === true) onAbort();
      wait.then(resolve, reject).finally(settle);
    });
  }
}
