/** Makes repositories like another one on a thread of its own: `skeleton-maker.ts` says which. */
import { parentPort } from 'node:worker_threads';
import type { Made, ToShare } from './skeleton-maker.ts';
import { shareOf } from './skeleton-share.ts';
import { Skeleton } from './skeleton.ts';

const port = parentPort;

port?.on('message', ({ entries, ...share }: ToShare) => {
  let answer: Made = { kind: 'made' };
  try {
    const makeNext = shareOf({ ...share, skeleton: new Skeleton(entries) });
    while (makeNext());
  } catch (error) {
    const { message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
    answer = { kind: 'failed', message, code };
  }
  port?.postMessage(answer);
});
