/** A command of a site: what `gitolite NAME` does, and with it what its users may call over SSH. */
import type { Run } from '../run.ts';

export interface SiteCommand {
  readonly name: string;
  /** One line for `help --json` and docs. */
  readonly summary: string;
  /** What `-h` prints. */
  readonly usage: string;
  /** The exit code. @throws `dies` for FATAL; anything else thrown is an internal error. */
  run(run: Run, args: readonly string[]): Promise<number>;
}
