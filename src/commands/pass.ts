/** Commands about passs. */
import type { Command } from './command.ts';

export const PASS_COMMANDS: readonly Command[] = [];
