/** Commands about scans. */
import type { Command } from './command.ts';

export const SCAN_COMMANDS: readonly Command[] = [];
