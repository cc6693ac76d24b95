/** Records that name their user follow to another name. */
import { isJsonObject } from '../base/json.ts';
import type { Check, Store, Stored, Write } from '../store/store.ts';
import type { UserName } from './principal.ts';

export interface Change {
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
}

/** Written with the change of the name itself. @param about records with a field `user` */
export async function renamedRecords(
  store: Pick<Store, 'get'>,
  about: readonly Pick<Stored, 'kind' | 'key'>[],
  to: UserName,
): Promise<Change> {
  const checks: Check[] = [];
  const writes: Write[] = [];
  for (const { kind, key } of about) {
    const stored = await store.get(kind, key);
    if (stored === undefined || !isJsonObject(stored.value)) continue;
    checks.push({ kind, key, version: stored.version });
    writes.push({ kind, key, put: { ...stored.value, user: to } });
  }
  return { checks, writes };
}
