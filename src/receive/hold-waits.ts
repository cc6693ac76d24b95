/** Clients that wait for the decision about their held push (`-o wait=5m`). They hold no lock and no turn, only a connection. */
import type { Clock } from '../base/clock.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { formatDuration, parseDuration } from '../base/units.ts';
import type { HeldPush } from './hold-record.ts';

export interface WaitLimits {
  readonly waitMs: number;
  readonly waitingMax: number;
}

const OPTION = /^wait(?:=(.*))?$/s;

export class HoldWaits {
  readonly #clock: Clock;
  readonly #limits: WaitLimits;
  readonly #waiting = new Map<string, Set<(held: HeldPush | undefined) => void>>();
  #count = 0;
  #isStopped = false;

  constructor(clock: Clock, limits: WaitLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** How long this push wants to wait, in milliseconds; 0: not at all. Longer than allowed is cut. */
  wanted(options: readonly string[]): Parsed<number> {
    const match = options.map((option) => OPTION.exec(option)).find((found) => found !== null);
    if (match === undefined) return ok(0);
    const wanted = match[1] === undefined ? ok(this.#limits.waitMs) : parseDuration(match[1]);
    if (wanted.kind === 'refused') return refuse(`-o wait=TIME: ${wanted.reason}`);
    return ok(Math.min(wanted.value, this.#limits.waitMs));
  }

  /** `15min`: the longest wait. */
  get longest(): string {
    return formatDuration(this.#limits.waitMs);
  }

  /**
   * The record once it is decided; undefined: the time is over, the signal was aborted, or too many wait already. Begin
   * before the record can be decided, or `decidedBefore` says what was missed.
   */
  async until(options: {
    readonly id: string;
    readonly ms: number;
    readonly signal: AbortSignal;
    readonly decidedBefore: () => Promise<HeldPush | undefined>;
  }): Promise<HeldPush | undefined> {
    const { id, ms, signal, decidedBefore } = options;
    if (this.#isStopped || ms <= 0 || signal.aborted || this.#count >= this.#limits.waitingMax) return undefined;
    const { promise, resolve } = Promise.withResolvers<HeldPush | undefined>();
    const stop = (): void => resolve(undefined);
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(resolve));
    this.#count += 1;
    const cancel = this.#clock.after(ms, stop);
    signal.addEventListener('abort', stop);
    try {
      return (await decidedBefore()) ?? (await promise);
    } finally {
      cancel();
      signal.removeEventListener('abort', stop);
      waiters.delete(resolve);
      if (waiters.size === 0) this.#waiting.delete(id);
      this.#count -= 1;
    }
  }

  /** The gate closes: everybody hears that nothing is decided yet, and nobody waits any more. */
  stop(): void {
    this.#isStopped = true;
    for (const waiters of this.#waiting.values()) for (const resolve of waiters) resolve(undefined);
  }

  tell(held: HeldPush): void {
    for (const resolve of this.#waiting.get(held.id) ?? []) resolve(held);
  }
}
