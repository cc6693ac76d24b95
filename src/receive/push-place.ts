/**
 * The place of one push among what costs much: taken when its pack is here, or early where one is free; given back before
 * the push waits for its repository's turn, for people, or for its client.
 */
import type { WaitingFor, WorkGate } from '../git/service.ts';

export class PushPlace implements Disposable {
  readonly #gate: WorkGate;
  readonly #about: WaitingFor;
  #held: Disposable | undefined;

  constructor(gate: WorkGate, about: WaitingFor) {
    this.#gate = gate;
    this.#about = about;
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

  giveBack(): void {
    const held = this.#held;
    this.#held = undefined;
    held?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.giveBack();
  }
}
