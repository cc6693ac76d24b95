/** The step budget of one decision: rules come from repository owners too, and may not stop the gate. */

/** Steps of pattern matching and list entries looked at in one decision: some tens of milliseconds. */
export const DECISION_STEPS_MAX = 5_000_000;

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
