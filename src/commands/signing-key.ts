/** Commands about signing keys. */
import type { Command } from './command.ts';

export const SIGNING_KEY_COMMANDS: readonly Command[] = [];
