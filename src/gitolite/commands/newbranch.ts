/** `newbranch`: a branch that starts at one that is there, for users who may change some files only. */
import { repositoryPath } from '../disk.ts';
import { runProgram } from '../programs.ts';
import { may } from '../rights.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

export const newbranch: SiteCommand = {
  name: 'newbranch',
  summary: 'make a branch from another, on the server',
  usage: `
Usage:  ssh git@host newbranch REPO BRANCH FROM

Makes BRANCH, which you need the right to write, at FROM, a branch or a tag; both without refs/heads/ or refs/tags/.
A branch that is pushed counts as changing every file in it; one that is made here does not.

`,
  async run(run, args) {
    const [name = '', branch = '', from = ''] = args;
    if (args.length < 3 || name === '-h') return showUsage(run, newbranch);
    if (!(await may(run, name, 'W', `refs/heads/${branch}`))) throw dies('you are not authorized');
    const { code } = await runProgram(run, {
      file: 'git',
      args: ['branch', '--end-of-options', branch, from],
      cwd: repositoryPath(run.rc, name),
    });
    return code;
  },
};
