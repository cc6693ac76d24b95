/** What the doors ask of the commands floor, however a command arrives. */
import type { Readable, Writable } from 'node:stream';
import type { RequestOrigin } from '../request/request.ts';

export interface CommandRun {
  readonly origin: RequestOrigin;
  readonly argv: readonly string[];
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

export interface CommandDoor {
  /** The exit code: 0 done, 1 refused or failed, 2 usage. */
  run(run: CommandRun): Promise<number>;
}
