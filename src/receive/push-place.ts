/**
 * The place of one push among what costs much: taken when its pack is here, or early where one is free; given back before
 * the push waits for its repository's turn, for people, or for its client.
 */
import type { Clock } from '../base/clock.ts';
import type { WaitingFor, WorkGate } from '../git/service.ts';

/** How long a program of somebody else's may run in a place, in milliseconds: longer than most do. */
const OTHERS_MS = 1_000;

export class PushPlace implements Disposable {
  readonly #gate: WorkGate;
  readonly #about: WaitingFor;
  readonly #clock: Pick<Clock, 'after'>;
  #held: Disposable | undefined;

  constructor(gate: WorkGate, about: WaitingFor, clock: Pick<Clock, 'after'>) {
    this.#gate = gate;
    this.#about = about;
    this.#clock = clock;
  }

  /** True where it is held from here on. @throws Fault `busy` where the gate closes. */
  takeIfFree(): boolean {
    this.#held ??= this.#gate.ifFree?.();
    return this.#held !== undefined;
  }

  /** Held when it resolves; waits for it where it is not yet. @throws Fault `busy`, `aborted`. */
  async take(): Promise<void> {
    this.#held ??= await this.#gate(this.#about);
  }

  /**
   * Runs what may itself wait for a place here: a site's program that fetches from this gate or pushes to it. Where it takes
   * long, others get this one meanwhile. Held again when it is over, if it was before. @throws Fault as `take`.
   */
  async beside<T>(work: () => Promise<T>): Promise<T> {
    if (this.#held === undefined) return work();
    const cancel = this.#clock.after(OTHERS_MS, () => this.giveBack());
    try {
      return await work();
    } finally {
      cancel();
      // Where it failed, too: a push may have more than that to be judged by.
      await this.take();
    }
  }

  giveBack(): void {
    const held = this.#held;
    this.#held = undefined;
    held?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.giveBack();
  }
}
