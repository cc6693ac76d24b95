/** Gitolite's own sanity patterns of what comes from outside, and its way to die. */
import { Fault } from '../base/fault.ts';

export const REPOSITORY_WORD = /^@?[0-9a-zA-Z][-0-9a-zA-Z._@/+]*$/;
export const USER_WORD = /^@?[0-9a-zA-Z][-0-9a-zA-Z._@+]*$/;
/** A whole remote command line. */
export const REMOTE_COMMAND = /^[-0-9a-zA-Z._@/+ :,%=]*$/;

/** Ends an invocation with `FATAL: text` on standard error; in a Git request the client reads the same. */
export function dies(text: string, cause?: unknown): Fault {
  return new Fault('bad-input', 'gitolite command died', { publicMessage: text, cause });
}

/** The exit code of a command that died: what gitolite's own processes end with. */
export const DIED_EXIT = 25;

/** Ends an invocation without a word, as gitolite does where a program that it called failed: that has said why. */
export function ends(exit: number): Fault {
  return new Fault('process', 'site program failed', {
    context: { exit },
    publicMessage: `a program of the site ended with exit code ${exit}`,
  });
}

/** The exit code of an invocation that ended with what was thrown. */
export function exitOf(error: unknown): number {
  const exit = error instanceof Fault ? error.context['exit'] : undefined;
  return typeof exit === 'number' ? exit : DIED_EXIT;
}

/** What is written for anything thrown by a command of the site: `FATAL: ...` with its line end. */
export function fatalText(error: unknown): string {
  if (error instanceof Fault && error.context['exit'] !== undefined) return '';
  if (error instanceof Fault && error.publicMessage !== undefined) return `FATAL: ${error.publicMessage}\n`;
  return `FATAL: internal error\n`;
}
