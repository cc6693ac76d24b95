/**
 * How late the event loop comes to a timer: whatever a request waits for that is not its own work shows here. On a busy
 * machine a part of it is spent waiting for a processor; what is left without that is what the gate itself keeps it busy.
 */
import { openSync, readSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { Histogram, type Registry } from 'prom-client';

/** Milliseconds between two looks while the loop has work, and while it mostly sleeps: waking it costs more than a look. */
const BUSY_EVERY_MS = 10;
const QUIET_EVERY_MS = 100;
/** The part of the time since the last look from which on the loop counts as having work. */
const BUSY_SHARE = 0.25;
const BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** Looks for as long as the process lives, without keeping it alive. */
export function watchEventLoop(registry: Registry, prefix: string): void {
  const histogram = (name: string, help: string): Histogram =>
    new Histogram({ name: prefix + name, help, buckets: BUCKETS_SECONDS, registers: [registry] });
  const delay = histogram(
    'event_loop_delay_seconds',
    'How much later than asked the event loop came to a timer that is due every 10 ms, or 100 ms while it mostly sleeps.',
  );
  const blocked = histogram(
    'event_loop_blocked_seconds',
    'The same without the time in which the process waited for a processor; Linux only, elsewhere as above.',
  );
  const waitedMs = processorWait();
  let last = performance.now();
  let lastWaitedMs = waitedMs();
  let lastUse = performance.eventLoopUtilization();
  let everyMs = BUSY_EVERY_MS;
  const look = (): void => {
    const waited = waitedMs();
    const late = Math.max(0, performance.now() - last - everyMs);
    delay.observe(late / 1_000);
    blocked.observe(Math.max(0, late - (waited - lastWaitedMs)) / 1_000);
    const use = performance.eventLoopUtilization();
    everyMs = performance.eventLoopUtilization(use, lastUse).utilization < BUSY_SHARE ? QUIET_EVERY_MS : BUSY_EVERY_MS;
    lastUse = use;
    lastWaitedMs = waited;
    last = performance.now();
    setTimeout(look, everyMs).unref();
  };
  setTimeout(look, everyMs).unref();
}

/** Milliseconds that the main thread was ready to run, and did not, since it began (proc(5), `/proc/[pid]/schedstat`). */
function processorWait(): () => number {
  const nothing = (): number => 0;
  if (!isMainThread) return nothing;
  let file: number;
  try {
    file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  } catch {
    return nothing;
  }
  const bytes = Buffer.alloc(64);
  return () => {
    const count = readSync(file, bytes, 0, bytes.length, 0);
    return Number(bytes.toString('latin1', 0, count).split(' ')[1] ?? 0) / 1e6;
  };
}
