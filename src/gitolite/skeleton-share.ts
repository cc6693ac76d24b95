/** What one thread does of the repositories that several make together. */
import type { NewRepository, Skeleton } from './skeleton.ts';

export interface Share {
  readonly skeleton: Skeleton;
  readonly umask: number;
  readonly repositories: readonly NewRepository[];
  /** The index of the next one that nobody makes yet: shared memory. */
  readonly next: Int32Array;
}

/** Each call makes the next one; false: nothing is left. It throws where one cannot be made. */
export function shareOf({ skeleton, umask, repositories, next }: Share): () => boolean {
  const make = skeleton.maker(umask);
  return () => {
    const repository = repositories[Atomics.add(next, 0, 1)];
    if (repository !== undefined) make(repository);
    return repository !== undefined;
  };
}
