/** The step budget of one decision: rules come from repository owners too, and may not stop the gate. */
import type { Question } from './decision.ts';

/** Steps of pattern matching and list entries looked at in one decision: some 50 ms. */
export const DECISION_STEPS_MAX = 1_500_000;

/** More for each path that a push changes, up to this much in all: some 300 ms for 60,000 paths. */
export const PATH_STEPS = 150;
export const PUSH_STEPS_MAX = 10_000_000;

/**
 * Questions asked together (each ref of a push, each ref or repository of a list) share a purse where repositories have
 * rules of their own: without it fifty thousand refs, each at the price of the worst decision, would keep the gate busy
 * for an hour. Some 300 ms to start with, and for each question more than an honest rule needs.
 */
export const PURSE_STEPS = 10_000_000;
export const QUESTION_STEPS = 5_000;

export class Purse {
  #left = PURSE_STEPS;

  /** For one more question. */
  fill(steps: number): void {
    this.#left = Math.min(Math.max(this.#left, 0) + steps, PURSE_STEPS);
  }

  spend(steps: number): boolean {
    this.#left -= steps;
    return this.#left >= 0;
  }
}

export class Meter {
  readonly #purse: Purse | undefined;
  #left: number;
  #isSpent = false;

  constructor(steps: number = DECISION_STEPS_MAX, purse?: Purse) {
    this.#left = steps;
    this.#purse = purse;
  }

  /** Takes `steps`; false once the budget is gone, and for ever after. */
  spend(steps: number): boolean {
    this.#left -= steps;
    if (this.#left < 0 || this.#purse?.spend(steps) === false) this.#isSpent = true;
    return !this.#isSpent;
  }

  get isSpent(): boolean {
    return this.#isSpent;
  }
}

const PURSES = new WeakMap<object, Purse>();

/** The budget for deciding; `alone` for looking at one decision again, which takes nothing from the others. */
export function meterFor(question: Question, { alone = false }: { readonly alone?: boolean } = {}): Meter {
  const changed = question.ref?.changed;
  const paths =
    changed === undefined
      ? 0
      : changed.added.length + changed.deleted.length + changed.modified.length + changed.renamed.length;
  const steps = paths === 0 ? DECISION_STEPS_MAX : Math.min(DECISION_STEPS_MAX + PATH_STEPS * paths, PUSH_STEPS_MAX);
  const { together } = question;
  // The site's rules are its administrators' own; only what owners write is held to this.
  if (alone || together === undefined || question.repository?.rules === undefined) return new Meter(steps);
  const purse = PURSES.get(together) ?? new Purse();
  PURSES.set(together, purse);
  purse.fill(QUESTION_STEPS + PATH_STEPS * paths);
  return new Meter(steps, purse);
}
