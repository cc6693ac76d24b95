/**
 * The one place that an answer is made in, for several who wait for the same answer. Each asks at its own expense and the
 * first that is let in counts: who joins somebody whose budget is used up does not wait in that one's queue.
 */
import { Fault } from '../base/fault.ts';
import type { WorkGate } from '../git/service.ts';

export interface Racer {
  /** Undefined: it need not wait. */
  readonly work: WorkGate | undefined;
  /** Aborted when it leaves. */
  readonly signal: AbortSignal;
  readonly tell?: ((text: string) => void) | undefined;
}

/** The waiting of several clients for one place for work: all queue, one gets it, for an answer that all share. */
export class PlaceRace {
  /**
   * Rejects with Fault `busy` where nobody is let in, with the reason of the signal where that is aborted. Somebody has to
   * wait for it from the beginning.
   */
  readonly place: Promise<Disposable | undefined>;
  readonly #resolve: (place: Disposable | undefined) => void;
  readonly #reject: (cause: unknown) => void;
  readonly #over = new AbortController();
  #racing = 0;
  #fault: unknown;

  constructor(signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<Disposable | undefined>();
    this.place = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    const onAbort = (): void => this.#lose(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#over.signal.addEventListener('abort', () => signal.removeEventListener('abort', onAbort), { once: true });
  }

  /** Asks for one more; does nothing where somebody was let in already. */
  join({ work, signal, tell }: Racer): void {
    if (this.#isOver) return;
    if (work === undefined) {
      this.#win(undefined);
      return;
    }
    this.#racing += 1;
    work({ signal: AbortSignal.any([signal, this.#over.signal]), tell }).then(
      (place) => this.#win(place),
      (cause: unknown) => this.#leave(cause),
    );
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  #win(place: Disposable | undefined): void {
    if (this.#isOver) {
      place?.[Symbol.dispose]();
      return;
    }
    this.#over.abort();
    this.#resolve(place);
  }

  #leave(cause: unknown): void {
    this.#racing -= 1;
    // Who has gone takes only its own claim along: others may join yet. The last one to be gone ends the making.
    if (!(cause instanceof Fault && cause.code === 'aborted')) this.#fault ??= cause;
    if (this.#racing === 0 && this.#fault !== undefined) this.#lose(this.#fault);
  }

  #lose(cause: unknown): void {
    if (this.#isOver) return;
    this.#over.abort();
    this.#reject(cause);
  }
}
