/** A clock that tests turn by hand. */
import { systemClock, type Clock } from '../../src/base/clock.ts';

/** Timers fire when `advance` passes them. */
export class HandClock implements Clock {
  readonly #timers = new Map<() => void, number>();
  #ms = 0;

  now(): number {
    return Date.UTC(2030, 0, 1) + this.#ms;
  }
  monotonicMs(): number {
    return this.#ms;
  }
  randomBytes(count: number): Buffer {
    return systemClock.randomBytes(count);
  }
  after(ms: number, callback: () => void): () => void {
    const timer = (): void => {
      callback();
    };
    this.#timers.set(timer, this.#ms + ms);
    return () => this.#timers.delete(timer);
  }
  get pending(): number {
    return this.#timers.size;
  }
  advance(ms: number): void {
    this.#ms += ms;
    for (const [timer, at] of this.#timers) {
      if (at > this.#ms) continue;
      this.#timers.delete(timer);
      timer();
    }
  }
}
