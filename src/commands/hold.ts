/** Commands about holds. */
import type { Command } from './command.ts';

export const HOLD_COMMANDS: readonly Command[] = [];
