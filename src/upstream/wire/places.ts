/** How many calls talk to one upstream at the same time; the others wait in line, up to a bound. */
import { Fault } from '../../base/fault.ts';
import type { Call } from './call.ts';
import { unlessAborted } from './socket.ts';

export class Places {
  readonly #waitingMax: number;
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(places: number, waitingMax: number) {
    this.#free = places;
    this.#waitingMax = waitingMax;
  }

  /** Takes a place until the call is over. @throws Fault `busy` where too many wait; `aborted`, `timeout`. */
  async take(call: Call): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(call);
    call.defer(() => {
      this.#giveBack();
    });
  }

  async #wait(call: Call): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) {
      const publicMessage = `too many requests to the upstream ${call.words.label} at once: try again later`;
      throw new Fault('busy', 'too many calls to upstream', { publicMessage });
    }
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const turn = (): void => {
      resolve(undefined);
    };
    this.#waiting.add(turn);
    try {
      await unlessAborted(call.signal, promise);
    } catch (error) {
      // Its turn may have come in the same moment.
      if (!this.#waiting.delete(turn)) this.#giveBack();
      throw call.translate(error);
    }
  }

  /** To the one that has waited longest. */
  #giveBack(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
