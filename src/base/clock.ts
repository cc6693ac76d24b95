/** Time and randomness come from here, so that a test or a simulation can replace them. */
import { randomBytes, randomFillSync } from 'node:crypto';
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

/** Short draws come out of a longer one: asking the system costs more than the bytes. */
const POOL_BYTES = 4_096;
const POOLED_MAX = 64;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** Each byte is given once, and is gone from here then. */
function fromPool(count: number): Buffer {
  if (used + count > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const drawn = Buffer.from(pool.subarray(used, used + count));
  pool.fill(0, used, used + count);
  used += count;
  return drawn;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  randomBytes: (count) => (count <= POOLED_MAX ? fromPool(count) : randomBytes(count)),
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
