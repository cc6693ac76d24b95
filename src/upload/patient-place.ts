/**
 * A place for work, given back early where the client is what is waited for: git then stands still, costs no processor time,
 * and somebody else can work. Where an answer is kept that never happens: its maker waits for nobody.
 */
import type { Clock } from '../base/clock.ts';

/** For how long in all an answer may wait for its client with a place in hand, in milliseconds. */
export const PATIENCE_MS = 30_000;

/** A place for work that outlasts `PATIENCE_MS` of waiting for its client, and is given back then or at the end. */
export class PatientPlace implements Disposable {
  readonly #clock: Pick<Clock, 'after' | 'monotonicMs'>;
  #place: Disposable | undefined;
  #leftMs = PATIENCE_MS;
  #sinceMs = 0;
  #turns = 0;
  #cancel: () => void = () => {};

  constructor(place: Disposable | undefined, clock: Pick<Clock, 'after' | 'monotonicMs'>) {
    this.#place = place;
    this.#clock = clock;
  }

  /** From here on it is the client's turn; turns may overlap. */
  beginTurn(): void {
    this.#turns += 1;
    if (this.#turns > 1 || this.#place === undefined) return;
    this.#sinceMs = this.#clock.monotonicMs();
    this.#cancel = this.#clock.after(this.#leftMs, () => {
      this[Symbol.dispose]();
    });
  }

  endTurn(): void {
    this.#turns -= 1;
    if (this.#turns > 0 || this.#place === undefined) return;
    this.#cancel();
    this.#leftMs = Math.max(0, this.#leftMs - (this.#clock.monotonicMs() - this.#sinceMs));
  }

  /** A place that was given back early is not given back again. */
  [Symbol.dispose](): void {
    this.#cancel();
    const place = this.#place;
    this.#place = undefined;
    place?.[Symbol.dispose]();
  }
}
