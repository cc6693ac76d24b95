/**
 * An automaton as a table: sets of its states are rows, kinds of characters are columns, filled in as texts ask. A text
 * then costs one look-up a character. What a table cannot tell (assertions about neighbours, characters outside ASCII,
 * newlines, more rows than its budget) it leaves to the walk, which is never slower than its bound.
 */
import type { Meter } from '../meter.ts';
import { ASSERT, AT_END, AT_START, MATCH, SET, SPLIT, type Columns } from './columns.ts';

const CODES = 128;
const NEWLINE = 10;

/** Cells and members of all rows, in proportion to the states: whoever bounds these bounds the tables as well. */
const BUDGET_PER_STATE = 16;
const BUDGET_MIN = 1_024;

/** A larger automaton is only walked: its first row alone would take too long. */
const STATES_MAX = 512;

const UNKNOWN = -1;

interface Row {
  /** States that wait for a character. */
  readonly members: readonly number[];
  readonly fate: number;
}

/** What is known about a text once a row is reached. */
const MATCHED = 1;
const MATCHED_AT_END = 2;
const DEAD = 4;

export class StateTable {
  readonly #columns: Columns;
  /** For each code below 128 its kind: codes that all sets treat alike are one. */
  #kinds: Uint8Array | undefined;
  #kindCount = 0;
  #codeOfKind: number[] = [];
  #cells = new Int16Array(0);
  readonly #rows: Row[] = [];
  readonly #rowOf = new Map<string, number>();
  #budget: number;

  private constructor(columns: Columns) {
    this.#columns = columns;
    this.#budget = Math.max(BUDGET_MIN, BUDGET_PER_STATE * columns.ops.length);
  }

  /** Undefined: the automaton has none. */
  static of(columns: Columns): StateTable | undefined {
    return columns.ops.includes(ASSERT) || columns.ops.length > STATES_MAX ? undefined : new StateTable(columns);
  }

  /** Undefined: the walk has to tell. */
  find(text: string, meter: Meter): boolean | undefined {
    const kinds = this.#kinds ?? this.#begin();
    let row = 0;
    for (let index = 0; index < text.length; index += 1) {
      const fate = this.#rows[row]?.fate ?? 0;
      if ((fate & (MATCHED | DEAD)) !== 0) return meter.spend(index + 1) && (fate & MATCHED) !== 0;
      const code = text.charCodeAt(index);
      if (code >= CODES || code === NEWLINE) return undefined;
      const kind = kinds[code] ?? 0;
      const known = this.#cells[row * this.#kindCount + kind] ?? UNKNOWN;
      row = known === UNKNOWN ? this.#fill(row, kind, meter) : known;
      if (row === UNKNOWN) return undefined;
    }
    return meter.spend(text.length + 1) && ((this.#rows[row]?.fate ?? 0) & (MATCHED | MATCHED_AT_END)) !== 0;
  }

  #begin(): Uint8Array {
    const { start, sets } = this.#columns;
    const known = [...new Set(sets)].filter((has) => has !== undefined);
    const kindOf = new Map<string, number>();
    const kinds = new Uint8Array(CODES);
    for (let code = 0; code < CODES; code += 1) {
      const key = known.map((has) => (has(code) ? '1' : '0')).join('');
      const kind = kindOf.get(key) ?? kindOf.size;
      if (kind === kindOf.size) this.#codeOfKind.push(code);
      kindOf.set(key, kind);
      kinds[code] = kind;
    }
    this.#kindCount = kindOf.size;
    this.#kinds = kinds;
    this.#row([start], true);
    return kinds;
  }

  /** The row behind a character of this kind; `UNKNOWN`: there is no room for it. */
  #fill(row: number, kind: number, meter: Meter): number {
    const { start, isAnchored, sets, next } = this.#columns;
    const { members } = this.#rows[row] ?? { members: [] };
    if (!meter.spend(this.#columns.ops.length)) return UNKNOWN;
    const code = this.#codeOfKind[kind] ?? 0;
    const kernel = isAnchored ? [] : [start];
    for (const at of members) if (sets[at]?.(code) === true) kernel.push(next[at] ?? 0);
    const to = this.#row(kernel, false);
    if (to !== UNKNOWN) this.#cells[row * this.#kindCount + kind] = to;
    return to;
  }

  #row(kernel: readonly number[], isAtStart: boolean): number {
    const row = reach(this.#columns, kernel, isAtStart);
    const key = `${row.fate} ${row.members.join(' ')}`;
    const known = this.#rowOf.get(key);
    if (known !== undefined) return known;
    const cost = this.#kindCount + row.members.length;
    if (cost > this.#budget) return UNKNOWN;
    this.#budget -= cost;
    const at = this.#rows.push(row) - 1;
    this.#rowOf.set(key, at);
    this.#makeRoom();
    return at;
  }

  #makeRoom(): void {
    const needed = this.#rows.length * this.#kindCount;
    if (needed <= this.#cells.length) return;
    const cells = new Int16Array(2 * needed).fill(UNKNOWN);
    cells.set(this.#cells);
    this.#cells = cells;
  }
}

/** What is reached from the kernel without a character, in the middle of a text and at its end. */
function reach(columns: Columns, kernel: readonly number[], isAtStart: boolean): Row {
  const { ops, next, other, isAnchored } = columns;
  const seen = new Set<number>();
  const members: number[] = [];
  const atEnd: number[] = [];
  const walk = (from: readonly number[], isAtEnd: boolean): boolean => {
    const stack = [...from];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      const op = ops[at] ?? MATCH;
      if (op === MATCH) return true;
      if (op === SET) {
        if (!isAtEnd) members.push(at);
      } else if (op === SPLIT) stack.push(other[at] ?? 0, next[at] ?? 0);
      else if (op === AT_START ? isAtStart : isAtEnd) stack.push(next[at] ?? 0);
      else if (op === AT_END) atEnd.push(next[at] ?? 0);
    }
    return false;
  };
  if (walk(kernel, false)) return { members: [], fate: MATCHED };
  const fate = walk(atEnd, true) ? MATCHED_AT_END : 0;
  members.sort((a, b) => a - b);
  // Where an end is asked for it is not dead, whatever follows that: a newline may come, which is for the walk to judge.
  return { members, fate: isAnchored && members.length === 0 && atEnd.length === 0 ? DEAD : fate };
}
