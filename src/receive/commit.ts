/**
 * The commit protocol of one repository on one machine. In this order, each on disk before the next: objects and a log entry
 * that names every update, the commit point (one transaction of the store), the refs and the journal; then the client hears.
 * A crash before the commit point changes nothing, one after it is made good by `recovery.ts` from the log entry: so a
 * push of many refs is whole or absent, which git's own update of several refs is not.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { newId, type Clock } from '../base/clock.ts';
import { allSynced } from '../base/durable.ts';
import { Fault } from '../base/fault.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Repository } from '../repository/repository.ts';
import { Turns } from '../repository/turns.ts';
import type { Check, Kind, Store, Stored, TransactResult, Write } from '../store/store.ts';
import { Applied } from './applied.ts';
import { Attempt } from './attempt.ts';
import type { Durable } from './durable.ts';
import { Leftovers, NOTHING_LEFT, type Leftover } from './leftovers.ts';
import type { ReceiveConfig } from './limits.ts';
import { releasePacks, syncQuarantine } from './install.ts';
import { pruneLog, writeLogEntry, type LogEntry, type LoggedUpdate } from './log-entry.ts';
import { judgeAgainst } from './old-values.ts';
import type { PreparedRefs, RefWriter } from './ref-writer.ts';
import { NamedDirectories, syncRefs } from './ref-sync.ts';
import { settle } from './recovery.ts';
import { replay } from './replay.ts';
import { parseState, type State } from './state.ts';
import { failTogether, type Update } from './update.ts';

export interface CommitParts {
  readonly store: Store;
  readonly refs: RefSource;
  readonly refWriter: RefWriter;
  readonly durable: Durable;
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly log: ReceiveLog;
  readonly clock: Clock;
  readonly logEntriesKept: number;
  /** A transaction that an earlier push left was applied: what hangs on these refs is to be read again. */
  readonly onSettled: ((repository: Repository) => Promise<void>) | undefined;
  readonly onChanged: ((id: string) => void) | undefined;
  /** Called at each border between two steps of the protocol. Tests end the process there. */
  readonly onStep: ((step: CommitStep) => void | Promise<void>) | undefined;
}

export interface RefSource {
  snapshot(repository: Repository): Promise<RefSnapshot>;
  forget(id: string): void;
}

export interface ReceiveLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export const COMMIT_STEPS = ['installed', 'logged', 'prepared', 'committed', 'applied', 'synced', 'journaled'] as const;
export type CommitStep = (typeof COMMIT_STEPS)[number];

export interface CommitRequest {
  readonly repository: Repository;
  /** Refused ones are passed over; those that no longer fit are refused here. */
  readonly updates: readonly Update[];
  readonly atomic: boolean;
  readonly config?: ReceiveConfig | undefined;
  readonly objectDirectory: string | undefined;
  readonly requestId: string;
  readonly principal: string;
  /** The journal line, asked for when every fate is known. */
  readonly entry: () => JournalEntry;
  /** Runs in the repository's turn before anything is prepared: refuses what may not be committed any more. */
  readonly confirm?: () => Promise<void>;
  /**
   * Runs right after that, with what still fits: takes the push elsewhere before it is committed here. What it returns is
   * disposed at the end of the turn, however that comes.
   */
  readonly forward?: () => Promise<AsyncDisposable | undefined>;
  /** Is true, and becomes so, with the commit point and not without it. Asked for when the updates are known. */
  readonly alongside?: () => { readonly checks: readonly Check[]; readonly writes: readonly Write[] };
  /** Runs when the refs are in place, within the repository's turn. */
  readonly onApplied?: (updates: readonly LoggedUpdate[]) => Promise<void>;
}

/** The transaction, or undefined where no update was left to commit: then the journal has no line yet. */
export type Committed = {
  readonly generation: number;
  readonly txid: string;
  readonly updates: readonly LoggedUpdate[];
};

/** Searching for the ref that git refuses costs a process for each. */
const SUSPECTS_MAX = 32;
const ATTEMPTS_MAX = 3;

export class Committer {
  readonly #parts: CommitParts;
  readonly #turns = new Turns();
  readonly #applied: Applied;
  readonly #leftovers: Leftovers;
  readonly #named = new NamedDirectories();

  constructor(parts: CommitParts) {
    this.#parts = parts;
    this.#applied = new Applied(parts);
    this.#leftovers = new Leftovers(parts);
  }

  /** @throws Fault where nothing was committed, or (code `internal`) where it is not known or not yet applied. */
  async commit(request: CommitRequest): Promise<Committed | undefined> {
    if (request.objectDirectory !== undefined) await syncQuarantine(request.objectDirectory, this.#parts.durable);
    return this.#turns.run(request.repository.id, () => this.#inTurn(request));
  }

  /** Runs `task` while no push of this repository commits. */
  inTurn<T>(id: string, task: () => Promise<T>): Promise<T> {
    return this.#turns.run(id, task);
  }

  /** As before the first commit there: applies what is pending, removes what a crash left. Never throws. */
  async makeGood(repository: Repository): Promise<Leftover> {
    if (this.#leftovers.isDone(repository)) return NOTHING_LEFT;
    return this.#turns.run(repository.id, async () => {
      try {
        await this.#settlePending(repository);
        return await this.#leftovers.clear(repository);
      } catch (error) {
        this.#parts.log.error({ repository: repository.name, error }, 'fail to recover a transaction');
        return NOTHING_LEFT;
      }
    });
  }

  /** Clears what is known to be applied. */
  async close(): Promise<void> {
    await this.#applied.flush();
  }

  async #inTurn(request: CommitRequest): Promise<Committed | undefined> {
    const { repository } = request;
    const { store, durable, journal, onStep } = this.#parts;
    const stored = await store.get('repository-state', repository.id);
    await this.#settlePending(repository);
    await this.#leftovers.clear(repository);
    await request.confirm?.();
    await using _ = await this.#forward(request);
    if (!request.updates.some((update) => update.isAlive)) return undefined;
    await using attempt = new Attempt(repository.path, newId(this.#parts.clock));
    const prepared = await this.#prepare(request, attempt, parseState(stored));
    if (prepared === undefined) return undefined;
    const { entry, refs } = prepared;
    await onStep?.('prepared');
    // The entry has every value: that of a ref is to be on disk before it gets its name, not before the commit point.
    const written = refs.sync().then(
      () => true,
      (error: unknown) => this.#tellUnwritten(repository, error),
    );
    const point = { repository, stored, entry, attempt, alongside: request.alongside?.() };
    const [version, isWritten] = await Promise.all([this.#commitPoint(point), written]);
    await onStep?.('committed');
    if (!isWritten) await refs[Symbol.asyncDispose]();
    await this.#apply(repository, entry, refs);
    await onStep?.('applied');
    // Neither has to wait for the other: until both are on disk the entry stands for them.
    const journaled = journal.append(request.entry());
    journaled.catch(() => {});
    await syncRefs(durable, repository.path, entry.updates, { isSynced: refs.isSynced, named: this.#named });
    await onStep?.('synced');
    await releasePacks(repository.path, entry.packs);
    await this.#tellApplied(request, entry);
    await journaled;
    await onStep?.('journaled');
    const { generation, txid, updates } = entry;
    this.#applied.add({ id: repository.id, txid, version });
    await this.#prune(repository, generation);
    this.#parts.onChanged?.(repository.id);
    return { generation, txid, updates };
  }

  /** Only what would be committed now goes elsewhere. */
  async #forward(request: CommitRequest): Promise<AsyncDisposable | undefined> {
    const { forward, repository, updates, atomic, config } = request;
    if (forward === undefined) return undefined;
    judgeAgainst(await this.#parts.refs.snapshot(repository), updates, config);
    if (atomic) failTogether(updates);
    return updates.some((update) => update.isAlive) ? forward() : undefined;
  }

  /** What an earlier transaction committed and could not apply comes first. */
  async #settlePending(repository: Repository): Promise<void> {
    const pending = await this.#parts.store.get('pending', repository.id);
    if (pending === undefined) return;
    const state = parseState(pending);
    if (this.#applied.has(repository.id, state.txid)) return;
    await settle(this.#parts, repository, state, { removeLocks: !this.#leftovers.isDone(repository) });
    this.#applied.add({ id: repository.id, txid: state.txid, version: pending.version });
    try {
      await this.#parts.onSettled?.(repository);
    } catch (error) {
      this.#parts.log.error({ repository: repository.name, error }, 'fail to follow up a settled push');
    }
  }

  /**
   * Everything up to the commit point: objects in the repository, entry on disk, refs locked and verified by git.
   * Undefined where no update is left.
   */
  async #prepare(request: CommitRequest, attempt: Attempt, state: State): Promise<Prepared | undefined> {
    const { repository, updates, objectDirectory } = request;
    const { durable, refs, refWriter, onStep } = this.#parts;
    for (let tries = 0; tries < ATTEMPTS_MAX; tries += 1) {
      judgeAgainst(await refs.snapshot(repository), updates, request.config);
      if (request.atomic) failTogether(updates);
      const wanted = livingUpdates(updates);
      if (wanted.length === 0) return undefined;
      const isFirst = tries === 0;
      const changed = isFirst && objectDirectory !== undefined ? await attempt.install(objectDirectory) : [];
      await onStep?.('installed');
      const entry = entryOf(request, { state, attempt, updates: wanted });
      attempt.entry = entry;
      // No commit point names it yet, so that it and the objects get to the disk at the same time.
      const directories = changed.map((path) => durable.syncDirectory(path));
      await allSynced([writeLogEntry(durable, repository.path, entry, !isFirst), ...directories]);
      await onStep?.('logged');
      const prepared = await refWriter.prepare(repository, wanted);
      if (prepared.kind === 'prepared') {
        attempt.refs = prepared;
        return { entry, refs: prepared };
      }
      refs.forget(repository.id);
      await this.#blame(request, prepared.reason);
    }
    for (const update of updates) update.refuse('git could not lock the refs: try again');
    return undefined;
  }

  /** git refused the whole transaction: refuses the updates that it refuses one by one too. */
  async #blame({ repository, updates, requestId, config }: CommitRequest, reason: string): Promise<void> {
    this.#parts.log.warn({ request: requestId, repository: repository.name, reason }, 'fail to lock refs');
    judgeAgainst(await this.#parts.refs.snapshot(repository), updates, config);
    const living = updates.filter((update) => update.isAlive);
    const suspects = living.length > SUSPECTS_MAX ? [] : living;
    for (const update of suspects) {
      const alone = await this.#parts.refWriter.prepare(repository, livingUpdates([update]));
      if (alone.kind === 'prepared') await alone[Symbol.asyncDispose]();
      else update.refuse(`git refuses it: ${alone.reason}`);
    }
  }

  /** THE commit point. Returns the version of the `pending` object. */
  async #commitPoint({ repository, stored, entry, attempt, alongside }: CommitPoint): Promise<number> {
    const { id } = repository;
    const value = { generation: entry.generation, txid: entry.txid };
    attempt.mayBeCommitted = true;
    let result: TransactResult;
    try {
      result = await this.#parts.store.transact({
        checks: [
          { kind: recordKind(repository), key: id, version: 'any' },
          { kind: 'repository-state', key: id, version: stored?.version ?? 0 },
          ...(alongside?.checks ?? []),
        ],
        writes: [
          { kind: 'repository-state', key: id, put: value },
          { kind: 'pending', key: id, put: value },
          ...(alongside?.writes ?? []),
        ],
      });
    } catch (cause) {
      // The answer was lost: what is there tells. Where nothing can be read either, start-up will find out.
      const now = await this.#parts.store.get('pending', id);
      if (now !== undefined && parseState(now).txid === entry.txid) return now.version;
      attempt.mayBeCommitted = false;
      throw new Fault('internal', 'push was not committed', { cause, context: { id } });
    }
    if (result.kind === 'committed') return result.version;
    attempt.mayBeCommitted = false;
    if (result.check.kind === recordKind(repository)) {
      throw new Fault('missing', 'repository is gone', { publicMessage: 'the repository is gone' });
    }
    if (result.check.kind !== 'repository-state') {
      const publicMessage = 'what this depends on changed meanwhile: look again';
      throw new Fault('conflict', 'condition of a commit changed', { context: { ...result.check }, publicMessage });
    }
    throw new Fault('conflict', 'another gate commits to this repository', { context: { id } });
  }

  async #apply(repository: Repository, entry: LogEntry, refs: PreparedRefs): Promise<void> {
    try {
      await refs.commit();
    } catch (error) {
      // It is committed: from here there is only forward.
      this.#parts.log.error({ repository: repository.name, txid: entry.txid, error }, 'fail to apply refs, replay');
      await replay(this.#parts, repository, entry);
    }
  }

  #tellUnwritten(repository: Repository, error: unknown): false {
    this.#parts.log.error({ repository: repository.name, error }, 'fail to sync new values of refs');
    return false;
  }

  async #tellApplied({ onApplied, requestId }: CommitRequest, { updates }: LogEntry): Promise<void> {
    try {
      await onApplied?.(updates);
    } catch (error) {
      this.#parts.log.error({ request: requestId, error }, 'fail to follow up a push');
    }
  }

  async #prune(repository: Repository, generation: number): Promise<void> {
    const { logEntriesKept } = this.#parts;
    if (generation % Math.max(1, Math.ceil(logEntriesKept / 2)) !== 0) return;
    try {
      await pruneLog(repository.path, generation, logEntriesKept);
    } catch (error) {
      this.#parts.log.warn({ repository: repository.name, error }, 'fail to prune the log');
    }
  }
}

/** What is in the store as long as the repository is there. */
function recordKind({ conf }: Repository): Kind {
  return conf === undefined ? 'repository' : 'site-repository';
}

interface Prepared {
  readonly entry: LogEntry;
  readonly refs: PreparedRefs;
}

interface CommitPoint {
  readonly repository: Repository;
  readonly stored: Stored | undefined;
  readonly entry: LogEntry;
  readonly attempt: Attempt;
  readonly alongside: ReturnType<NonNullable<CommitRequest['alongside']>> | undefined;
}

function entryOf(
  { requestId, principal }: CommitRequest,
  { state, attempt, updates }: { state: State; attempt: Attempt; updates: readonly LoggedUpdate[] },
): LogEntry {
  const { txid, packs } = attempt;
  return { generation: state.generation + 1, txid, prevTxid: state.txid, requestId, principal, updates, packs };
}

function livingUpdates(updates: readonly Update[]): readonly LoggedUpdate[] {
  const living: LoggedUpdate[] = [];
  for (const { isAlive, refname, oldOid, newOid } of updates) {
    if (isAlive && refname !== undefined) living.push({ refname, oldOid, newOid });
  }
  return living;
}
