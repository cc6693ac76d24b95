/** Makes repositories like another one on a thread of its own: `skeleton-maker.ts` says which. */
import { parentPort } from 'node:worker_threads';
import { makeDirectory } from './hooks.ts';
import { Skeleton } from './skeleton.ts';
import type { Made, ToMake } from './skeleton-maker.ts';

const port = parentPort;

port?.on('message', ({ entries, umask, paths }: ToMake) => {
  const skeleton = new Skeleton(entries);
  let answer: Made = { kind: 'made' };
  try {
    for (const path of paths) {
      makeDirectory(path, { umask });
      skeleton.makeAt(path);
    }
  } catch (error) {
    const { message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
    answer = { kind: 'failed', message, code };
  }
  port?.postMessage(answer);
});
