/** The place in which what a client asks for is proved: others get it while somebody else's walk is waited for. */
import { Lease } from '../base/lease.ts';
import type { WaitingFor, WorkGate } from '../git/service.ts';

/** For a place to walk in, where it cannot be told without. */
export interface WalkPlaces {
  /** Absent: nobody has to wait for one. */
  readonly work?: Pick<WorkGate, 'walk'> | undefined;
  readonly tell?: WaitingFor['tell'];
}

export class WalkPlace extends Lease {
  readonly #about: WalkPlaces & Pick<WaitingFor, 'signal'>;

  constructor(about: WalkPlaces & Pick<WaitingFor, 'signal'>) {
    super();
    this.#about = about;
  }

  /** Held when it resolves. @throws Fault `busy`, `aborted`. */
  async take(): Promise<void> {
    const { work, signal, tell } = this.#about;
    if (!this.isHeld) this.hold(await work?.walk?.({ signal, tell }));
  }
}
