/** What the doors ask of the commands floor, however a command arrives. */
import type { CommandRun } from '../request/request.ts';

export interface CommandDoor {
  /** The exit code: 0 done, 1 refused or failed, 2 usage. */
  run(run: CommandRun): Promise<number>;
}
