/**
 * The commit protocol of one repository on one machine. In this order, each on disk before the next: objects and a log entry
 * that names every update, the commit point (one transaction of the store), the refs and the journal; then the client hears.
 * A crash before the commit point changes nothing, one after it is made good by `recovery.ts` from the log entry: so a
 * push of many refs is whole or absent, which git's own update of several refs is not.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { newId, type Clock } from '../base/clock.ts';
import { allSynced } from '../base/durable.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Repository } from '../repository/repository.ts';
import { Turns } from '../repository/turns.ts';
import type { Store, Stored } from '../store/store.ts';
import { Applied } from './applied.ts';
import { Attempt } from './attempt.ts';
import {
  alongsideOf,
  entryOf,
  livingUpdates,
  type Commit,
  type Moved,
  type Part,
  type Prepared,
} from './commit-parts.ts';
import type { Committed, CommitRequest } from './commit-request.ts';
import { CommitQueue, mayShare, type Seat } from './commit-queue.ts';
import { writeCommitPoint } from './commit-point.ts';
import { confirmEach, moveEach, tellEach } from './commit-together.ts';
import type { Durable } from './durable.ts';
import { Leftovers, NOTHING_LEFT, type Leftover } from './leftovers.ts';
import { releasePacks, syncQuarantine } from './install.ts';
import { pruneLog, writeLogEntry, type LogEntry, type LoggedUpdate } from './log-entry.ts';
import { judgeAgainst } from './old-values.ts';
import type { PreparedRefs, RefWriter } from './ref-writer.ts';
import { NamedDirectories, syncRefs } from './ref-sync.ts';
import { settle } from './recovery.ts';
import { replay } from './replay.ts';
import { parseState, type State } from './state.ts';
import { failTogether } from './update.ts';

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

/** Searching for the ref that git refuses costs a process for each. */
const SUSPECTS_MAX = 32;
const ATTEMPTS_MAX = 3;

export class Committer {
  readonly #parts: CommitParts;
  readonly #turns = new Turns();
  readonly #applied: Applied;
  readonly #leftovers: Leftovers;
  readonly #named = new NamedDirectories();
  readonly #queue = new CommitQueue(this.#turns, (seats) => this.#carryOut(seats));

  constructor(parts: CommitParts) {
    this.#parts = parts;
    this.#applied = new Applied(parts);
    this.#leftovers = new Leftovers(parts);
  }

  /** @throws Fault where nothing was committed, or (code `internal`) where it is not known or not yet applied. */
  async commit(request: CommitRequest): Promise<Committed | undefined> {
    if (request.objectDirectory !== undefined) await syncQuarantine(request.objectDirectory, this.#parts.durable);
    return this.#queue.run(request);
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

  /** Settles every seat; never rejects. */
  async #carryOut(seats: readonly Seat[]): Promise<void> {
    try {
      const [first] = seats;
      if (first !== undefined && seats.length === 1) first.resolve(await this.#alone(first.request));
      else await this.#together(seats);
    } catch (error) {
      for (const { reject } of seats) reject(error);
    }
  }

  /** What an earlier process or push left is made good; resolves with the state to be followed by this turn's. */
  async #begin(repository: Repository): Promise<Stored | undefined> {
    const stored = await this.#parts.store.get('repository-state', repository.id);
    await this.#settlePending(repository);
    await this.#leftovers.clear(repository);
    return stored;
  }

  /** @param moved what was moved into the repository for it before, and is kept there by the caller. */
  async #alone(request: CommitRequest, moved?: Moved): Promise<Committed | undefined> {
    const { repository } = request;
    const stored = await this.#begin(repository);
    await request.confirm?.();
    await using _ = await this.#forward(request);
    if (!request.updates.some((update) => update.isAlive)) return undefined;
    await using attempt = new Attempt(repository.path, newId(this.#parts.clock));
    const prepared = await this.#prepare(request, { attempt, state: parseState(stored), moved });
    if (prepared === undefined) return undefined;
    const pushes = [{ request, updates: prepared.entry.updates }];
    try {
      const [end] = await this.#commitPrepared(pushes, { ...prepared, repository, stored, attempt });
      if (end?.status === 'rejected') throw end.reason;
      return end?.value;
    } catch (error) {
      // As long as that is not known its objects are not given up, whoever keeps them.
      if (moved !== undefined && attempt.mayBeCommitted) moved.keeper.mayBeCommitted = true;
      throw error;
    }
  }

  /**
   * One transaction for all that still may and fit; each keeps a verdict, a journal line and an answer of its own. Where it
   * cannot be had, surely before its commit point, each goes its own way, which finds out whose fault it is.
   */
  async #together(seats: readonly Seat[]): Promise<void> {
    const [first] = seats;
    if (first === undefined) return;
    const { repository } = first.request;
    const stored = await this.#begin(repository);
    const confirmed = await confirmEach(seats, this.#parts.refs);
    await using attempt = new Attempt(repository.path, newId(this.#parts.clock));
    const { ready, moved } = await moveEach(confirmed, attempt);
    if (ready.length === 0) return;
    await this.#parts.onStep?.('installed');
    try {
      const prepared = await this.#prepareTogether(ready, { attempt, moved, state: parseState(stored) });
      if (prepared !== undefined) {
        const ends = await this.#commitPrepared(prepared.pushes, { ...prepared, repository, stored, attempt });
        tellEach(ready, ends);
        return;
      }
    } catch (error) {
      if (attempt.mayBeCommitted) throw error;
      this.#parts.log.warn({ repository: repository.name, error }, 'fail to commit pushes together');
    }
    // Its packs stay kept until each had its turn.
    await attempt.withdraw();
    for (const { request, resolve, reject } of ready) await this.#alone(request, moved).then(resolve, reject);
  }

  /** Undefined where they are to go one by one. */
  async #prepareTogether(
    seats: readonly Seat[],
    { attempt, moved, state }: { readonly attempt: Attempt; readonly moved: Moved; readonly state: State },
  ): Promise<(Prepared & { readonly pushes: readonly Part[] }) | undefined> {
    const [first] = seats;
    // Asked once more: a mirror may have been made of it meanwhile.
    if (first === undefined || !seats.every(({ request }) => mayShare(request))) return undefined;
    const { repository } = first.request;
    const { refs, refWriter, log } = this.#parts;
    const pushes = seats.map(({ request }) => ({ request, updates: livingUpdates(request.updates) }));
    const entry = entryOf(pushes, { state, txid: attempt.txid, packs: moved.packs });
    attempt.entry = entry;
    await this.#writeEntry(repository, entry, moved.directories);
    const prepared = await refWriter.prepare(repository, entry.updates);
    if (prepared.kind === 'prepared') {
      attempt.refs = prepared;
      return { entry, refs: prepared, pushes };
    }
    refs.forget(repository.id);
    log.warn({ repository: repository.name, reason: prepared.reason }, 'fail to lock refs of several pushes');
    return undefined;
  }

  /** From the locks to the last fsync. How each push ended; @throws Fault where none of them is known to be done. */
  async #commitPrepared(pushes: readonly Part[], commit: Commit): Promise<readonly PromiseSettledResult<Committed>[]> {
    const { repository, entry, refs, stored, attempt } = commit;
    const { store, durable, journal, onStep } = this.#parts;
    const { generation, txid } = entry;
    await onStep?.('prepared');
    // The entry has every value: that of a ref is to be on disk before it gets its name, not before the commit point.
    const written = refs.sync().then(
      () => true,
      (error: unknown) => this.#tellUnwritten(repository, error),
    );
    const point = { repository, stored, state: { generation, txid }, attempt, alongside: alongsideOf(pushes) };
    const [version, isWritten] = await Promise.all([writeCommitPoint(store, point), written]);
    await onStep?.('committed');
    if (!isWritten) await refs[Symbol.asyncDispose]();
    await this.#apply(repository, entry, refs);
    await onStep?.('applied');
    // Neither has to wait for the other: until both are on disk the entry stands for them.
    const journaled = Promise.allSettled(pushes.map(async ({ request }) => journal.append(request.entry())));
    await syncRefs(durable, repository.path, entry.updates, { isSynced: refs.isSynced, named: this.#named });
    await onStep?.('synced');
    await releasePacks(repository.path, attempt.packs);
    for (const { request, updates } of pushes) await this.#tellApplied(request, updates);
    const lines = await journaled;
    await onStep?.('journaled');
    if (lines.every(({ status }) => status === 'fulfilled')) this.#applied.add({ id: repository.id, txid, version });
    await this.#prune(repository, generation);
    this.#parts.onChanged?.(repository.id);
    return lines.map((line, index) =>
      line.status === 'rejected'
        ? line
        : { status: 'fulfilled', value: { generation, txid, updates: pushes[index]?.updates ?? [] } },
    );
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
  async #prepare(
    request: CommitRequest,
    { attempt, state, moved }: { readonly attempt: Attempt; readonly state: State; readonly moved: Moved | undefined },
  ): Promise<Prepared | undefined> {
    const { repository, updates, objectDirectory } = request;
    const { refs, refWriter, onStep } = this.#parts;
    for (let tries = 0; tries < ATTEMPTS_MAX; tries += 1) {
      judgeAgainst(await refs.snapshot(repository), updates, request.config);
      if (request.atomic) failTogether(updates);
      const wanted = livingUpdates(updates);
      if (wanted.length === 0) return undefined;
      const isFirst = tries === 0;
      const isMoving = isFirst && objectDirectory !== undefined && moved === undefined;
      const changed = isMoving ? await attempt.install(objectDirectory) : isFirst ? (moved?.directories ?? []) : [];
      await onStep?.('installed');
      const packs = [...(moved?.packs ?? []), ...attempt.packs];
      const entry = entryOf([{ request, updates: wanted }], { state, txid: attempt.txid, packs });
      attempt.entry = entry;
      await this.#writeEntry(repository, entry, changed, !isFirst);
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

  /** No commit point names it yet, so that it and the objects get to the disk at the same time. */
  async #writeEntry(
    repository: Repository,
    entry: LogEntry,
    changed: readonly string[],
    isAgain = false,
  ): Promise<void> {
    const { durable, onStep } = this.#parts;
    const directories = changed.map((path) => durable.syncDirectory(path));
    await allSynced([writeLogEntry(durable, repository.path, entry, isAgain), ...directories]);
    await onStep?.('logged');
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

  async #tellApplied({ onApplied, requestId }: CommitRequest, updates: readonly LoggedUpdate[]): Promise<void> {
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
