/** The place in which what a client asks for is proved: others get it while somebody else's walk is waited for. */
import type { WaitingFor, WorkGate } from '../git/service.ts';

/** For a place to walk in, where it cannot be told without. */
export interface WalkPlaces {
  /** Absent: nobody has to wait for one. */
  readonly work?: Pick<WorkGate, 'walk'> | undefined;
  readonly tell?: WaitingFor['tell'];
}

export class WalkPlace implements Disposable {
  readonly #about: WalkPlaces & Pick<WaitingFor, 'signal'>;
  #held: Disposable | undefined;

  constructor(about: WalkPlaces & Pick<WaitingFor, 'signal'>) {
    this.#about = about;
  }

  /** Held when it resolves. @throws Fault `busy`, `aborted`. */
  async take(): Promise<void> {
    const { work, signal, tell } = this.#about;
    this.#held ??= await work?.walk?.({ signal, tell });
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
