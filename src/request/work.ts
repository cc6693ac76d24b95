/**
 * Places for what costs much: making a pack, judging a push. A request that finds none waits with its client told so;
 * showing refs needs none. Under pressure fewer are given out.
 */
import type { Clock } from '../base/clock.ts';
import type { WorkGate } from '../git/service.ts';
import { claimsOf, closing } from './admission.ts';
import { Places, waitingWords } from './places.ts';
import type { RequestOrigin } from './request.ts';

export interface WorkLimits {
  /** At once, in all. */
  readonly runningMax: number;
  /** At once for one user; for all without a name, and for one address of these; for one repository. */
  readonly perPrincipalMax: number;
  readonly anonymousMax: number;
  readonly perAddressMax: number;
  readonly perRepositoryMax: number;
  /** Longest wait in milliseconds. */
  readonly waitMs: number;
  /** Told of each wait, in milliseconds. */
  readonly onWaited?: (ms: number) => void;
}

const WAIT_MS = 10 * 60_000;
/**
 * Longest wait of a client that cannot be told anything, in milliseconds: less than the silence after which its door takes it
 * for gone, so that it reads why it is sent away.
 */
const SILENT_WAIT_MS: Readonly<Partial<Record<RequestOrigin['transport'], number>>> = { git: 100_000, http: 240_000 };
/** Each is an admitted request: that is the bound. */
const WAITING_MAX = 100_000;

/** One user, one repository, and all who have no name leave a place for others. */
export function workLimits(runningMax: number): WorkLimits {
  const most = Math.max(1, Math.ceil(runningMax * 0.75));
  const perAddressMax = Math.max(1, Math.ceil(runningMax * 0.5));
  return {
    runningMax,
    perPrincipalMax: most,
    anonymousMax: most,
    perAddressMax,
    perRepositoryMax: most,
    waitMs: WAIT_MS,
  };
}

export class Work {
  readonly #limits: WorkLimits;
  readonly #clock: Clock;
  readonly #places: Places;

  constructor(clock: Clock, limits: WorkLimits) {
    this.#clock = clock;
    this.#limits = limits;
    const { runningMax, waitMs } = limits;
    this.#places = new Places(clock, { runningMax, waitMs, waitingMax: WAITING_MAX, waitingPerClaimMax: WAITING_MAX });
  }

  get running(): number {
    return this.#places.running;
  }

  get waiting(): number {
    return this.#places.waiting;
  }

  /** The part of the places that is given out, from 0 to 1. */
  set share(share: number) {
    this.#places.share = share;
  }

  /** For one request about one repository. */
  gate(origin: RequestOrigin, repositoryId: string): WorkGate {
    const claims = [
      ...claimsOf(origin, this.#limits),
      { key: `repository ${repositoryId}`, max: this.#limits.perRepositoryMax },
    ];
    const isUrgent = origin.transport === 'local';
    return async ({ signal, tell }) => {
      const told = tell && ((waiting: Parameters<typeof waitingWords>[0]): void => tell(waitingWords(waiting)));
      const begunMs = this.#clock.monotonicMs();
      const waitMs = tell === undefined ? SILENT_WAIT_MS[origin.transport] : undefined;
      const giveBack = await this.#places.enter({ claims, signal, tell: told, waitMs, isUrgent });
      this.#limits.onWaited?.(this.#clock.monotonicMs() - begunMs);
      return { [Symbol.dispose]: giveBack };
    };
  }

  /** Who waits is sent home: the gate closes. */
  close(): void {
    this.#places.close(closing());
  }
}
