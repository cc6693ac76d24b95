/** When a key or a token was used last, to the hour: a durable write a request would cost more than it tells. */
import { BOUNDS } from '../base/bounds.ts';
import { isJsonObject } from '../base/json.ts';
import type { Stored } from '../store/store.ts';
import type { Roster } from './roster.ts';

/** Whether the time of use on record is older than `BOUNDS.lastUseStepMs`. */
export function isUseDue({ value }: Stored, now: number): boolean {
  const last = isJsonObject(value) ? value['lastUsedAt'] : now;
  return !(typeof last === 'number' && now >= last && now - last < BOUNDS.lastUseStepMs);
}

/** Writes the time of use where that is due. Never throws. */
export async function recordUse(roster: Roster, stored: Stored): Promise<void> {
  const now = roster.clock.now();
  if (!isJsonObject(stored.value) || !isUseDue(stored, now)) return;
  const { kind, key, version, value } = stored;
  try {
    // On conflict somebody else noted the use, or deleted the object.
    await roster.store.transact({
      checks: [{ kind, key, version }],
      writes: [{ kind, key, put: { ...value, lastUsedAt: now } }],
    });
  } catch {
    // A full disk must not keep people from reading; whoever writes next hears of it.
  }
}
