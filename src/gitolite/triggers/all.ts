/** Every built-in trigger, by the name that settings write: what is not here is looked for as a program of the site. */
import type { BuiltInTrigger } from './trigger.ts';

const ALL: readonly BuiltInTrigger[] = [];

export const BUILT_IN_TRIGGERS: ReadonlyMap<string, BuiltInTrigger> = new Map(
  ALL.map((trigger) => [trigger.name, trigger]),
);
