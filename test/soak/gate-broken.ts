/** Gates that are broken on purpose, and the rounds in which the checks have to catch them. */
import { join } from 'node:path';
import type { Scope } from '../support/workspace.ts';
import { runGateRounds, type Kind } from './gate-rounds.ts';

export const BROKEN_GATES = ['lease', 'reconcile'] as const;
export type BrokenGate = (typeof BROKEN_GATES)[number];

/** The kind of round that shows it. */
const SHOWN_BY: Readonly<Record<BrokenGate, Kind>> = {
  lease: 'somebody pushes upstream',
  reconcile: 'gate killed, upstream slow',
};
const ROUNDS_MAX = 8;

/** The problems that were found; none is the worst. */
export async function runBroken(scope: Scope, name: BrokenGate, seed: number): Promise<readonly string[]> {
  const sabotage = join(import.meta.dirname, 'gate-sabotage.ts');
  const env = { NODE_OPTIONS: `--import=${sabotage}`, SABOTAGE: name };
  const { problems } = await runGateRounds(scope, { seed, rounds: ROUNDS_MAX, kindOf: () => SHOWN_BY[name], env });
  return problems;
}
