/** Chance that a seed repeats. */

export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to `below - 1` (mulberry32). */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  /** True `percent` times in a hundred. */
  is(percent: number): boolean {
    return this.int(100) < percent;
  }

  one<T>(from: readonly [T, ...T[]]): T {
    return from[this.int(from.length)] ?? from[0];
  }

  some<T>(from: readonly [T, ...T[]], most: number): T[] {
    return Array.from({ length: 1 + this.int(most) }, () => this.one(from));
  }
}
