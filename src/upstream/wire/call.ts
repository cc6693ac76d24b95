/** One call to an upstream: its deadlines, who may break it off, and how whatever goes wrong is said. */
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import type { WireLimits } from './limits.ts';
import { NothingDone } from './nothing-done.ts';
import type { RemoteCall } from './remote.ts';
import { codeOf } from './socket.ts';
import { Murmur, type Words } from './words.ts';

export interface CallParts {
  readonly words: Words;
  readonly clock: Clock;
  readonly limits: WireLimits;
}

export class Call implements Disposable {
  /** Aborted by the asker, by a deadline, or when the call is over. */
  readonly signal: AbortSignal;
  readonly words: Words;
  readonly limits: WireLimits;
  readonly murmur: Murmur;
  readonly #clock: Clock;
  readonly #asker: AbortSignal;
  readonly #end = new AbortController();
  readonly #cancelTotal: () => void;
  readonly #deferred: (() => void)[] = [];
  /** Of the monotonic clock: when something last got through to the server. */
  #progressAt = 0;

  /** @param totalMs for the whole call, from now. */
  constructor(asked: RemoteCall, totalMs: number, { words, clock, limits }: CallParts) {
    this.words = words;
    this.limits = limits;
    this.#clock = clock;
    this.#asker = asked.signal;
    this.signal = AbortSignal.any([asked.signal, this.#end.signal]);
    this.murmur = new Murmur(words, asked.tell, limits.toldBytesMax);
    this.#cancelTotal = clock.after(totalMs, () => {
      this.#end.abort(words.late(totalMs));
    });
  }

  /** What `work` gives, if it takes no longer than `ms` from now or from the last sign of progress; `work` has to heed `signal`. */
  async within<T>(ms: number, work: Promise<T>): Promise<T> {
    let cancel = (): void => {};
    const arm = (waitMs: number): void => {
      cancel = this.#clock.after(waitMs, () => {
        const leftMs = this.#progressAt + ms - this.#clock.monotonicMs();
        if (leftMs > 0) arm(leftMs);
        else this.#end.abort(this.words.late(ms));
      });
    };
    arm(ms);
    try {
      return await work;
    } finally {
      cancel();
    }
  }

  /** As the clock's. */
  after(ms: number, callback: () => void): () => void {
    return this.#clock.after(ms, callback);
  }

  /** The server took something: it may be silent while a long pack is on its way to it. */
  progressed(): void {
    this.#progressAt = this.#clock.monotonicMs();
  }

  /** Whether it was the asker or a deadline that ended this call. */
  get isOver(): boolean {
    return this.signal.aborted;
  }

  /** The fault that the asker gets for `error`, which may be anything that was thrown on the way. */
  translate(error: unknown, lastWords?: string): Fault {
    if (this.#asker.aborted) return new Fault('aborted', 'call to upstream was aborted', { cause: error });
    const reason: unknown = this.#end.signal.reason;
    if (reason instanceof Fault) return reason;
    if (error instanceof NothingDone) return error.fault;
    if (codeOf(error instanceof Error ? error.cause : undefined)?.startsWith('Z_') === true) {
      return this.words.broke('its answer cannot be unpacked', error);
    }
    if (!(error instanceof Fault)) return this.words.brokeOff(lastWords, error);
    if (error.code === 'bad-input') return this.words.broke(error.publicMessage ?? 'a malformed answer', error);
    return error.code === 'aborted' ? this.words.brokeOff(lastWords, error) : error;
  }

  /** Runs `work` when the call is over. */
  defer(work: () => void): void {
    this.#deferred.push(work);
  }

  [Symbol.dispose](): void {
    this.#cancelTotal();
    for (const work of this.#deferred.splice(0)) work();
    this.murmur.end();
    // Whatever still hangs on this call (a connection under way, a writer) lets go.
    if (!this.#end.signal.aborted) this.#end.abort();
  }
}
