/**
 * Refs that are hidden from somebody while they push. What a push was judged by, the objects that it may build on and name,
 * are those of refs that could be read when it came.
 */
import type { Clock } from '../base/clock.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import { askAhead } from './decide.ts';
import { refuseAll, type Update } from './update.ts';

type MayRead = ((refname: string) => boolean) | undefined;

export interface Hiding {
  readonly before: MayRead;
  readonly now: MayRead;
  /** Asked for only where the two differ. */
  readonly snapshot: () => Promise<RefSnapshot>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

const NOT_READABLE = 'you may not read this ref';
const CHANGED = 'what you may read here has just been changed: push again';

/** Refuses the updates of refs that are hidden by now, and all of them where some other ref was hidden meanwhile. */
export async function refuseHidden(
  updates: readonly Update[],
  { before, now, snapshot, clock }: Hiding,
): Promise<void> {
  if (now === undefined || now === before) return;
  const names = [...(await snapshot()).byName.keys()];
  const asked = { mayRead: now, clock };
  await askAhead(names, asked);
  await askAhead(names, { ...asked, mayRead: before });
  for (const update of updates) if (!now(update.name)) update.refuse(NOT_READABLE);
  if (names.some((name) => !now(name) && before?.(name) !== false)) refuseAll(updates, CHANGED);
}
