/**
 * Numbers of many short lists side by side in few large arrays: a decision about one of ten thousand repositories then waits
 * for memory once or twice, not for an object behind an object for each rule.
 */

/** In one array: some 256 KiB. An array goes when the last list in it goes. */
const CELLS = 64 * 1024;

export interface CellList {
  readonly cells: Int32Array;
  readonly start: number;
  readonly end: number;
}

export class RuleCells {
  #cells = new Int32Array(0);
  #used = 0;

  /** @param numbers fit in 32 bits. */
  add(numbers: readonly number[]): CellList {
    if (this.#used + numbers.length > this.#cells.length) {
      this.#cells = new Int32Array(Math.max(CELLS, numbers.length));
      this.#used = 0;
    }
    const start = this.#used;
    this.#cells.set(numbers, start);
    this.#used += numbers.length;
    return { cells: this.#cells, start, end: this.#used };
  }
}
