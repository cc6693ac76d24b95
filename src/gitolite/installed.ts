/** Programs that commands hand their work to and that a server may lack. */
import { Fault } from '../base/fault.ts';
import { runProgram, type ProgramEnd, type ProgramSpec } from './programs.ts';
import type { Run } from './run.ts';
import { isAbsent } from './small-file.ts';
import { dies } from './words.ts';

/** @throws `dies` where the program is not installed. */
export async function runInstalled(run: Run, spec: ProgramSpec): Promise<ProgramEnd> {
  try {
    return await runProgram(run, spec);
  } catch (error) {
    if (!(error instanceof Fault) || !isAbsent(error.cause)) throw error;
    throw dies(`${spec.file} is not installed on this server`, error);
  }
}
