/** `push`: a push from the server itself that no rule is asked about. */
import { runProgram } from '../programs.ts';
import type { SiteCommand } from './command.ts';

export const push: SiteCommand = {
  name: 'push',
  summary: 'push without asking the rules; on the server',
  usage: `
Usage:  gitolite push ARGUMENTS

Runs 'git push ARGUMENTS' into a repository of this server by its path; the rules are not asked.

`,
  async run(run, args) {
    const { code } = await runProgram(run, {
      file: 'git',
      args: ['push', ...args],
      env: { GL_BYPASS_ACCESS_CHECKS: '1' },
      stdin: 'inherit',
    });
    return code;
  },
};
