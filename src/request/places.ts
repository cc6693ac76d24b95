/**
 * Places for what runs at once: overall, and for each of the budgets that a newcomer claims. Who finds none waits in a
 * bounded queue, hears from time to time that it does, and is sent away at a deadline. A place goes to whose first claim has
 * least running, and among equal ones to who came first: a hundred requests of one do not keep a single one of another
 * waiting.
 */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';

export interface PlacesLimits {
  /** At once, in all. */
  readonly runningMax: number;
  /** Waiting at once; and of these, with the same first claim. */
  readonly waitingMax: number;
  readonly waitingPerClaimMax: number;
  /** Longest wait in milliseconds. */
  readonly waitMs: number;
}

/** A budget that a newcomer uses, and how many may use it at once. */
export interface Claim {
  readonly key: string;
  readonly max: number;
}

export interface Waiting {
  /** Who waits as well, and would be let in before. */
  readonly ahead: number;
  readonly waitedMs: number;
}

export interface Entering {
  /** The first one is whose queue it is. */
  readonly claims: readonly Claim[];
  readonly signal: AbortSignal;
  /** Called a second into the wait and every ten from then on. */
  readonly tell?: ((waiting: Waiting) => void) | undefined;
  /** Another longest wait than the limits', in milliseconds. */
  readonly waitMs?: number | undefined;
  /** Gets a place where there is none. */
  readonly isUrgent?: boolean;
}

interface Waiter extends Entering {
  readonly admit: () => void;
  readonly refuse: (fault: Fault) => void;
}

const FIRST_WORD_MS = 1_000;
const NEXT_WORD_MS = 10_000;

/** A fair, bounded semaphore: a place is leave to run, given by `enter` and given back by disposing it. */
export class Places {
  readonly #clock: Clock;
  readonly #limits: PlacesLimits;
  readonly #runningBy = new Map<string, number>();
  readonly #waitingBy = new Map<string, number>();
  readonly #waiters = new Set<Waiter>();
  readonly #idleListeners = new Set<() => void>();
  #running = 0;
  #share = 1;
  #closing: Fault | undefined;

  constructor(clock: Clock, limits: PlacesLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** How many run for which a place with this key was claimed. */
  runningOf(key: string): number {
    return this.#runningBy.get(key) ?? 0;
  }

  /** From here on only this part of the places is given out, from 0 to 1; one always is. What runs goes on. */
  set share(share: number) {
    this.#share = share;
    this.#admitWaiting();
  }

  /** As `enter`, without a wait; undefined: there is no place. @throws Fault 'busy' where the places are closed. */
  enterIfFree(claims: readonly Claim[], isUrgent = false): (() => void) | undefined {
    if (this.#closing !== undefined) throw this.#closing;
    if (!isUrgent && !this.#hasRoom(claims)) return undefined;
    this.#take(claims);
    return this.#held(claims);
  }

  /**
   * At once, or after a wait; call what it resolves with once to give the place back.
   * @throws Fault 'busy' when the queue is full, the wait is over or the places are closed; 'aborted' by `signal`.
   */
  async enter(entering: Entering): Promise<() => void> {
    const { claims, signal, isUrgent = false } = entering;
    if (this.#closing !== undefined) throw this.#closing;
    if (signal.aborted) throw gone(signal);
    if (isUrgent || this.#hasRoom(claims)) this.#take(claims);
    else await this.#wait(entering);
    return this.#held(claims);
  }

  /** Nobody gets in any more, and who waits is told why. What runs goes on. */
  close(why: Fault): void {
    this.#closing = why;
    for (const waiter of this.#waiters) waiter.refuse(why);
  }

  /** Resolves true when nothing runs, false after `ms`. */
  idle(ms: number): Promise<boolean> {
    if (this.#running === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = (isIdle: boolean): void => {
        cancel();
        this.#idleListeners.delete(listener);
        resolve(isIdle);
      };
      const listener = (): void => {
        done(true);
      };
      const cancel = this.#clock.after(ms, () => {
        done(false);
      });
      this.#idleListeners.add(listener);
    });
  }

  /** Gives a place back that was taken, once. */
  #held(claims: readonly Claim[]): () => void {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#giveBack(claims);
    };
  }

  get #runningMax(): number {
    return Math.max(1, Math.floor(this.#limits.runningMax * this.#share));
  }

  #hasRoom(claims: readonly Claim[]): boolean {
    if (this.#running >= this.#runningMax) return false;
    return claims.every(({ key, max }) => this.runningOf(key) < max);
  }

  #take(claims: readonly Claim[]): void {
    this.#running += 1;
    for (const { key } of claims) add(this.#runningBy, key, 1);
  }

  #giveBack(claims: readonly Claim[]): void {
    this.#running -= 1;
    for (const { key } of claims) add(this.#runningBy, key, -1);
    this.#admitWaiting();
    if (this.#running === 0) for (const listener of this.#idleListeners) listener();
  }

  #admitWaiting(): void {
    while (this.#running < this.#runningMax) {
      const next = this.#next();
      if (next === undefined) return;
      next.admit();
    }
  }

  #next(): Waiter | undefined {
    let next: Waiter | undefined;
    for (const waiter of this.#waiters) {
      const isSooner = next === undefined || this.#runningFirst(waiter) < this.#runningFirst(next);
      if (isSooner && this.#hasRoom(waiter.claims)) next = waiter;
    }
    return next;
  }

  #runningFirst({ claims }: Entering): number {
    return this.runningOf(claims[0]?.key ?? '');
  }

  #wait(entering: Entering): Promise<void> {
    const { claims, signal } = entering;
    const { waitingMax, waitingPerClaimMax } = this.#limits;
    const waitMs = entering.waitMs ?? this.#limits.waitMs;
    const key = claims[0]?.key ?? '';
    const waiting = this.#waitingBy.get(key) ?? 0;
    if (this.#waiters.size >= waitingMax || waiting >= waitingPerClaimMax) throw busy('queue is full');
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        cancel();
        stopTelling();
        signal.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
        add(this.#waitingBy, key, -1);
      };
      const waiter: Waiter = {
        ...entering,
        admit: () => {
          leave();
          this.#take(claims);
          resolve();
        },
        refuse: (fault) => {
          leave();
          reject(fault);
        },
      };
      const onAbort = (): void => {
        waiter.refuse(gone(signal));
      };
      const cancel = this.#clock.after(waitMs, () => {
        waiter.refuse(busy('waited too long'));
      });
      const stopTelling = this.#telling(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      add(this.#waitingBy, key, 1);
    });
  }

  /** Returns what ends it. */
  #telling(waiter: Waiter): () => void {
    const { tell } = waiter;
    if (tell === undefined) return () => {};
    const begunMs = this.#clock.monotonicMs();
    const word = (): void => {
      tell({ ahead: this.#aheadOf(waiter), waitedMs: this.#clock.monotonicMs() - begunMs });
      cancel = this.#clock.after(NEXT_WORD_MS, word);
    };
    let cancel = this.#clock.after(FIRST_WORD_MS, word);
    return () => {
      cancel();
    };
  }

  #aheadOf(waiter: Waiter): number {
    const own = this.#runningFirst(waiter);
    let ahead = 0;
    let isBefore = true;
    for (const other of this.#waiters) {
      if (other === waiter) isBefore = false;
      else if (this.#runningFirst(other) < own + Number(isBefore)) ahead += 1;
    }
    return ahead;
  }
}

/** One line for the person who waits. */
export function waitingWords({ ahead, waitedMs }: Waiting): string {
  const seconds = Math.round(waitedMs / 1_000);
  const queue = ahead === 0 ? 'you are next' : `${ahead} ${ahead === 1 ? 'waits' : 'wait'} before you`;
  return `the server is busy: waiting for a place since ${seconds} s, ${queue}\n`;
}

function busy(why: string): Fault {
  return new Fault('busy', 'no place for the request', {
    context: { why },
    publicMessage: 'the server is busy: try again later',
  });
}

function gone(signal: AbortSignal): Fault {
  return new Fault('aborted', 'client went away while waiting', { cause: signal.reason });
}

/** Counts in a map that holds no zeros, so that it stays as small as what runs. */
function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
