/**
 * One refresh at a time for all who wait for one. A caller is to see a state of the upstream that is not older than its
 * own arrival, and nobody can tell at which moment the upstream looked between our question and its answer. So the rule
 * is: join the flight under way while its question has not been sent; else wait for the one next flight, which all later
 * arrivals share. However many come at once, at most two questions are asked.
 */
import { Fault } from '../base/fault.ts';

export interface Waiting {
  readonly requestId: string;
  /** Aborted when this caller is gone. The flight goes on for the others, and ends with the last. */
  readonly signal: AbortSignal;
  /** Progress in words. */
  readonly tell?: ((text: string) => void) | undefined;
}

export interface Flight {
  /** Of the caller that it was started for. */
  readonly requestId: string;
  /** Aborted when nobody waits any more, or the owner ends it. */
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
  /** To be called right before the upstream is asked: who comes later may need a newer answer. */
  readonly onAsk: () => void;
}

interface Waiter extends Waiting {
  resolve(): void;
  reject(error: unknown): void;
}

class Party {
  readonly waiters = new Set<Waiter>();
  readonly over = new AbortController();
  isAsked = false;
}

export class Flights {
  readonly #fly: (flight: Flight) => Promise<void>;
  #current: Party | undefined;
  #next: Party | undefined;

  constructor(fly: (flight: Flight) => Promise<void>) {
    this.#fly = fly;
  }

  /** Resolves once the upstream was asked after this call and what it said is here. Rejects as the flight does, or Fault `aborted`. */
  join(waiting: Waiting): Promise<void> {
    if (waiting.signal.aborted) return Promise.reject(gone(waiting.signal.reason));
    const current = this.#current;
    if (current === undefined) {
      const party = new Party();
      const joined = this.#board(party, waiting);
      this.#start(party, waiting.requestId);
      return joined;
    }
    if (!current.isAsked && !current.over.signal.aborted) return this.#board(current, waiting);
    this.#next ??= new Party();
    return this.#board(this.#next, waiting);
  }

  /** Ends what is under way; who waits reads why. */
  abort(reason: Fault): void {
    for (const party of [this.#next, this.#current]) {
      if (party === undefined) continue;
      party.over.abort(reason);
      settle(party, (waiter) => waiter.reject(reason));
    }
    this.#next = undefined;
  }

  #board(party: Party, waiting: Waiting): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const leave = (): void => {
      waiting.signal.removeEventListener('abort', onAbort);
      party.waiters.delete(waiter);
    };
    const waiter: Waiter = {
      ...waiting,
      resolve: () => {
        leave();
        resolve(undefined);
      },
      reject: (error) => {
        leave();
        reject(error);
      },
    };
    const onAbort = (): void => {
      waiter.reject(gone(waiting.signal.reason));
      if (party.waiters.size === 0) party.over.abort(gone(waiting.signal.reason));
    };
    party.waiters.add(waiter);
    waiting.signal.addEventListener('abort', onAbort, { once: true });
    return promise;
  }

  #start(party: Party, requestId: string): void {
    this.#current = party;
    const flight: Flight = {
      requestId,
      signal: party.over.signal,
      tell: (text) => {
        for (const waiter of party.waiters) waiter.tell?.(text);
      },
      onAsk: () => {
        party.isAsked = true;
      },
    };
    void this.#carry(party, flight);
  }

  async #carry(party: Party, flight: Flight): Promise<void> {
    // In a turn of its own: callers of this very moment come along.
    await Promise.resolve();
    try {
      await this.#fly(flight);
      settle(party, (waiter) => waiter.resolve());
    } catch (error) {
      settle(party, (waiter) => waiter.reject(error));
    }
    this.#advance();
  }

  #advance(): void {
    const next = this.#next;
    this.#current = undefined;
    this.#next = undefined;
    const [first] = next?.waiters ?? [];
    // Everybody who waited for it may be gone by now.
    if (next !== undefined && first !== undefined) this.#start(next, first.requestId);
  }
}

function settle(party: Party, how: (waiter: Waiter) => void): void {
  // A waiter that is told leaves: a set may lose members while it is walked.
  for (const waiter of party.waiters) how(waiter);
}

function gone(cause: unknown): Fault {
  return new Fault('aborted', 'waiting for the upstream was given up', { cause });
}
