/** What the pushes that share a turn go through side by side: each may fail or be refused, and takes no other with it. */
import type { Attempt } from './attempt.ts';
import type { RefSource } from './commit.ts';
import type { Moved } from './commit-parts.ts';
import type { Seat } from './commit-queue.ts';
import type { Committed } from './commit-request.ts';
import { judgeAgainst } from './old-values.ts';
import { failTogether } from './update.ts';

/** Those that still may and have something to commit; the others have heard. */
export async function confirmEach(seats: readonly Seat[], refs: RefSource): Promise<readonly Seat[]> {
  const ready: Seat[] = [];
  for (const seat of seats) {
    try {
      await seat.request.confirm?.();
      ready.push(seat);
    } catch (error) {
      seat.reject(error);
    }
  }
  const [first] = ready;
  if (first === undefined) return [];
  const snapshot = await refs.snapshot(first.request.repository);
  return ready.filter(({ request: { updates, config, atomic }, resolve }) => {
    judgeAgainst(snapshot, updates, config);
    if (atomic) failTogether(updates);
    if (updates.some((update) => update.isAlive)) return true;
    resolve(undefined);
    return false;
  });
}

/** Objects of all of them in the repository, kept there by `attempt`. One whose cannot be moved fails alone. */
export async function moveEach(
  seats: readonly Seat[],
  attempt: Attempt,
): Promise<{ readonly ready: readonly Seat[]; readonly moved: Moved }> {
  const moves = seats.map(async ({ request: { objectDirectory } }) =>
    objectDirectory === undefined ? [] : attempt.install(objectDirectory),
  );
  const ends = await Promise.allSettled(moves);
  const ready: Seat[] = [];
  const directories = new Set<string>();
  for (const [index, seat] of seats.entries()) {
    const end = ends[index];
    if (end?.status === 'fulfilled') {
      for (const directory of end.value) directories.add(directory);
      ready.push(seat);
    } else seat.reject(end?.reason);
  }
  return { ready, moved: { packs: attempt.packs, directories: [...directories], keeper: attempt } };
}

/** @param ends in the order of the seats. */
export function tellEach(seats: readonly Seat[], ends: readonly PromiseSettledResult<Committed>[]): void {
  for (const [index, { resolve, reject }] of seats.entries()) {
    const end = ends[index];
    if (end?.status === 'fulfilled') resolve(end.value);
    else reject(end?.reason);
  }
}
