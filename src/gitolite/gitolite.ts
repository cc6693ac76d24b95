/** `gitolite COMMAND ARGUMENTS`: which command runs, and what its end looks like. */
import { stat } from 'node:fs/promises';
import { CORE_COMMANDS, SITE_COMMANDS } from './commands/all.ts';
import { glDie, glLog } from './gl-log.ts';
import { findProgram, runProgram } from './programs.ts';
import type { Run } from './run.ts';
import { runStep } from './run-triggers.ts';
import { dies, exitOf } from './words.ts';

export interface GitoliteOptions {
  /** Nobody's child: it opens and closes its transaction in the log. */
  readonly isFirst?: boolean;
}

/** Runs one command line to its exit code. Nothing is thrown but the invocation's abort. */
export async function runGitolite(
  run: Run,
  argv: readonly string[],
  { isFirst = false }: GitoliteOptions = {},
): Promise<number> {
  try {
    if (isFirst && (await isDirectory(run.rc.adminBase))) await glLog(run, 'cli', 'gitolite', ...argv);
    const code = await dispatch(run, argv);
    if (isFirst && code === 0 && argv[0] !== 'query-rc') await glLog(run, 'END');
    return code;
  } catch (error) {
    run.signal.throwIfAborted();
    await glDie(run, error);
    return exitOf(error);
  }
}

async function dispatch(run: Run, [called, ...args]: readonly string[]): Promise<number> {
  // Scripts name a command by its path from the directory of commands, too.
  const name = called?.replace(/^(?:\.\.\/commands\/|\.\/)/, '');
  if (name === undefined || name === '' || name === '-h') {
    await run.print(USAGE);
    return 1;
  }
  const command = SITE_COMMANDS.get(name);
  if (command === undefined || !CORE_COMMANDS.has(name)) {
    const program = await findProgram(run.rc, 'commands', name);
    if (program !== undefined) return (await runProgram(run, { file: program, args, stdin: 'inherit' })).code;
  }
  // Scripts and cron jobs call a step after a compile this way.
  const [, step] = /^\.\.\/triggers\/(.+)$/.exec(name) ?? [];
  if (step !== undefined && (await runStep(run, step, args))) return 0;
  if (command === undefined) throw dies('unknown gitolite sub-command');
  return command.run(run, args);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

const USAGE = `
Usage:  gitolite COMMAND [ARGUMENTS]

Commands of the site itself; each says more with -h:

    setup                       make the site, or put its hooks and directories right
    compile                     put conf/gitolite.conf in force

    query-rc                    show settings

    list-groups                 groups that the conf names
    list-users                  users and groups of users that the conf names
    list-repos                  repositories and groups of repositories that the conf names
    list-phy-repos              repositories on disk
    list-memberships            groups that a name is in
    list-members                names that are in a group

'gitolite help' lists every command, the site's own among them.

`;
