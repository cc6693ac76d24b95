/** How late the event loop comes to a timer: whatever a request waits for that is not its own work shows here. */
import { Histogram, type Registry } from 'prom-client';

/** Milliseconds between two looks. */
const LOOK_EVERY_MS = 10;
const BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** Looks for as long as the process lives, without keeping it alive. */
export function watchEventLoop(registry: Registry, prefix: string): void {
  const histogram = new Histogram({
    name: `${prefix}event_loop_delay_seconds`,
    help: 'How much later than asked the event loop came to a timer that is due every 10 ms.',
    buckets: BUCKETS_SECONDS,
    registers: [registry],
  });
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    histogram.observe(Math.max(0, now - last - LOOK_EVERY_MS) / 1_000);
    last = now;
  }, LOOK_EVERY_MS).unref();
}
