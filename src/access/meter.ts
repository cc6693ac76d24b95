/** The step budget of one decision: rules come from repository owners too, and may not stop the gate. */
import type { Question } from './decision.ts';

/** Steps of pattern matching and list entries looked at in one decision: some 50 ms. */
export const DECISION_STEPS_MAX = 1_500_000;

/** More for each path that a push changes, up to this much in all: some 300 ms for 60,000 paths. */
export const PATH_STEPS = 150;
export const PUSH_STEPS_MAX = 10_000_000;

export class Meter {
  #left: number;

  constructor(steps: number = DECISION_STEPS_MAX) {
    this.#left = steps;
  }

  /** Takes `steps`; false once the budget is gone, and for ever after. */
  spend(steps: number): boolean {
    this.#left -= steps;
    return this.#left >= 0;
  }

  get isSpent(): boolean {
    return this.#left < 0;
  }
}

export function meterFor(question: Question): Meter {
  const changed = question.ref?.changed;
  if (changed === undefined) return new Meter();
  const paths = changed.added.length + changed.deleted.length + changed.modified.length + changed.renamed.length;
  return new Meter(Math.min(DECISION_STEPS_MAX + PATH_STEPS * paths, PUSH_STEPS_MAX));
}
