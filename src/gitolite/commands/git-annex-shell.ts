/** `git-annex-shell`: hands git-annex on to its own shell, for one repository, and to read only where that is all. */
import { assertSane } from '../ask.ts';
import { glLog } from '../gl-log.ts';
import { runInstalled } from '../installed.ts';
import { assertAsker, may } from '../rights.ts';
import { dies, REPOSITORY_WORD } from '../words.ts';
import type { SiteCommand } from './command.ts';

const LINE = /^(git-annex-shell '\w+' ')\/(?:~\/)?([0-9a-zA-Z][0-9a-zA-Z._@/+-]*)('(?: .*|))$/;

export const gitAnnexShell: SiteCommand = {
  name: 'git-annex-shell',
  summary: 'serve git-annex',
  usage: `
Called by git-annex's client. The site enables it as 'git-annex-shell ua': its arguments are not a user's words.

`,
  async run(run) {
    const asked = run.env['SSH_ORIGINAL_COMMAND'] ?? '';
    const [, start, path, end = ''] = LINE.exec(asked) ?? [];
    if (start === undefined || path === undefined) throw dies(`bad git-annex-shell command: ${asked}`);
    const name = path.replace(/\.git$/, '');
    if (!REPOSITORY_WORD.test(name)) throw dies(`I dont like some of the characters in ${name}\n`);
    if (name.includes('..')) throw dies(`I dont like '..' paths in ${asked}\n`);
    assertSane(name);
    const isWriter = await may(run, name, 'W');
    if (!isWriter && !(await may(run, name, 'R'))) throw dies(`${name} ${assertAsker(run)} DENIED\n`);
    await glLog(run, asked);
    // It takes the line apart itself; no shell of ours does.
    const line = `${start}${run.rc.repositoryBase}/${name}${end}`;
    const env = { GIT_ANNEX_SHELL_LIMITED: '1', ...(isWriter ? {} : { GIT_ANNEX_SHELL_READONLY: '1' }) };
    return (await runInstalled(run, { file: 'git-annex-shell', args: ['-c', line], env, stdin: 'inherit' })).code;
  },
};
