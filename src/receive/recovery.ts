/**
 * Transactions past their commit point that a crash left are applied and journaled. Runs at start, before anything is served,
 * and takes as long as there are such transactions, however many repositories there are; `settle` also runs before a push
 * where an earlier one failed after its commit point. What pushes before their commit point left: `leftovers.ts`.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { allSynced } from '../base/durable.ts';
import type { Repository } from '../repository/repository.ts';
import { listAll, type Stored } from '../store/store.ts';
import type { CommitParts } from './commit.ts';
import { readLogEntry, type LogEntry, type LoggedPusher, type LoggedUpdate } from './log-entry.ts';
import { replay, type Replayed, type ReplayOptions } from './replay.ts';
import { parseState, type State } from './state.ts';

export interface RecoveryReport {
  /** Committed transactions found pending, and refs of theirs that had yet to be set. */
  readonly transactions: number;
  readonly refsApplied: number;
  /** Refs that were neither old nor new: somebody changed them beside the gate. Left as they are. */
  readonly refsStrange: number;
  /** Repositories whose pending transaction could not be applied: pushes to them fail until it can. */
  readonly failed: readonly string[];
}

export interface RepositorySource {
  byId(id: string): Promise<Repository | undefined>;
  list(options: { readonly after?: string; readonly limit?: number }): Promise<readonly Repository[]>;
}

/** Applies and journals one pending transaction. @throws Fault where that is not possible. */
export async function settle(
  parts: CommitParts,
  repository: Repository,
  state: State,
  options: ReplayOptions = {},
): Promise<Replayed> {
  const entry = await readLogEntry(repository, state);
  const replayed = await replay(parts, repository, entry, options);
  const lines = recoverLines(repository, entry, replayed);
  await allSynced(lines.map((line) => parts.journal.append(line)));
  return replayed;
}

/** A line for each of the pushes that committed together. */
function recoverLines(repository: Repository, { pushers, updates }: LogEntry, { strange }: Replayed): JournalEntry[] {
  const odd = new Set(strange);
  let at = 0;
  return pushers.map((pusher) => {
    const own = updates.slice(at, at + pusher.refs);
    at += pusher.refs;
    return recoverLine(repository, { pusher, own, odd });
  });
}

interface Recovered {
  readonly pusher: LoggedPusher;
  readonly own: readonly LoggedUpdate[];
  readonly odd: ReadonlySet<LoggedUpdate>;
}

function recoverLine(repository: Repository, { pusher, own, odd }: Recovered): JournalEntry {
  return {
    event: 'recover',
    outcome: own.some((update) => odd.has(update)) ? 'faulted' : 'served',
    request: pusher.requestId,
    transport: 'local',
    address: 'local',
    principal: pusher.principal,
    repository: repository.name,
    refs: own.map((update) => ({
      name: update.refname,
      old: update.oldOid,
      new: update.newOid,
      result: odd.has(update) ? 'left alone: changed beside the gate' : 'ok',
    })),
    reason: 'committed before the gate stopped, applied after it started',
  };
}

export async function recover(parts: CommitParts, repositories: RepositorySource): Promise<RecoveryReport> {
  const report = { transactions: 0, refsApplied: 0, refsStrange: 0 };
  const failed: string[] = [];
  for await (const pending of listAll(parts.store, 'pending')) {
    report.transactions += 1;
    const repository = await repositories.byId(pending.key);
    try {
      if (repository !== undefined) {
        const { applied, strange } = await settle(parts, repository, parseState(pending), { removeLocks: true });
        report.refsApplied += applied.length;
        report.refsStrange += strange.length;
      } else if ((await parts.store.get('graveyard', pending.key)) !== undefined) {
        // Destroyed, and may be restored: it waits for that. The first push, or the next start, then applies it.
        parts.log.info({ id: pending.key }, 'keep the transaction of a destroyed repository');
        continue;
      }
      await clear(parts, pending);
    } catch (error) {
      failed.push(repository?.name ?? pending.key);
      parts.log.error({ repository: repository?.name, id: pending.key, error }, 'fail to recover a transaction');
    }
  }
  return { ...report, failed };
}

async function clear(parts: CommitParts, pending: Stored): Promise<void> {
  const { key, version } = pending;
  await parts.store.transact({
    checks: [{ kind: 'pending', key, version }],
    writes: [{ kind: 'pending', key, delete: true }],
  });
}

const PAGE = 500;

export async function* everyRepository(repositories: RepositorySource): AsyncGenerator<Repository> {
  let after: string | undefined;
  for (;;) {
    const page = await repositories.list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = last.name;
  }
}
