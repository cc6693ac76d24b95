/** `symbolic-ref`: shows or sets where HEAD of a repository points. */
import { repositoryPath } from '../disk.ts';
import { runProgram } from '../programs.ts';
import { isTrue } from '../rc-value.ts';
import { may, quietly } from '../rights.ts';
import { askerOf } from '../run.ts';
import { refuses, showUsage } from '../usage.ts';
import type { SiteCommand } from './command.ts';

export const symbolicRef: SiteCommand = {
  name: 'symbolic-ref',
  summary: 'show or set what HEAD of a repository points to',
  usage: `
Usage:  ssh git@host symbolic-ref REPO ARGUMENTS

Runs 'git symbolic-ref ARGUMENTS', which are to be about HEAD, in a repository that you may write to.

`,
  async run(run, [given = '', ...args]) {
    if (!isTrue(given) || given === '-h') return showUsage(run, symbolicRef);
    if (askerOf(run) === undefined) return refuses(run, 'GL_USER not set');
    const name = given.replace(/\.git$/, '');
    if (!(await quietly(run, () => may(run, name, 'W')))) return refuses(run, 'You are not authorised');
    if (targetOf(args) !== 'HEAD') return refuses(run, 'only HEAD can be shown or set');
    const cwd = repositoryPath(run.rc, name);
    const { code } = await runProgram(run, { file: 'git', args: ['symbolic-ref', ...args], cwd });
    return code;
  },
};

/** What is shown or set: git takes any file of the repository for a ref, and a push through a link is asked about as the link. */
function targetOf(args: readonly string[]): string | undefined {
  return args.find((word, at) => !word.startsWith('-') && args[at - 1] !== '-m');
}
