/** Long work that waits for nothing, in stints: between two of them everybody else gets a turn of the event loop. */
import { setImmediate } from 'node:timers/promises';
import { BOUNDS } from './bounds.ts';
import { systemClock, type Clock } from './clock.ts';

export class Stint {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #begunMs: number;

  constructor(clock: Pick<Clock, 'monotonicMs'> = systemClock) {
    this.#clock = clock;
    this.#begunMs = clock.monotonicMs();
  }

  /** `BOUNDS.stintMs` have passed: `rest` is due. Cheap enough to be asked for each item of a list. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#begunMs >= BOUNDS.stintMs;
  }

  /** Resolves when everybody had a turn; the next stint begins. */
  async rest(): Promise<void> {
    await setImmediate();
    this.#begunMs = this.#clock.monotonicMs();
  }
}
