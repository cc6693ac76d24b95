/**
 * Counts of a counter with two labels, kept where adding is two look-ups: prom-client checks and hashes the labels at each
 * step, which costs a short request more than some of its own work. The counter gets them when somebody looks.
 */
import type { Counter } from 'prom-client';

export class Tally<First extends string, Second extends string> {
  readonly #labels: readonly [First, Second];
  /** By the first label's value, then by the second's: a closed set of words each. */
  readonly #counts = new Map<string, Map<string, number>>();

  constructor(first: First, second: Second) {
    this.#labels = [first, second];
  }

  add(first: string, second: string, count: number): void {
    let counts = this.#counts.get(first);
    if (counts === undefined) this.#counts.set(first, (counts = new Map()));
    counts.set(second, (counts.get(second) ?? 0) + count);
  }

  /** Hands over what came since the last time. */
  pour(into: Counter<First | Second>): void {
    const [first, second] = this.#labels;
    for (const [one, counts] of this.#counts) {
      for (const [other, count] of counts) {
        into.inc({ [first]: one, [second]: other } as Record<First | Second, string>, count);
        counts.set(other, 0);
      }
    }
  }
}
