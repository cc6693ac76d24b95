/**
 * Makes many repositories like one: half of them on another thread. Nearly all of the work is the file system's, which
 * serves two callers at once.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Stint } from '../base/stint.ts';
import { postTo } from '../base/threads.ts';
import { makeDirectory } from './hooks.ts';
import type { Rc } from './rc.ts';
import type { Entry, Skeleton } from './skeleton.ts';

export interface ToMake {
  readonly entries: readonly Entry[];
  readonly umask: number;
  readonly paths: readonly string[];
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

  /** @throws what the first one threw that could not be made; others may be there by then. */
  async make(paths: readonly string[], { umask }: Pick<Rc, 'umask'>): Promise<void> {
    const border = paths.length < SHARED_MIN ? paths.length : Math.floor(paths.length / 2);
    const others = this.#elsewhere({ entries: this.#skeleton.entries, umask, paths: paths.slice(border) });
    others.catch(() => {});
    const stint = new Stint();
    for (const path of paths.slice(0, border)) {
      makeDirectory(path, { umask });
      this.#skeleton.makeAt(path);
      if (stint.isOver) await stint.rest();
    }
    await others;
  }

  async #elsewhere(toMake: ToMake): Promise<void> {
    if (toMake.paths.length === 0) return;
    this.#thread ??= new Worker(new URL('./skeleton-thread.ts', import.meta.url), { execArgv: [] });
    postTo(this.#thread, toMake);
    const [made] = (await once(this.#thread, 'message')) as [Made];
    if (made.kind === 'failed') throw Object.assign(new Error(made.message), { code: made.code });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.terminate();
  }
}
