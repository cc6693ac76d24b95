/** Lets a few through at once; the others wait in order, up to a bound. */
import { Fault } from '../base/fault.ts';

export class Turnstile {
  readonly #atOnce: number;
  readonly #waitingMax: number;
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  constructor(atOnce: number, waitingMax: number) {
    this.#atOnce = atOnce;
    this.#waitingMax = waitingMax;
  }

  /** Does `work` as soon as there is a place. @throws Fault `busy` where too many wait, `aborted`. */
  async pass<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw new Fault('aborted', 'wait was aborted', { cause: signal.reason });
    if (this.#inside < this.#atOnce) {
      this.#inside += 1;
    } else {
      if (this.#waiting.size >= this.#waitingMax) {
        throw new Fault('busy', 'too many wait', { publicMessage: 'the server is busy, try again later' });
      }
      // The place is handed over, so `#inside` stays as it is.
      await this.#wait(signal);
    }
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(admit);
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.delete(admit);
        reject(new Fault('aborted', 'wait was aborted', { cause: signal.reason }));
      };
      this.#waiting.add(admit);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  #leave(): void {
    const next = this.#waiting.values().next();
    if (next.done === true) this.#inside -= 1;
    else next.value();
  }
}
