/**
 * Makes many repositories like one, on two threads. Nearly all of the work is the file system's, which serves two callers
 * at once.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Stint } from '../base/stint.ts';
import { postTo } from '../base/threads.ts';
import type { Rc } from './rc.ts';
import { shareOf, type Share } from './skeleton-share.ts';
import type { Entry, NewRepository, Skeleton } from './skeleton.ts';

/** To the thread; each is answered. */
export interface ToShare extends Omit<Share, 'skeleton'> {
  readonly entries: readonly Entry[];
}

/** An error loses its code on the way between threads. */
export type Made =
  | { readonly kind: 'made' }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string | undefined };

/** Fewer are not worth a thread. */
const SHARED_MIN = 128;

export class SkeletonMaker implements AsyncDisposable {
  readonly #skeleton: Skeleton;
  #thread: Worker | undefined;

  constructor(skeleton: Skeleton) {
    this.#skeleton = skeleton;
  }

  /**
   * @param meanwhile called once the other thread is at work, which it does not wait for.
   * @throws what the first one threw that could not be made; others may be there by then.
   */
  async make(
    repositories: readonly NewRepository[],
    { umask }: Pick<Rc, 'umask'>,
    meanwhile: () => void = () => {},
  ): Promise<void> {
    const next = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const share = { umask, repositories, next };
    const others = this.#elsewhere(share);
    others.catch(() => {});
    meanwhile();
    const makeNext = shareOf({ ...share, skeleton: this.#skeleton });
    const stint = new Stint();
    while (makeNext()) if (stint.isOver) await stint.rest();
    await others;
  }

  async #elsewhere(share: Omit<Share, 'skeleton'>): Promise<void> {
    if (share.repositories.length < SHARED_MIN) return;
    this.#thread ??= new Worker(new URL('./skeleton-thread.ts', import.meta.url), { execArgv: [] });
    const toShare: ToShare = { ...share, entries: this.#skeleton.entries };
    postTo(this.#thread, toShare);
    const [made] = (await once(this.#thread, 'message')) as [Made];
    if (made.kind === 'failed') throw Object.assign(new Error(made.message), { code: made.code });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.terminate();
  }
}
