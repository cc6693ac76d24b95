/** Commands about mirrors. */
import type { Command } from './command.ts';

export const MIRROR_COMMANDS: readonly Command[] = [];
