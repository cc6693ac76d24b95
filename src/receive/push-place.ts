/**
 * The place of one push among what costs much: taken when its pack is here, or early where one is free; given back before
 * the push waits for its repository's turn, for people, or for its client.
 */
import type { Clock } from '../base/clock.ts';
import { Lease } from '../base/lease.ts';
import type { WaitingFor, WorkGate } from '../git/service.ts';

/** How long a program of somebody else's may run in a place, in milliseconds: longer than most do. */
const OTHERS_MS = 1_000;

export class PushPlace extends Lease {
  readonly #gate: WorkGate;
  readonly #about: WaitingFor;
  readonly #clock: Pick<Clock, 'after'>;

  constructor(gate: WorkGate, about: WaitingFor, clock: Pick<Clock, 'after'>) {
    super();
    this.#gate = gate;
    this.#about = about;
    this.#clock = clock;
  }

  /** True where it is held from here on. @throws Fault `busy` where the gate closes. */
  takeIfFree(): boolean {
    if (!this.isHeld) this.hold(this.#gate.ifFree?.());
    return this.isHeld;
  }

  /** Held when it resolves; waits for it where it is not yet. @throws Fault `busy`, `aborted`. */
  async take(): Promise<void> {
    if (!this.isHeld) this.hold(await this.#gate(this.#about));
  }

  /**
   * Runs what may itself wait for a place here: a site's program that fetches from this gate or pushes to it. Where it takes
   * long, others get this one meanwhile. Held again when it is over, if it was before. @throws Fault as `take`.
   */
  async beside<T>(work: () => Promise<T>): Promise<T> {
    if (!this.isHeld) return work();
    const cancel = this.#clock.after(OTHERS_MS, () => this.giveBack());
    try {
      return await work();
    } finally {
      cancel();
      // Where it failed, too: a push may have more than that to be judged by.
      await this.take();
    }
  }
}
