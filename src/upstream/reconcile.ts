/**
 * Pushes whose fate upstream nobody was told of: the gate ended, or the upstream fell silent, between the intent and the
 * local commit. The upstream is asked what it has, the journal gets a line about it, a refresh makes the mirror follow, and
 * only then the intent goes. Until that is done the mirror shows nothing and takes no push.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { Oid } from '../git/oid.ts';
import type { Repository } from '../repository/repository.ts';
import { Turns } from '../repository/turns.ts';
import type { Finding, IntendedUpdate, Intent, Intents } from './forward-intent.ts';
import { compareRefs } from './forward-outcome.ts';
import type { Upstream } from './upstream.ts';
import type { Remote } from './wire/remote.ts';

export interface Call {
  readonly requestId: string;
  readonly signal: AbortSignal;
}

/** What is asked of the mirrors (`mirrors.ts`). */
export interface ForwardMirrors {
  isMirror(repositoryId: string): boolean;
  find(repositoryId: string): Promise<Upstream | undefined>;
  /** @throws Fault where its credential cannot be opened. */
  remote(repositoryId: string): Promise<Pick<Remote, 'lsRefs' | 'push'>>;
  /** What was fetched so far counts as old: the next reader asks the upstream. */
  invalidate(repositoryId: string): void;
}

export interface PendingParts {
  readonly intents: Intents;
  readonly mirrors: ForwardMirrors;
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly log: PendingLog;
  readonly clock: Clock;
}

export interface PendingLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** The intents that are left over, told apart from those of pushes under way. */
export class PendingForwards {
  readonly #parts: PendingParts;
  /** Repositories whose intent, if there is one, belongs to a push that is alive. */
  readonly #flying = new Set<string>();
  readonly #turns = new Turns();

  constructor(parts: PendingParts) {
    this.#parts = parts;
  }

  /** From before its intent is written to the end of its turn: until then nobody else looks after it. */
  fly(repositoryId: string): Disposable {
    this.#flying.add(repositoryId);
    return { [Symbol.dispose]: () => void this.#flying.delete(repositoryId) };
  }

  /**
   * Runs `refresh`, which makes the mirror's refs those of its upstream, with what an earlier push left found out before
   * and cleared after. Every refresh goes through here. @throws Fault `upstream` where the upstream cannot be asked, and
   * what `refresh` throws.
   */
  async around<T>(repository: Repository, call: Call, refresh: () => Promise<T>): Promise<T> {
    const left = await this.#leftOver(repository.id);
    const found = left && (await this.#lookAfter(repository, left, call));
    const result = await refresh();
    if (found !== undefined) await this.#parts.intents.clear(found);
    return result;
  }

  /**
   * In the repository's turn, before a push is taken upstream. True: nothing is left of an earlier one. False: the mirror
   * has to be refreshed first. @throws Fault `upstream` where the upstream cannot be asked.
   */
  async settle(repository: Repository, refs: ReadonlyMap<string, Oid>, call: Call): Promise<boolean> {
    const { intents, mirrors } = this.#parts;
    const left = await intents.find(repository.id);
    if (left === undefined) return true;
    const found = await this.#lookAfter(repository, left, call);
    if (found === undefined) return (await intents.find(repository.id)) === undefined;
    if (found.found !== 'moved' && compareRefs(found.updates, refs) === found.found) {
      await intents.clear(found);
      return true;
    }
    mirrors.invalidate(repository.id);
    return false;
  }

  /** An intent that no living push owns: it was there before and after the look at who is alive. */
  async #leftOver(repositoryId: string): Promise<Intent | undefined> {
    const { intents } = this.#parts;
    const seen = await intents.find(repositoryId);
    if (seen === undefined || this.#flying.has(repositoryId)) return undefined;
    const again = await intents.find(repositoryId);
    return again?.version === seen.version ? again : undefined;
  }

  /** Asks the upstream, once for each intent; undefined where somebody else cleared it meanwhile. */
  #lookAfter(repository: Repository, left: Intent, call: Call): Promise<Intent | undefined> {
    const { intents, mirrors, journal, log } = this.#parts;
    return this.#turns.run(repository.id, async () => {
      const intent = await intents.find(repository.id);
      if (intent === undefined || intent.requestId !== left.requestId) return undefined;
      if (intent.found !== undefined) return intent;
      const remote = await mirrors.remote(repository.id);
      const found = compareRefs(intent.updates, await readUpstream(remote, intent.updates, call));
      // First the line, then the mark that there is one: a crash between the two writes a second line, never none.
      await journal.append(recoverLine(repository, intent, found));
      log.info({ request: intent.requestId, repository: repository.name, found }, 'find out about a forwarded push');
      return intents.note(intent, found);
    });
  }
}

/** What the upstream has of the refs of a push. @throws Fault `upstream`, `timeout`, `aborted`. */
export async function readUpstream(
  remote: Pick<Remote, 'lsRefs'>,
  updates: readonly IntendedUpdate[],
  call: Call,
): Promise<ReadonlyMap<string, Oid>> {
  const names = updates.map(({ refname }) => refname);
  const { refs } = await remote.lsRefs({ ...call, prefixes: names.length > PREFIXES_MAX ? ['refs/'] : names });
  return refs;
}

const PREFIXES_MAX = 64;

const RESULTS = {
  taken: 'ok',
  'not-taken': 'the upstream did not take it',
  moved: 'something else is upstream',
} as const;
const OUTCOMES = { taken: 'served', 'not-taken': 'refused', moved: 'faulted' } as const;
const REASONS = {
  taken: 'forwarded before the gate stopped, or its upstream fell silent: the upstream has it',
  'not-taken': 'never reached the upstream: it has the old refs',
  moved: 'forwarded, and the upstream has moved on: it has neither all old nor all new refs',
} as const;

function recoverLine(repository: Repository, intent: Intent, found: Finding): JournalEntry {
  const shown = intent.updates.slice(0, BOUNDS.journalRefsMax);
  return {
    event: 'recover',
    outcome: OUTCOMES[found],
    request: intent.requestId,
    transport: 'local',
    address: 'local',
    principal: intent.principal,
    repository: repository.name,
    refs: shown.map(({ refname, oldOid, newOid }) => ({
      name: refname,
      old: oldOid,
      new: newOid,
      result: RESULTS[found],
    })),
    forwardedTo: intent.to,
    reason: REASONS[found],
  };
}

export interface ReconcileParts {
  readonly intents: Intents;
  readonly catalogue: { byId(id: string): Promise<Repository | undefined> };
  readonly mirrors: ForwardMirrors & {
    /** Goes through `PendingForwards.around`. @throws Fault `upstream`. */
    refresh(repository: Repository, about: Call & { readonly force: true }): Promise<unknown>;
  };
  readonly log: PendingLog;
  readonly clock: Clock;
  /** Aborted when the gate closes. */
  readonly signal: AbortSignal;
  /** Default `BOUNDS.forwardStartMs`. */
  readonly waitMs?: number | undefined;
}

export interface ReconcileReport {
  /** Intents found, and of these looked after before this resolved. */
  readonly found: number;
  readonly settled: number;
  /** Mirrors that wait for their upstream: nothing of them is served until it answers. */
  readonly waiting: readonly string[];
}

/**
 * At start-up, behind the recovery of local pushes and before anything is served. Waits for upstreams for a moment only: one
 * that is out of reach keeps its mirror from serving, not the gate from starting. Never throws for an upstream.
 */
export async function reconcile(parts: ReconcileParts): Promise<ReconcileReport> {
  const { intents, catalogue, mirrors, log, clock, signal } = parts;
  const waiting = new Map<string, string>();
  const tasks: Promise<void>[] = [];
  const onDamaged = (id: string, error: Fault): void => {
    log.warn({ id, error }, 'pass over a damaged record of a forwarded push: its mirror stays closed');
  };
  for await (const intent of intents.list(onDamaged)) {
    const { repositoryId } = intent;
    const repository = await catalogue.byId(repositoryId);
    if (repository === undefined || !mirrors.isMirror(repositoryId)) {
      log.warn({ request: intent.requestId, id: repositoryId }, 'forget a forwarded push whose mirror is gone');
      await intents.clear(intent);
      continue;
    }
    mirrors.invalidate(repositoryId);
    waiting.set(repositoryId, repository.name);
    const refreshed = mirrors.refresh(repository, { requestId: newId(clock), signal, force: true }).then(
      () => void waiting.delete(repositoryId),
      (error: unknown) => {
        log.warn(
          { repository: repository.name, request: intent.requestId, error },
          'fail to ask about a forwarded push',
        );
      },
    );
    tasks.push(refreshed);
  }
  const found = tasks.length;
  if (found > 0) await Promise.race([Promise.all(tasks), elapsed(clock, parts.waitMs ?? BOUNDS.forwardStartMs)]);
  return { found, settled: found - waiting.size, waiting: [...waiting.values()] };
}

function elapsed(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}

/** What a client may read of why an upstream could not be asked or told; anything else is thrown on. */
export function upstreamReason(error: unknown, requestId: string): string {
  if (error instanceof Fault && (error.code === 'upstream' || error.code === 'timeout' || error.code === 'busy')) {
    return publicMessageOf(error, requestId);
  }
  throw error;
}
