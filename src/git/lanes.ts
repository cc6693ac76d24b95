/** A bound on what runs at once: so many run, so many wait in order, the rest is told to come back. */
import { Fault } from '../base/fault.ts';

export class Lane {
  readonly #runningMax: number;
  readonly #waitingMax: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(runningMax: number, waitingMax: number) {
    this.#runningMax = runningMax;
    this.#waitingMax = waitingMax;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * A place; call what it returns once to give it back.
   * @throws Fault `busy` where the queue is full, `aborted` where `signal` is aborted before its turn.
   */
  async enter(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted === true) throw new Fault('aborted', 'wait was aborted', { cause: signal.reason });
    if (this.#running >= this.#runningMax) await this.#turn(signal);
    else this.#running += 1;
    let held = true;
    return () => {
      if (held) this.#leave();
      held = false;
    };
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) {
      throw new Fault('busy', 'too many processes wait', { publicMessage: 'the server is busy, try again later' });
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(onTurn);
        reject(new Fault('aborted', 'wait was aborted', { cause: signal?.reason }));
      };
      const onTurn = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#waiting.add(onTurn);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** The place goes to the first who waits, if anybody does: `#running` stays. */
  #leave(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(first);
    first();
  }
}
