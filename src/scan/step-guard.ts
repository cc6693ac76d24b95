/**
 * Runs matching with a bound on its time. A regex of V8's cannot be asked to stop, but V8 itself can be told to: `vm`
 * ends a script that runs too long, the regex in it included, and what was found before stays.
 */
import { Script } from 'node:vm';
import type { TextScan } from './text-scan.ts';

/** One look at a batch of texts, in ms: ordinary ones need a tenth of it. */
const STEP_MS = 400;
/** Interruptions with no rule at work (the machine was busy) that are forgiven in one step. */
const IDLE_INTERRUPTIONS_MAX = 20;

declare global {
  // The script below can reach nothing but globals.
  var gatehouseScanStep: (() => void) | undefined;
}

const script = new Script('globalThis.gatehouseScanStep()');

/** A text and the rules that were too slow for its item: found out here, kept by the item. */
export interface Guarded {
  readonly text: TextScan;
  readonly slow: Set<number>;
}

/**
 * Runs all patterns over what each text was fed. A rule that does not come to an end is run again by the engine that
 * is linear: slower, with the same result.
 * @throws Error where the time runs out again and again with nobody to blame.
 */
export function runGuarded(all: readonly Guarded[], stepMs = STEP_MS): void {
  let at = 0;
  let idle = 0;
  while (at < all.length) {
    globalThis.gatehouseScanStep = (): void => {
      for (; at < all.length; at += 1) all[at]?.text.evaluate(all[at]?.slow ?? new Set());
    };
    try {
      script.runInThisContext({ timeout: stepMs });
    } catch (error) {
      if (!isTimeout(error)) throw error;
      const rule = all[at]?.text.current;
      if (rule !== undefined) all[at]?.slow.add(rule.index);
      else if ((idle += 1) > IDLE_INTERRUPTIONS_MAX) throw error;
    } finally {
      globalThis.gatehouseScanStep = undefined;
    }
  }
  for (const { text, slow } of all) text.finish(slow);
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}
