/** Messages to threads of our own. */
import type { Transferable, Worker } from 'node:worker_threads';

export function postTo(thread: Worker, message: unknown, transfer: readonly Transferable[] = []): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- about windows of a browser: a thread has no origin that could be the wrong one
  thread.postMessage(message, transfer);
}
