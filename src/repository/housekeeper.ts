/**
 * Who looks after repositories without being asked: after pushes, and once a day after all of them. Decides from names of
 * files whether anything is to be done, does a bounded number of repositories at a time, and remembers what failed: a
 * repository that cannot be tidied is tried again later and later, and is shown until it can.
 */
import type { Clock } from '../base/clock.ts';
import type { Parsed } from '../base/fault.ts';
import { readFields } from '../base/fields.ts';
import { Pace, sleep } from '../base/pace.ts';
import { listAll, type Store, type Stored } from '../store/store.ts';
import { conditionOf, type Condition } from './condition.ts';
import type { Repository } from './repository.ts';
import type { Upkeep } from './upkeep.ts';

export const UPKEEP_KINDS = ['roll', 'gc'] as const;
/** `roll`: packs rolled together, indexes and bitmaps made. `gc`: everything packed anew, what is unreachable and old dropped. */
export type UpkeepKind = (typeof UPKEEP_KINDS)[number];

export interface HousekeeperParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly repositories: {
    byId(id: string): Promise<Repository | undefined>;
    all(): AsyncGenerator<Repository>;
  };
  readonly upkeep: Readonly<Record<UpkeepKind, (upkeep: Upkeep) => Promise<Parsed<void>>>>;
  /** Requests are waiting for the machine: upkeep waits too, for a while. */
  readonly isBusy: () => boolean;
  readonly log: {
    info(fields: Readonly<Record<string, unknown>>, message: string): void;
    warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  };
  readonly metrics: { upkeep(kind: UpkeepKind, outcome: 'done' | 'failed', ms: number): void };
  readonly limits: HousekeepingLimits;
}

export interface HousekeepingLimits {
  /** Repositories looked after at once; 0: none. */
  readonly tasksMax: number;
  /** After a push, until nothing was pushed for so long ... */
  readonly quietMs: number;
  /** ... or so many pushes came. */
  readonly pushesMax: number;
  readonly packsMax: number;
  readonly looseObjectsMax: number;
  readonly looseRefsMax: number;
  /** Between two of `gc`, where anything was pushed meanwhile. */
  readonly gcEveryMs: number;
  /** Between two looks at all repositories. */
  readonly sweepEveryMs: number;
  /** After a failure; doubled with each further one, up to `retryMsMax`. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** How long upkeep lets requests go first. */
  readonly yieldMs: number;
}

const HOUR_MS = 3_600_000;

export const HOUSEKEEPING_LIMITS: HousekeepingLimits = {
  tasksMax: 1,
  quietMs: 60_000,
  pushesMax: 64,
  packsMax: 16,
  looseObjectsMax: 6_000,
  looseRefsMax: 256,
  gcEveryMs: 14 * 24 * HOUR_MS,
  sweepEveryMs: 24 * HOUR_MS,
  retryMs: HOUR_MS / 12,
  retryMsMax: 24 * HOUR_MS,
  yieldMs: HOUR_MS / 6,
};

/** Looks at the list of what was pushed to this often, while it is not empty. */
const TICK_MS = 1_000;
const YIELD_POLL_MS = 500;
/** Repositories that wait, beyond which no more are looked at. */
const SWEPT_QUEUE_MAX = 256;
const REASON_CHARACTERS_MAX = 500;
const LINES_MAX = 8;

/** What is remembered of a repository's upkeep. Times are milliseconds since 1970. */
export interface UpkeepRecord {
  readonly rolledAt: number | undefined;
  readonly collectedAt: number | undefined;
  readonly failures: number;
  readonly failedAt: number | undefined;
  readonly reason: string | undefined;
}

export interface HousekeepingStatus {
  readonly isOn: boolean;
  /** Ids and what is being done to them now. */
  readonly running: readonly { readonly id: string; readonly kind: UpkeepKind; readonly ms: number }[];
  readonly queued: number;
  /** Pushed to lately, not looked at yet. */
  readonly noted: number;
  readonly sweptAt: number | undefined;
  /** A page of repositories whose upkeep failed last. */
  readonly failing: readonly (UpkeepRecord & { readonly id: string })[];
}

interface Noted {
  pushes: number;
  lastMs: number;
}

const NO_RECORD: UpkeepRecord = {
  rolledAt: undefined,
  collectedAt: undefined,
  failures: 0,
  failedAt: undefined,
  reason: undefined,
};

export class Housekeeper {
  readonly #parts: HousekeeperParts;
  readonly #noted = new Map<string, Noted>();
  readonly #queue = new Set<string>();
  readonly #running = new Map<string, { kind: UpkeepKind; readonly sinceMs: number }>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();
  #cancelTick: (() => void) | undefined;
  #cancelSweep: (() => void) | undefined;
  #sweptAt: number | undefined;

  constructor(parts: HousekeeperParts) {
    this.#parts = parts;
  }

  /** From now on every repository is looked at once in `sweepEveryMs`, the first time soon. */
  begin(): void {
    if (this.#isOn) this.#sweepAfter(this.#parts.limits.quietMs);
  }

  /** Something was committed to this repository. */
  note(id: string): void {
    if (!this.#isOn) return;
    const { clock, limits } = this.#parts;
    const noted = this.#noted.get(id) ?? { pushes: 0, lastMs: 0 };
    noted.pushes += 1;
    noted.lastMs = clock.monotonicMs();
    this.#noted.set(id, noted);
    if (noted.pushes >= limits.pushesMax) this.#enqueue(id);
    else this.#tick();
  }

  async status(): Promise<HousekeepingStatus> {
    const { store, clock } = this.#parts;
    const failing: (UpkeepRecord & { readonly id: string })[] = [];
    for await (const stored of listAll(store, 'upkeep')) {
      const record = readRecord(stored);
      if (record.failures > 0 && failing.length < FAILING_SHOWN_MAX) failing.push({ id: stored.key, ...record });
    }
    const now = clock.monotonicMs();
    return {
      isOn: this.#isOn,
      running: [...this.#running].map(([id, { kind, sinceMs }]) => ({ id, kind, ms: now - sinceMs })),
      queued: this.#queue.size,
      noted: this.#noted.size,
      sweptAt: this.#sweptAt,
      failing,
    };
  }

  async record(id: string): Promise<UpkeepRecord> {
    const stored = await this.#parts.store.get('upkeep', id);
    return stored === undefined ? NO_RECORD : readRecord(stored);
  }

  /** What runs is given up: git leaves the repository as it was, or better. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#cancelTick?.();
    this.#cancelSweep?.();
    this.#queue.clear();
    await Promise.all([this.#sweeping, ...this.#tasks]);
  }

  get #isOn(): boolean {
    return this.#parts.limits.tasksMax > 0 && !this.#ending.signal.aborted;
  }

  #tick(): void {
    this.#cancelTick ??= this.#parts.clock.after(TICK_MS, () => {
      this.#cancelTick = undefined;
      const { clock, limits } = this.#parts;
      const now = clock.monotonicMs();
      for (const [id, { lastMs }] of this.#noted) if (now - lastMs >= limits.quietMs) this.#enqueue(id);
      if (this.#noted.size > 0) this.#tick();
    });
  }

  #enqueue(id: string): void {
    this.#noted.delete(id);
    this.#queue.add(id);
    this.#next();
  }

  #next(): void {
    for (const id of this.#queue) {
      if (this.#tasks.size >= this.#parts.limits.tasksMax || !this.#isOn) return;
      // Pushed to while it is being tidied: once more when that is done.
      if (this.#running.has(id)) continue;
      this.#queue.delete(id);
      const task = this.#lookAfter(id).finally(() => {
        this.#tasks.delete(task);
        this.#next();
      });
      this.#tasks.add(task);
    }
  }

  /** Never rejects. */
  async #lookAfter(id: string): Promise<void> {
    const { repositories, clock, log } = this.#parts;
    try {
      const repository = await repositories.byId(id);
      if (repository === undefined) return;
      const record = await this.record(id);
      const kind = this.#due(await conditionOf(repository.path), record);
      if (kind === undefined) return;
      this.#running.set(id, { kind, sinceMs: clock.monotonicMs() });
      await this.#letOthersGoFirst();
      if (!this.#ending.signal.aborted) await this.#run(repository, kind, record);
    } catch (error) {
      log.warn({ id, error }, 'fail to look after a repository');
    } finally {
      this.#running.delete(id);
    }
  }

  #due(condition: Condition, record: UpkeepRecord): UpkeepKind | undefined {
    const { limits, clock } = this.#parts;
    const now = clock.now();
    const { failures, failedAt = 0 } = record;
    const pauseMs = Math.min(limits.retryMs * 2 ** Math.max(0, failures - 1), limits.retryMsMax);
    if (failures > 0 && now >= failedAt && now - failedAt < pauseMs) return undefined;
    const { packs, looseObjects, looseRefs } = condition;
    const isUntidy =
      packs > limits.packsMax || looseObjects > limits.looseObjectsMax || looseRefs > limits.looseRefsMax;
    if (!isUntidy && failures === 0) return undefined;
    const since = now - (record.collectedAt ?? record.rolledAt ?? now);
    return since >= limits.gcEveryMs ? 'gc' : 'roll';
  }

  async #run(repository: Repository, kind: UpkeepKind, record: UpkeepRecord): Promise<void> {
    const { clock, log, metrics, upkeep } = this.#parts;
    const fields = { repository: repository.name, kind };
    const lines: string[] = [];
    const tell = (line: string): void => {
      // What was said last tells why.
      if (lines.unshift(line) > LINES_MAX) lines.pop();
    };
    const begunMs = clock.monotonicMs();
    const ended = await upkeep[kind]({ repository, tell, signal: this.#ending.signal }).catch(
      (error: unknown): { readonly kind: 'refused'; readonly reason: string } => {
        log.warn({ ...fields, error }, 'fail upkeep');
        return { kind: 'refused', reason: error instanceof Error ? error.message : 'failed' };
      },
    );
    if (this.#ending.signal.aborted) return;
    const ms = clock.monotonicMs() - begunMs;
    metrics.upkeep(kind, ended.kind === 'ok' ? 'done' : 'failed', ms);
    const now = clock.now();
    if (ended.kind === 'ok') {
      log.info({ ...fields, ms: Math.round(ms) }, 'finish upkeep');
      const times = kind === 'gc' ? { rolledAt: now, collectedAt: now } : { rolledAt: now };
      // The first time is where the clock of `gc` begins.
      await this.#remember(repository.id, { ...NO_RECORD, collectedAt: record.collectedAt ?? now, ...times });
      return;
    }
    const reason = [ended.reason, ...lines].join('; ').slice(0, REASON_CHARACTERS_MAX);
    log.warn({ ...fields, reason, failures: record.failures + 1 }, 'fail upkeep');
    await this.#remember(repository.id, { ...record, failures: record.failures + 1, failedAt: now, reason });
  }

  async #remember(id: string, record: UpkeepRecord): Promise<void> {
    const put = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
    await this.#parts.store.transact({ writes: [{ kind: 'upkeep', key: id, put }] });
  }

  /** Waits while the machine is busy with requests, but not for ever: a repository that is never tidied makes it busy. */
  async #letOthersGoFirst(): Promise<void> {
    const { clock, isBusy, limits } = this.#parts;
    const deadlineMs = clock.monotonicMs() + limits.yieldMs;
    while (isBusy() && clock.monotonicMs() < deadlineMs && !this.#ending.signal.aborted) await this.#pause();
  }

  #pause(): Promise<void> {
    return sleep(this.#parts.clock, YIELD_POLL_MS, this.#ending.signal);
  }

  #sweepAfter(ms: number): void {
    this.#cancelSweep = this.#parts.clock.after(ms, () => {
      this.#sweeping = this.#sweep();
    });
  }

  /** Repositories that nobody pushes to were left untidy by a restart, or by somebody beside the gate. */
  async #sweep(): Promise<void> {
    const { repositories, clock, log, limits } = this.#parts;
    const { signal } = this.#ending;
    const pace = new Pace(clock, signal);
    try {
      for await (const { id, path } of repositories.all()) {
        if (signal.aborted) return;
        const condition = await conditionOf(path);
        if (this.#due(condition, await this.record(id)) !== undefined) this.#enqueue(id);
        // Looking is quicker than tidying: what is found does not pile up.
        while (this.#queue.size >= SWEPT_QUEUE_MAX && !signal.aborted) await this.#pause();
        await pace.step();
      }
      this.#sweptAt = clock.now();
    } catch (error) {
      log.warn({ error }, 'fail to look at all repositories');
    }
    if (this.#isOn) this.#sweepAfter(limits.sweepEveryMs);
  }
}

const FAILING_SHOWN_MAX = 1_000;

function readRecord(stored: Stored): UpkeepRecord {
  const fields = readFields(stored.value, `upkeep ${stored.key}`);
  return {
    rolledAt: fields.optionalNumber('rolledAt'),
    collectedAt: fields.optionalNumber('collectedAt'),
    failures: fields.number('failures'),
    failedAt: fields.optionalNumber('failedAt'),
    reason: fields.optionalText('reason'),
  };
}
