/** Matching: by the table of the automaton where it has one that answers, else by walking sets of its states. */
import type { Meter } from '../meter.ts';
import { MATCH, SET, SPLIT, type Columns } from './columns.ts';
import { StateTable } from './state-table.ts';
import type { View } from './views.ts';

export class Automaton {
  readonly #columns: Columns;
  readonly #table: StateTable | undefined;
  #walk: Walk | undefined;

  readonly #view: View;

  /** @param view which leaves ASCII as it is. */
  constructor(columns: Columns, view: View) {
    this.#columns = columns;
    this.#table = StateTable.of(columns);
    this.#view = view;
  }

  get size(): number {
    return this.#columns.ops.length;
  }

  /** Whether the pattern matches anywhere in `text`; false too where the meter is spent. */
  find(text: string, meter: Meter): boolean {
    const known = this.#table?.find(text, meter);
    if (known !== undefined) return known;
    this.#walk ??= new Walk(this.#columns);
    return this.#walk.find(this.#view(text), meter);
  }
}

/** States by generation, so that clearing the set costs nothing. */
class StateSet {
  readonly members: Int32Array;
  readonly #seen: Int32Array;
  #generation = 0;
  size = 0;

  constructor(count: number) {
    this.members = new Int32Array(count);
    this.#seen = new Int32Array(count);
  }

  clear(): void {
    this.#generation += 1;
    this.size = 0;
  }

  /** False where it was there already. */
  mark(state: number): boolean {
    if (this.#seen[state] === this.#generation) return false;
    this.#seen[state] = this.#generation;
    return true;
  }

  push(state: number): void {
    this.members[this.size] = state;
    this.size += 1;
  }
}

class Walk {
  readonly #columns: Columns;
  readonly #stack: Int32Array;
  #now: StateSet;
  #then: StateSet;
  /** States looked at since the meter was last told. */
  #steps = 0;

  constructor(columns: Columns) {
    const count = columns.ops.length;
    this.#columns = columns;
    // Each state is pushed at most once by each of two others that were not seen before it.
    this.#stack = new Int32Array(2 * count + 2);
    this.#now = new StateSet(count);
    this.#then = new StateSet(count);
  }

  find(text: string, meter: Meter): boolean {
    const { start, isAnchored } = this.#columns;
    this.#now.clear();
    for (let index = 0; index <= text.length; index += 1) {
      if ((index === 0 || !isAnchored) && this.#enter(this.#now, start, text, index)) return true;
      if (!meter.spend(this.#steps + 1)) return false;
      this.#steps = 0;
      if (index === text.length || (isAnchored && this.#now.size === 0)) return false;
      if (this.#read(text, index)) return true;
      [this.#now, this.#then] = [this.#then, this.#now];
    }
    return false;
  }

  /** From the states before the character at `index` to those behind it. */
  #read(text: string, index: number): boolean {
    const { sets, next } = this.#columns;
    const code = text.charCodeAt(index);
    this.#then.clear();
    for (let i = 0; i < this.#now.size; i += 1) {
      const at = this.#now.members[i] ?? 0;
      if (sets[at]?.(code) === true && this.#enter(this.#then, next[at] ?? 0, text, index + 1)) return true;
    }
    return false;
  }

  /** Adds what is reached without reading a character. True: that includes the match. */
  #enter(set: StateSet, from: number, text: string, index: number): boolean {
    const { ops, next, other, assertions } = this.#columns;
    const stack = this.#stack;
    let depth = 1;
    stack[0] = from;
    while (depth > 0) {
      depth -= 1;
      const at = stack[depth] ?? 0;
      this.#steps += 1;
      if (!set.mark(at)) continue;
      switch (ops[at] ?? MATCH) {
        case MATCH:
          return true;
        case SET:
          set.push(at);
          break;
        case SPLIT:
          stack[depth] = other[at] ?? 0;
          stack[depth + 1] = next[at] ?? 0;
          depth += 2;
          break;
        default:
          if (assertions[at]?.(text, index) === true) stack[depth++] = next[at] ?? 0;
      }
    }
    return false;
  }
}
