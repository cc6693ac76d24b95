/** A clock that tests turn by hand. */
import type { Clock } from '../../src/base/clock.ts';

/** Timers that fire when told. */
export class HandClock implements Clock {
  readonly #timers = new Map<() => void, number>();
  #now = 0;

  now(): number {
    return this.#now;
  }
  monotonicMs(): number {
    return this.#now;
  }
  randomBytes(count: number): Buffer {
    return Buffer.alloc(count, 7);
  }
  after(ms: number, callback: () => void): () => void {
    const timer = (): void => {
      callback();
    };
    this.#timers.set(timer, this.#now + ms);
    return () => this.#timers.delete(timer);
  }
  get pending(): number {
    return this.#timers.size;
  }
  advance(ms: number): void {
    this.#now += ms;
    for (const [timer, at] of this.#timers) {
      if (at > this.#now) continue;
      this.#timers.delete(timer);
      timer();
    }
  }
}
