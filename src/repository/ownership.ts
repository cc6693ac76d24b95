/**
 * What a user owns, as an index (`repository-owner`: `owner/id`) that is written with every record, destroyed
 * repositories included, and the hand-over of all of it when a user is renamed or deleted.
 */
import { Fault } from '../base/fault.ts';
import { isJsonObject, type Json } from '../base/json.ts';
import type { Check, Store, Stored, Write } from '../store/store.ts';

const BATCH = 200;
const CONFLICTS_MAX = 1_000;

export interface HandOver {
  readonly from: string;
  readonly to: string;
}

export function ownerKey(owner: string, id: string): string {
  return `${owner}/${id}`;
}

/** Ids of what the user owns, in the catalogue and in the graveyard, page by page. */
export async function* ownedBy(store: Store, owner: string): AsyncGenerator<string> {
  const prefix = ownerKey(owner, '');
  let after: string | undefined;
  for (;;) {
    const page = await store.list('repository-owner', { prefix, ...(after === undefined ? {} : { after }) });
    if (page.length === 0) return;
    for (const { key } of page) yield key.slice(prefix.length);
    after = page.at(-1)?.key;
  }
}

/**
 * Makes everything of `from` belong to `to`, in batches. Repeating it after a crash goes on where it stopped.
 * Whoever calls this has made sure that nothing new can come to belong to `from`. `onMoved` hears the
 * ids of each batch after their records were written.
 */
export async function handOver(
  store: Store,
  change: HandOver,
  onMoved: (ids: readonly string[]) => Promise<void> = async () => {},
): Promise<void> {
  if (change.from === change.to) return;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX;) {
    const entries = await store.list('repository-owner', { prefix: ownerKey(change.from, ''), limit: BATCH });
    if (entries.length === 0) return;
    const checks: Check[] = [];
    const writes: Write[] = [];
    const ids: string[] = [];
    for (const entry of entries) {
      const id = entry.key.slice(change.from.length + 1);
      ids.push(id);
      writes.push({ kind: 'repository-owner', key: entry.key, delete: true });
      for (const record of await recordsOf(store, id)) {
        checks.push({ kind: record.kind, key: id, version: record.version });
        writes.push({ kind: record.kind, key: id, put: ownedAnew(record, change.to) });
        writes.push({ kind: 'repository-owner', key: ownerKey(change.to, id), put: {} });
      }
    }
    const result = await store.transact({ checks, writes });
    if (result.kind === 'conflict') conflicts += 1;
    else await onMoved(ids);
  }
  throw new Fault('busy', 'too many conflicting writes while handing over repositories', { context: { ...change } });
}

/** At most one of the two exists. */
async function recordsOf(store: Store, id: string): Promise<readonly Stored[]> {
  const found = [await store.get('repository', id), await store.get('graveyard', id)];
  return found.filter((record) => record !== undefined);
}

function ownedAnew(record: Stored, owner: string): Json {
  if (!isJsonObject(record.value))
    throw new Fault('corrupt', 'repository record is no object', { context: { id: record.key } });
  return { ...record.value, owner };
}
