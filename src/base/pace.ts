/** Long work in the background, in stints with long breaks, so that nobody who is served notices. */
import type { Clock } from './clock.ts';

const STINT_MS = 10;
/** The work takes a fifth of the time at most. */
const BREAK_MS = 40;

export class Pace {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'after'>;
  readonly #signal: AbortSignal;
  #begunMs: number;

  /** @param signal ends a break early. */
  constructor(clock: Pick<Clock, 'monotonicMs' | 'after'>, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    this.#begunMs = clock.monotonicMs();
  }

  /** Between two pieces of work: resolves at once within a stint, else after the break. */
  async step(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#begunMs < STINT_MS) return;
    await sleep(this.#clock, BREAK_MS, this.#signal);
    this.#begunMs = this.#clock.monotonicMs();
  }
}

/** Resolves after so many milliseconds, or when the signal is aborted. */
export function sleep(clock: Pick<Clock, 'after'>, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener('abort', done, { once: true });
  });
}
