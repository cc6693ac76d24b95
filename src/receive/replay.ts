/** Brings a committed transaction's refs to their new values, whatever part of that happened before. */
import { Fault } from '../base/fault.ts';
import { zeroOid } from '../git/oid.ts';
import type { Repository } from '../repository/repository.ts';
import type { CommitParts } from './commit.ts';
import { releasePacks } from './install.ts';
import type { LogEntry, LoggedUpdate } from './log-entry.ts';
import { removeStaleLocks } from './ref-writer.ts';
import { syncRefs } from './ref-sync.ts';

export interface Replayed {
  /** Refs that had their old value and now have the new one. */
  readonly applied: readonly LoggedUpdate[];
  /** Refs that somebody set to a third value beside the gate. They are left as they are. */
  readonly strange: readonly LoggedUpdate[];
}

export interface ReplayOptions {
  /** Before this process commits there: locks that a crash left are removed, of refs that are in place already, too. */
  readonly removeLocks?: boolean;
}

/** @throws Fault `process` where git cannot apply them: the transaction stays pending. */
export async function replay(
  parts: Pick<CommitParts, 'refs' | 'refWriter' | 'durable' | 'log' | 'clock'>,
  repository: Repository,
  entry: LogEntry,
  options: ReplayOptions = {},
): Promise<Replayed> {
  const { refs, durable, log } = parts;
  if (options.removeLocks === true) await removeStaleLocks(repository.path, entry.updates, parts.clock);
  refs.forget(repository.id);
  const { byName } = await refs.snapshot(repository);
  const missing: LoggedUpdate[] = [];
  const strange: LoggedUpdate[] = [];
  for (const update of entry.updates) {
    const current = byName.get(update.refname)?.oid ?? zeroOid(repository.objectFormat);
    if (current === update.newOid) continue;
    if (current === update.oldOid) missing.push(update);
    else strange.push(update);
  }
  if (missing.length > 0) await apply(parts, repository, missing);
  await syncRefs(durable, repository.path, entry.updates);
  await releasePacks(repository.path, entry.packs);
  refs.forget(repository.id);
  if (strange.length > 0) {
    const names = strange.map(({ refname }) => refname);
    log.error({ repository: repository.name, txid: entry.txid, refs: names }, 'find refs changed beside the gate');
  }
  return { applied: missing, strange };
}

async function apply(
  { refWriter }: Pick<CommitParts, 'refWriter'>,
  repository: Repository,
  updates: readonly LoggedUpdate[],
): Promise<void> {
  const prepared = await refWriter.prepare(repository, updates);
  if (prepared.kind === 'refused') {
    throw new Fault('process', 'committed refs cannot be applied', { context: { reason: prepared.reason } });
  }
  await using refs = prepared;
  await refs.sync();
  await refs.commit();
}
