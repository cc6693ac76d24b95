/** Chance that can be had again: the same seed gives the same pushes. */

export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to 2^32 - 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let word = this.#state;
    word = Math.imul(word ^ (word >>> 15), word | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return (word ^ (word >>> 14)) >>> 0;
  }

  /** 0 to `end` - 1. */
  below(end: number): number {
    return this.next() % Math.max(1, end);
  }

  is(probability: number): boolean {
    return this.next() / 2 ** 32 < probability;
  }

  of<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new RangeError('nothing to choose from');
    return found;
  }

  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let at = copy.length - 1; at > 0; at -= 1) {
      const other = this.below(at + 1);
      const [one, two] = [copy[at], copy[other]];
      if (one !== undefined && two !== undefined) [copy[at], copy[other]] = [two, one];
    }
    return copy;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.next() & 0xff));
  }

  word(): string {
    return `${this.of(['alpha', 'beta', 'gamma', 'delta', 'omega', 'x', 'lib', 'src', 'é', 'read me'])}${this.below(40)}`;
  }
}
