/** Time and randomness come from here, so that a test or a simulation can replace them. */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. May jump. */
  now(): number;
  /** Milliseconds since some start; never goes back. */
  monotonicMs(): number;
  /** Cryptographically strong bytes. */
  randomBytes(count: number): Buffer;
  /** Calls back once after `ms`; the returned function cancels. Never keeps the process alive. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  randomBytes: (count) => randomBytes(count),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/** A request, repository or transaction id: 16 random bytes in lower-case hex, sortable by nothing. */
export function newId(clock: Clock): string {
  return clock.randomBytes(16).toString('hex');
}
