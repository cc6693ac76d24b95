/**
 * Places for what costs much: making a pack, taking in and judging a push; and others for walks that prove what may be read,
 * which come before. A request that finds none waits with its client told so; showing refs needs none. Under pressure fewer
 * places for work are given out.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import type { WaitingFor, WorkGate } from '../git/service.ts';
import { claimsOf, closing } from './admission.ts';
import { Places, waitingWords, type Claim, type Waiting } from './places.ts';
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

/** Whose walks run: of few places each leaves one to others. */
const WALK_LIMITS = (() => {
  const most = Math.max(1, BOUNDS.walksMax - 1);
  return { perPrincipalMax: most, anonymousMax: most, perAddressMax: Math.max(1, most - 1) };
})();

interface Entry {
  readonly places: Places;
  readonly claims: readonly Claim[];
  readonly transport: RequestOrigin['transport'];
  readonly onWaited?: ((ms: number) => void) | undefined;
}

export class Work {
  readonly #limits: WorkLimits;
  readonly #clock: Clock;
  readonly #places: Places;
  readonly #walks: Places;

  constructor(clock: Clock, limits: WorkLimits) {
    this.#clock = clock;
    this.#limits = limits;
    const { runningMax, waitMs } = limits;
    this.#places = new Places(clock, { runningMax, waitMs, waitingMax: WAITING_MAX, waitingPerClaimMax: WAITING_MAX });
    this.#walks = new Places(clock, {
      runningMax: BOUNDS.walksMax,
      waitMs,
      waitingMax: BOUNDS.walkQueueMax,
      waitingPerClaimMax: BOUNDS.walkQueuePerPrincipalMax,
    });
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

  /** Walks that run, and requests that wait for leave to walk. */
  get walks(): { readonly running: number; readonly waiting: number } {
    return this.#walks;
  }

  /** For one request about one repository. */
  gate(origin: RequestOrigin, repositoryId: string): WorkGate {
    const { transport } = origin;
    // Most requests never ask: nothing is put together for them.
    const claims = (): readonly Claim[] => [
      ...claimsOf(origin, this.#limits),
      { key: `repository ${repositoryId}`, max: this.#limits.perRepositoryMax },
    ];
    const work = (): Entry => ({ places: this.#places, claims: claims(), transport, onWaited: this.#limits.onWaited });
    const walk = (): Entry => ({ places: this.#walks, claims: claimsOf(origin, WALK_LIMITS), transport });
    return Object.assign((about: WaitingFor) => this.#enter(work(), about), {
      ifFree: () => disposing(this.#places.enterIfFree(claims(), isUrgent(transport))),
      walk: (about: WaitingFor) => this.#enter(walk(), about),
    });
  }

  /** Who waits is sent home: the gate closes. */
  close(): void {
    this.#places.close(closing());
    this.#walks.close(closing());
  }

  async #enter({ places, claims, transport, onWaited }: Entry, { signal, tell }: WaitingFor): Promise<Disposable> {
    const told = tell && ((waiting: Waiting): void => tell(waitingWords(waiting)));
    const begunMs = this.#clock.monotonicMs();
    const waitMs = tell === undefined ? SILENT_WAIT_MS[transport] : undefined;
    const giveBack = await places.enter({ claims, signal, tell: told, waitMs, isUrgent: isUrgent(transport) });
    onWaited?.(this.#clock.monotonicMs() - begunMs);
    return disposing(giveBack);
  }
}

/** The administrator at the machine does not wait. */
function isUrgent(transport: RequestOrigin['transport']): boolean {
  return transport === 'local';
}

function disposing(giveBack: () => void): Disposable;
function disposing(giveBack: (() => void) | undefined): Disposable | undefined;
function disposing(giveBack: (() => void) | undefined): Disposable | undefined {
  return giveBack && { [Symbol.dispose]: giveBack };
}
