/** Messages to threads of our own. */
import type { Transferable, Worker } from 'node:worker_threads';

export function postTo(thread: Worker, message: unknown, transfer: readonly Transferable[] = []): void {
  // The rule is about windows of a browser; a thread has no origin that could be the wrong one.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  thread.postMessage(message, transfer);
}
