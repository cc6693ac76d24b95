/**
 * Admission: how many requests run at once, overall and for each principal or anonymous address. What finds
 * no place waits in a bounded queue until a deadline; at shutdown the queue is emptied and what runs drains.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
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

interface Waiter {
  readonly who: Who;
  readonly admit: () => void;
  readonly refuse: (fault: Fault) => void;
}

/** Whose budget a request uses. */
interface Who {
  readonly key: string;
  readonly anonymous: boolean;
}

export class Admission {
  readonly #clock: Clock;
  readonly #limits: AdmissionLimits;
  readonly #ending = new AbortController();
  readonly #runningBy = new Map<string, number>();
  readonly #waitingBy = new Map<string, number>();
  readonly #waiters = new Set<Waiter>();
  readonly #idleListeners = new Set<() => void>();
  #running = 0;
  #anonymous = 0;
  #draining = false;

  constructor(options: { readonly clock: Clock; readonly limits?: Partial<AdmissionLimits> }) {
    this.#clock = options.clock;
    this.#limits = { ...ADMISSION_LIMITS, ...options.limits };
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /**
   * A place for this request, at once or after a wait.
   * @throws Fault 'busy' when the queue is full, the wait is over or the gate is closing; 'aborted' when the
   * client goes away while it waits.
   */
  async enter(origin: RequestOrigin, signal: AbortSignal): Promise<Place> {
    if (this.#draining) throw closing();
    if (signal.aborted) throw gone(signal);
    const who = whoOf(origin);
    // The local administrator must get in when the house is full: that is when it is needed.
    if (origin.transport !== 'local' && !this.#hasRoom(who)) await this.#wait(who, signal);
    else this.#take(who);
    let left = false;
    return {
      signal: AbortSignal.any([signal, this.#ending.signal]),
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        this.#giveBack(who);
      },
    };
  }

  /** No new requests; running ones get `ms` milliseconds, then they are aborted. Resolves when none runs. */
  async drain(ms: number): Promise<void> {
    this.#draining = true;
    for (const waiter of this.#waiters) waiter.refuse(closing());
    if (await this.#idle(ms)) return;
    this.#ending.abort(new Fault('aborted', 'drain is over', { publicMessage: CLOSING }));
    await this.#idle(BOUNDS.abortGraceMs);
  }

  /** Resolves true when nothing runs, false after `ms`. */
  #idle(ms: number): Promise<boolean> {
    if (this.#running === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = (idle: boolean): void => {
        cancel();
        this.#idleListeners.delete(listener);
        resolve(idle);
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

  #hasRoom(who: Who): boolean {
    const { runningMax, perPrincipalMax, anonymousMax, perAddressMax } = this.#limits;
    if (this.#running >= runningMax) return false;
    if (who.anonymous && this.#anonymous >= anonymousMax) return false;
    return (this.#runningBy.get(who.key) ?? 0) < (who.anonymous ? perAddressMax : perPrincipalMax);
  }

  #take(who: Who): void {
    this.#running += 1;
    if (who.anonymous) this.#anonymous += 1;
    add(this.#runningBy, who.key, 1);
  }

  #giveBack(who: Who): void {
    this.#running -= 1;
    if (who.anonymous) this.#anonymous -= 1;
    add(this.#runningBy, who.key, -1);
    // First come, first served, but nobody waits behind one whose own budget is used up.
    for (const waiter of this.#waiters) {
      if (this.#running >= this.#limits.runningMax) break;
      if (this.#hasRoom(waiter.who)) waiter.admit();
    }
    if (this.#running === 0) for (const listener of this.#idleListeners) listener();
  }

  #wait(who: Who, signal: AbortSignal): Promise<void> {
    const { waitingMax, waitingPerPrincipalMax, waitMs } = this.#limits;
    const waiting = this.#waitingBy.get(who.key) ?? 0;
    if (this.#waiters.size >= waitingMax || waiting >= waitingPerPrincipalMax) throw busy('queue is full');
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
        add(this.#waitingBy, who.key, -1);
      };
      const waiter: Waiter = {
        who,
        admit: () => {
          leave();
          this.#take(who);
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
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      add(this.#waitingBy, who.key, 1);
    });
  }
}

const CLOSING = 'the server is shutting down: try again shortly';

function whoOf(origin: RequestOrigin): Who {
  const anonymous = origin.principal.kind === 'anonymous';
  return origin.principal.kind === 'anonymous'
    ? { key: `address ${origin.address}`, anonymous }
    : { key: `user ${origin.principal.name}`, anonymous };
}

function busy(why: string): Fault {
  return new Fault('busy', 'no place for the request', {
    context: { why },
    publicMessage: 'the server is busy: try again later',
  });
}

function closing(): Fault {
  return new Fault('busy', 'gate is closing', { publicMessage: CLOSING });
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
