/** `sudo`: lets those who may push to gitolite-admin run a command as somebody else. */
import { runGitolite } from '../gitolite.ts';
import { isAdministrator, quietly } from '../rights.ts';
import { askerOf, withEnv } from '../run.ts';
import { refuses, showUsage } from '../usage.ts';
import type { SiteCommand } from './command.ts';

export const sudo: SiteCommand = {
  name: 'sudo',
  summary: 'run a command as another user; for administrators',
  usage: `
Usage:  ssh git@host sudo USER COMMAND ARGUMENTS

For who may push to gitolite-admin.

`,
  async run(run, [user = '', command = '', ...args]) {
    if (user === '' || user === '-h' || command === '') return showUsage(run, sudo);
    if (askerOf(run) === undefined) return refuses(run, 'GL_USER not set');
    if (!(await quietly(run, () => isAdministrator(run)))) return refuses(run, 'You are not authorised');
    if (!run.rc.commands.has(command)) return refuses(run, `Command '${command}' not allowed`);
    return runGitolite(withEnv(run, { GL_USER: user }), [command, ...args]);
  },
};
