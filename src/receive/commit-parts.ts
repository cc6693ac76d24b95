/** What the commit protocol carries from one step to the next. */
import type { Repository } from '../repository/repository.ts';
import type { Check, Stored, Write } from '../store/store.ts';
import type { Attempt } from './attempt.ts';
import type { CommitRequest } from './commit-request.ts';
import type { LogEntry, LoggedUpdate } from './log-entry.ts';
import type { PreparedRefs } from './ref-writer.ts';
import type { State } from './state.ts';
import type { Update } from './update.ts';

export interface Prepared {
  readonly entry: LogEntry;
  readonly refs: PreparedRefs;
}

export interface Commit extends Prepared {
  readonly repository: Repository;
  readonly stored: Stored | undefined;
  readonly attempt: Attempt;
}

/** A push's part of a transaction. */
export interface Part {
  readonly request: CommitRequest;
  readonly updates: readonly LoggedUpdate[];
}

/** Objects that are in the repository before their push has a log entry. */
export interface Moved {
  readonly packs: readonly string[];
  /** To be synced before anything relies on them. */
  readonly directories: readonly string[];
  /** Keeps the packs from repacking until the end of the turn. */
  readonly keeper: Attempt;
}

export function alongsideOf(parts: readonly Part[]): {
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
} {
  const all = parts.flatMap(({ request }) => request.alongside?.() ?? []);
  return { checks: all.flatMap(({ checks }) => checks), writes: all.flatMap(({ writes }) => writes) };
}

export function entryOf(
  parts: readonly Part[],
  { state, txid, packs }: { readonly state: State; readonly txid: string; readonly packs: readonly string[] },
): LogEntry {
  const updates = parts.flatMap((part) => part.updates);
  const pushers = parts.map(({ request: { requestId, principal }, updates: { length } }) => {
    return { requestId, principal, refs: length };
  });
  return { generation: state.generation + 1, txid, prevTxid: state.txid, updates, packs, pushers };
}

export function livingUpdates(updates: readonly Update[]): readonly LoggedUpdate[] {
  const living: LoggedUpdate[] = [];
  for (const { isAlive, refname, oldOid, newOid } of updates) {
    if (isAlive && refname !== undefined) living.push({ refname, oldOid, newOid });
  }
  return living;
}
