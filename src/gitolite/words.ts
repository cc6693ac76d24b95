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

/** What is written for anything thrown by a command of the site: `FATAL: ...` with its line end. */
export function fatalText(error: unknown): string {
  if (error instanceof Fault && error.publicMessage !== undefined) return `FATAL: ${error.publicMessage}\n`;
  return `FATAL: internal error\n`;
}
