/** What settings list to have refex expressions: the counting itself is part of each update's check (steps/update-check.ts). */
import type { BuiltInTrigger } from './trigger.ts';

export const REFEX_COUNTING: BuiltInTrigger = {
  name: 'RefexExpr::access_2',
  run: () => Promise.resolve(),
};
