/**
 * Every mirror of the house: which repositories are mirrors, of what, how fresh they are, and the connection to each
 * upstream. The store holds them; all are in memory, since each fetch asks. One gate at a time owns the data directory,
 * and whoever changes a mirror, the local command line without a gate included, does it here.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { Repository } from '../repository/repository.ts';
import { listAll, type Store, type Stored } from '../store/store.ts';
import { Flights, type Flight } from './flights.ts';
import {
  isStateKey,
  NEVER_REFRESHED,
  readMirrorRecord,
  readRefreshState,
  stateKey,
  writeRefreshState,
  type MirrorRecord,
  type RefreshState,
} from './mirror-record.ts';
import { refreshOnce, staleFault, stateAfter, type Refreshed, type RefreshParts } from './refresh.ts';
import type { Mirror, Upstream, UpstreamCredential } from './upstream.ts';
import type { Vault } from './vault.ts';
import { readCredential } from './credential.ts';
import type { Remote, RemoteOptions } from './wire/remote.ts';

export interface MirrorLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** `fresh`: within its bound, the upstream was not asked. */
export const REFRESH_OUTCOMES = ['fresh', 'unchanged', 'updated', 'failed'] as const;
export type RefreshOutcome = (typeof REFRESH_OUTCOMES)[number];

export interface MirrorMetrics {
  /** `ms` is undefined where the upstream was not asked. */
  mirrorRefresh(outcome: RefreshOutcome, ms: number | undefined): void;
}

export interface MirrorsParts extends RefreshParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: MirrorLog;
  readonly metrics: MirrorMetrics;
  readonly vault: Vault;
  readonly createRemote: (options: RemoteOptions) => Remote;
  /**
   * Runs a refresh, with what a crash or a lost connection left of a push on its way upstream looked after before and
   * cleared behind it (`reconcile.ts`). @throws Fault `upstream` where that cannot be.
   */
  readonly around?: <T>(
    repository: Repository,
    call: { readonly requestId: string; readonly signal: AbortSignal },
    refresh: () => Promise<T>,
  ) => Promise<T>;
  readonly catalogue: {
    byId(id: string): Promise<Repository | undefined>;
    buried(id: string): Promise<{ readonly name: RepositoryName } | undefined>;
  };
}

/** Whose behalf something is done on, and until when. */
export interface Doing {
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** Progress in words. */
  readonly tell?: (text: string) => void;
}

export interface RefreshReport {
  readonly outcome: Exclude<RefreshOutcome, 'failed'>;
  readonly state: RefreshState;
}

/** A mirror with everything that is known of it. */
export interface MirrorView extends Mirror {
  readonly repository: Repository;
  readonly upstream: MirrorRecord;
  readonly state: RefreshState;
}

interface Held {
  record: MirrorRecord;
  state: RefreshState;
  readonly flights: Flights;
  remote: Remote | undefined;
  /** When the upstream was asked for what is here; undefined: nobody knows. */
  asked: Pick<Refreshed, 'askedMs' | 'askedAt'> | undefined;
  /** Another number after each invalidation: an answer from before it does not count. */
  epoch: number;
  last: Refreshed | undefined;
  /** When the state was written last. */
  writtenAt: number;
}

/** A state that says nothing new is written this often at most: no durable write a fetch. */
const STATE_STEP_MS = 10 * 60_000;

export class Mirrors {
  readonly #parts: MirrorsParts;
  readonly #held = new Map<string, Held>();
  /** Mirrors whose record does not parse: they stay mirrors, which serve nothing and take nothing. */
  readonly #damaged = new Set<string>();
  #writing: Promise<void> = Promise.resolve();

  private constructor(parts: MirrorsParts) {
    this.#parts = parts;
  }

  /** Every mirror of the store. Asks no upstream. */
  static async open(parts: MirrorsParts): Promise<Mirrors> {
    const mirrors = new Mirrors(parts);
    const states = new Map<string, RefreshState>();
    for await (const stored of listAll(parts.store, 'mirror')) {
      try {
        if (isStateKey(stored.key)) states.set(stored.key, readRefreshState(stored));
        else mirrors.hold(readMirrorRecord(stored));
      } catch (error) {
        if (!(error instanceof Fault) || error.code !== 'corrupt') throw error;
        mirrors.#setAside(stored, error);
      }
    }
    for (const [id, held] of mirrors.#held) held.state = states.get(stateKey(id)) ?? NEVER_REFRESHED;
    for (const id of [...mirrors.#held.keys(), ...mirrors.#damaged]) {
      if ((await parts.catalogue.byId(id)) !== undefined || (await parts.catalogue.buried(id)) !== undefined) continue;
      // Its repository was purged: nobody can ever ask for it again.
      parts.log.info({ id }, 'forget the upstream of a repository that is gone');
      await mirrors.forget(id);
    }
    return mirrors;
  }

  /** How many there are, those in the graveyard included. */
  get size(): number {
    return this.#held.size + this.#damaged.size;
  }

  /** Repositories that are mirrors of nobody knows what, since their records are damaged. */
  get damaged(): ReadonlySet<string> {
    return this.#damaged;
  }

  isMirror(repositoryId: string): boolean {
    return this.#held.has(repositoryId) || this.#damaged.has(repositoryId);
  }

  /** @throws Fault `upstream` where its record is damaged; so do `remote`, `refresh` and `show`. */
  async find(repositoryId: string): Promise<Upstream | undefined> {
    this.#assertWhole(repositoryId);
    return this.#held.get(repositoryId)?.record;
  }

  /** The upstream's URL as it was declared, for people; undefined: no mirror. */
  urlOf(repositoryId: string): string | undefined {
    return this.#held.get(repositoryId)?.record.url.text;
  }

  /** Kept until the mirror changes. @throws Fault `missing` where it is no mirror. */
  async remote(repositoryId: string): Promise<Remote> {
    return this.#remoteOf(this.#known(repositoryId));
  }

  /** As `WalkMirrors.freshener`: undefined where it is no mirror. */
  freshener(
    repository: Repository,
    about: { readonly requestId: string; readonly signal: AbortSignal },
  ): (() => Promise<void>) | undefined {
    if (!this.isMirror(repository.id)) return undefined;
    return async () => {
      await this.refresh(repository, about);
    };
  }

  /**
   * Makes the mirror what its upstream is, unless it was asked less than its bound ago. `force`: asks all the same.
   * @throws Fault `upstream`: nothing that is here may be served; `aborted`.
   */
  async refresh(repository: Repository, asked: Doing & { readonly force?: boolean }): Promise<RefreshReport> {
    const held = this.#known(repository.id);
    if (asked.force !== true && this.#isFresh(held)) {
      this.#parts.metrics.mirrorRefresh('fresh', undefined);
      return { outcome: 'fresh', state: held.state };
    }
    await held.flights.join(asked);
    return { outcome: held.last?.changed === 0 ? 'unchanged' : 'updated', state: held.state };
  }

  /** What was fetched counts as stale from now on: the upstream said that it changed. */
  invalidate(repositoryId: string): void {
    const held = this.#held.get(repositoryId);
    if (held === undefined) return;
    held.asked = undefined;
    held.epoch += 1;
  }

  /** Mirrors whose repositories are alive, in the order of names. */
  async list(): Promise<readonly MirrorView[]> {
    const views: MirrorView[] = [];
    for (const id of this.#held.keys()) {
      const view = await this.show(id);
      if (view !== undefined) views.push(view);
    }
    return views.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Undefined where it is no mirror, or its repository was destroyed. */
  async show(repositoryId: string): Promise<MirrorView | undefined> {
    this.#assertWhole(repositoryId);
    const held = this.#held.get(repositoryId);
    const repository = held && (await this.#parts.catalogue.byId(repositoryId));
    if (held === undefined || repository === undefined) return undefined;
    return { name: repository.name, repository, upstream: held.record, state: held.state };
  }

  /** Takes a record that was stored into the index; what was under way for another version of it ends. */
  hold(record: MirrorRecord): void {
    this.#damaged.delete(record.repositoryId);
    const known = this.#held.get(record.repositoryId);
    if (known !== undefined) {
      known.record = record;
      this.#interrupt(known, 'the mirror was changed meanwhile: try again');
      this.invalidate(record.repositoryId);
      return;
    }
    const held: Held = {
      record,
      state: NEVER_REFRESHED,
      flights: new Flights((flight) => this.#fly(held, flight)),
      remote: undefined,
      asked: undefined,
      epoch: 0,
      last: undefined,
      writtenAt: 0,
    };
    this.#held.set(record.repositoryId, held);
  }

  /** The mirror, its state and its credential, out of the store and out of memory. The repository stays. */
  async forget(repositoryId: string): Promise<void> {
    if (!this.isMirror(repositoryId)) return;
    await this.#writing;
    const held = this.#held.get(repositoryId);
    // Of a damaged record, its credential stays sealed and unused.
    const credentialId = held?.record.credentialId;
    await this.#parts.store.transact({
      writes: [
        { kind: 'mirror', key: repositoryId, delete: true },
        { kind: 'mirror', key: stateKey(repositoryId), delete: true },
        { kind: 'forward', key: repositoryId, delete: true },
        ...(credentialId === undefined ? [] : [{ kind: 'sealed', key: credentialId, delete: true } as const]),
      ],
    });
    this.#held.delete(repositoryId);
    this.#damaged.delete(repositoryId);
    if (held !== undefined) this.#interrupt(held, 'the mirror was removed meanwhile');
  }

  /** Its repository is out of reach: nothing goes on for it. */
  rest(repositoryId: string): void {
    const held = this.#held.get(repositoryId);
    if (held !== undefined) this.#interrupt(held, 'the repository is gone');
    this.invalidate(repositoryId);
  }

  /** Ends every connection and writes what was learned. */
  async close(): Promise<void> {
    for (const held of this.#held.values()) {
      held.flights.abort(new Fault('aborted', 'gate is closing'));
      if (held.state.triedAt !== undefined && held.state.triedAt > held.writtenAt) this.#write(held);
    }
    await this.#writing;
    await Promise.all([...this.#held.values()].map(async (held) => held.remote?.[Symbol.asyncDispose]()));
  }

  /** One record that does not parse closes its mirror, not the gate. What was known of refreshes is found out again. */
  #setAside({ key: id }: Stored, error: Fault): void {
    this.#parts.log.warn({ id, error }, 'set a damaged record of a mirror aside');
    if (!isStateKey(id)) this.#damaged.add(id);
  }

  #assertWhole(repositoryId: string): void {
    if (!this.#damaged.has(repositoryId)) return;
    throw new Fault('upstream', 'record of a mirror is damaged', {
      publicMessage:
        'what this repository mirrors is damaged in the store of the gate: an administrator brings the store back from a backup, or makes it an ordinary repository with `mirror remove`',
    });
  }

  #known(repositoryId: string): Held {
    this.#assertWhole(repositoryId);
    const held = this.#held.get(repositoryId);
    if (held !== undefined) return held;
    throw new Fault('missing', 'repository is no mirror', { publicMessage: 'this repository is no mirror' });
  }

  #remoteOf(held: Held): Remote {
    const { record } = held;
    held.remote ??= this.#parts.createRemote({ upstream: record, credential: () => this.credentialOf(record) });
    return held.remote;
  }

  /** @throws Fault with a public message where it does not open. */
  async credentialOf({ credentialId }: Upstream): Promise<UpstreamCredential | undefined> {
    if (credentialId === undefined) return undefined;
    return readCredential(await this.#parts.vault.open({ id: credentialId, purpose: 'upstream-credential' }));
  }

  /** By both clocks: one stands still while the machine sleeps, the other may be set back. */
  #isFresh({ asked, record }: Held): boolean {
    if (asked === undefined) return false;
    const { clock } = this.#parts;
    const ages = [clock.monotonicMs() - asked.askedMs, clock.now() - asked.askedAt];
    return ages.every((ageMs) => ageMs >= 0 && ageMs < record.freshMs);
  }

  #interrupt(held: Held, publicMessage: string): void {
    held.flights.abort(new Fault('upstream', 'mirror changed', { publicMessage }));
    const { remote } = held;
    held.remote = undefined;
    if (remote !== undefined) void this.#disconnect(remote, held.record);
  }

  async #disconnect(remote: Remote, { repositoryId: id }: Upstream): Promise<void> {
    try {
      await remote[Symbol.asyncDispose]();
    } catch (error) {
      this.#parts.log.warn({ id, error }, 'fail to close the connection to an upstream');
    }
  }

  /** One refresh, for everybody who waits for it. */
  async #fly(held: Held, flight: Flight): Promise<void> {
    const { clock, metrics, log } = this.#parts;
    const { record, epoch } = held;
    const [beganMs, triedAt] = [clock.monotonicMs(), clock.now()];
    const repository = await this.#parts.catalogue.byId(record.repositoryId);
    if (repository === undefined) throw new Fault('missing', 'repository is gone', { publicMessage: 'it is gone' });
    try {
      const remote = this.#remoteOf(held);
      const isWanted = (): boolean => this.#held.get(record.repositoryId)?.record === record;
      const refresh = (): Promise<Refreshed> =>
        refreshOnce(this.#parts, { repository, upstream: record, remote, flight, isWanted });
      const { around } = this.#parts;
      const refreshed = await (around === undefined ? refresh() : around(repository, flight, refresh));
      const tookMs = clock.monotonicMs() - beganMs;
      held.last = refreshed;
      if (held.epoch === epoch) held.asked = refreshed;
      metrics.mirrorRefresh(refreshed.changed === 0 ? 'unchanged' : 'updated', tookMs);
      this.#learn(held, stateAfter(held.state, { refreshed, triedAt, tookMs }));
    } catch (cause) {
      // It may have failed between two of its transactions, too: within no bound is what is here what the upstream had.
      held.asked = undefined;
      if (flight.signal.aborted) throw cause;
      const tookMs = clock.monotonicMs() - beganMs;
      metrics.mirrorRefresh('failed', tookMs);
      const { requestId } = flight;
      log.warn({ request: requestId, repository: repository.name, error: cause }, 'fail to refresh a mirror');
      this.#learn(held, {
        ...held.state,
        triedAt,
        tookMs: Math.round(tookMs),
        failure: publicMessageOf(cause, requestId),
      });
      throw staleFault(cause, { url: record.url.text, requestId });
    }
  }

  /** Remembers, and writes down where it says something new. */
  #learn(held: Held, state: RefreshState): void {
    const before = held.state;
    held.state = state;
    const isNews = before.failure !== state.failure || (held.last?.changed ?? 0) > 0 || before.refs !== state.refs;
    if (isNews || this.#parts.clock.now() - held.writtenAt >= STATE_STEP_MS) this.#write(held);
  }

  /** No refresh waits for it: a state that is lost is found again by the next one. */
  #write(held: Held): void {
    const { record, state } = held;
    held.writtenAt = this.#parts.clock.now();
    this.#writing = this.#writeAfter(this.#writing, record.repositoryId, state);
  }

  async #writeAfter(before: Promise<void>, id: string, state: RefreshState): Promise<void> {
    await before;
    try {
      await this.#parts.store.transact({
        checks: [{ kind: 'mirror', key: id, version: 'any' }],
        writes: [{ kind: 'mirror', key: stateKey(id), put: writeRefreshState(state) }],
      });
    } catch (error) {
      this.#parts.log.warn({ id, error }, 'fail to write the state of a mirror');
    }
  }
}
