/**
 * Admission: how many requests run at once, overall and for each principal or anonymous address. What finds
 * no place waits in a bounded queue until a deadline; at shutdown the queue is emptied and what runs drains.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { Places, type Claim, type Waiting } from './places.ts';
import type { RequestOrigin } from './request.ts';

export interface AdmissionLimits {
  /** Requests running at once, anonymous ones included. */
  readonly runningMax: number;
  /** Running at once for one user. */
  readonly perPrincipalMax: number;
  /** Running at once for everybody without a name: they cannot fill the house. */
  readonly anonymousMax: number;
  /** Running at once for one anonymous address. */
  readonly perAddressMax: number;
  /** Waiting at once; and of these, of one user or anonymous address. */
  readonly waitingMax: number;
  readonly waitingPerPrincipalMax: number;
  /** Longest wait in milliseconds. */
  readonly waitMs: number;
}

export const ADMISSION_LIMITS: AdmissionLimits = {
  runningMax: 256,
  perPrincipalMax: 64,
  anonymousMax: 128,
  perAddressMax: 64,
  waitingMax: 1_024,
  waitingPerPrincipalMax: 256,
  waitMs: 60_000,
};

/** One admitted request. Disposing gives the place back. */
export interface Place extends Disposable {
  /** Aborted with the request's own signal, or when the drain at shutdown is over. */
  readonly signal: AbortSignal;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #places: Places;
  readonly #ending = new AbortController();
  #isDraining = false;

  constructor(options: { readonly clock: Clock; readonly limits?: Partial<AdmissionLimits> | undefined }) {
    const limits = { ...ADMISSION_LIMITS, ...options.limits };
    this.#limits = limits;
    this.#places = new Places(options.clock, { ...limits, waitingPerClaimMax: limits.waitingPerPrincipalMax });
  }

  get running(): number {
    return this.#places.running;
  }

  get waiting(): number {
    return this.#places.waiting;
  }

  get draining(): boolean {
    return this.#isDraining;
  }

  /**
   * A place for this request, at once or after a wait.
   * @param tell of the wait, where the client can hear it.
   * @throws Fault 'busy' when the queue is full, the wait is over or the gate is closing; 'aborted' when the
   * client goes away while it waits.
   */
  async enter(origin: RequestOrigin, signal: AbortSignal, tell?: (waiting: Waiting) => void): Promise<Place> {
    // The local administrator must get in when the house is full: that is when it is needed.
    const isUrgent = origin.transport === 'local';
    const giveBack = await this.#places.enter({ claims: claimsOf(origin, this.#limits), signal, tell, isUrgent });
    return new HeldPlace(giveBack, [signal, this.#ending.signal]);
  }

  /** No new requests; running ones get `ms` milliseconds, then they are aborted. Resolves when none runs. */
  async drain(ms: number): Promise<void> {
    this.#isDraining = true;
    this.#places.close(closing());
    if (await this.#places.idle(ms)) return;
    this.#ending.abort(new Fault('aborted', 'drain is over', { publicMessage: CLOSING }));
    await this.#places.idle(BOUNDS.abortGraceMs);
  }
}

class HeldPlace implements Place {
  readonly #giveBack: () => void;
  readonly #signals: readonly AbortSignal[];
  #signal: AbortSignal | undefined;

  constructor(giveBack: () => void, signals: readonly AbortSignal[]) {
    this.#giveBack = giveBack;
    this.#signals = signals;
  }

  /** Made when it is asked for: what is answered at once never does. */
  get signal(): AbortSignal {
    this.#signal ??= AbortSignal.any([...this.#signals]);
    return this.#signal;
  }

  [Symbol.dispose](): void {
    this.#giveBack();
  }
}

const CLOSING = 'the server is shutting down: try again shortly';

/** The fault of a gate that is closing. */
export function closing(): Fault {
  return new Fault('busy', 'gate is closing', { publicMessage: CLOSING });
}

/** Whose budgets a request uses: its own first. */
export function claimsOf(
  { principal, address }: RequestOrigin,
  limits: Pick<AdmissionLimits, 'perPrincipalMax' | 'perAddressMax' | 'anonymousMax'>,
): readonly Claim[] {
  if (principal.kind !== 'anonymous') return [{ key: `user ${principal.name}`, max: limits.perPrincipalMax }];
  return [
    { key: `address ${address}`, max: limits.perAddressMax },
    { key: 'anonymous', max: limits.anonymousMax },
  ];
}
