/**
 * What is still allowed after a wait. The decision about a conversation is older than what is shown or sent in it: a client
 * may take its time between two requests, or have waited for a place, a pack or an upstream.
 */
import { Fault } from '../base/fault.ts';
import type { Conversation } from '../git/service.ts';
import { type MayRead, type View, tipsAmong, viewOf } from './view.ts';

/** So often the same is asked again because something changed while the answer was made. */
const LOOKS_MAX = 8;

/** @returns which refs may be read by now; as before where nobody is asked. @throws Fault `missing`: none of them. */
export async function stillReadable({ confirm }: Pick<Conversation, 'confirm'>, before: MayRead): Promise<MayRead> {
  const still = await confirm?.();
  if (still === undefined) return before;
  if (still.kind === 'ok') return still.value.mayRead;
  throw new Fault('missing', 'fetch was refused after a wait', { publicMessage: still.reason });
}

/**
 * Asks, and calls `again` as often as other refs may be read than it knew, until nothing changes while it looks.
 * @param ask whether anything changed. @throws Fault what the two throw; `busy` where this does not end.
 */
export async function untilStill(ask: () => Promise<boolean>, again: () => Promise<void>): Promise<void> {
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    if (!(await ask())) return;
    await again();
  }
  throw changedMeanwhile();
}

/** `view` as it may be shown by now. @throws Fault as `stillReadable` and `untilStill` */
export async function viewStill(
  conversation: Pick<Conversation, 'confirm'>,
  view: View,
  mayRead: MayRead,
): Promise<View> {
  let known = { view, mayRead };
  await untilStill(
    async () => {
      const now = await stillReadable(conversation, known.mayRead);
      if (now === known.mayRead) return false;
      known = { ...known, mayRead: now };
      return true;
    },
    async () => {
      known = { ...known, view: await viewOf(view.snapshot, known.mayRead) };
    },
  );
  return known.view;
}

/**
 * Of `oids` those that `shown` showed at a tip which may be read still: what a client was shown it may fetch, though the
 * ref has moved since, unless the ref was hidden from it. @param now the same snapshot as it may be read by now.
 */
export function tipsStill(shown: View, now: View, oids: ReadonlySet<string>): ReadonlySet<string> {
  const tips = tipsAmong(shown, oids);
  return now === shown ? tips : tipsAmong(now, tips);
}

/** What git was to be asked was right before a wait, and is not any more. */
export function changedMeanwhile(): Fault {
  return new Fault('busy', 'what may be read changed during a fetch', {
    publicMessage: 'what you may read here has just been changed: fetch again',
  });
}
