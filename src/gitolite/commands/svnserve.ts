/** `svnserve`: hands a Subversion client on to the server's svnserve, as the user who came. */
import { runInstalled } from '../installed.ts';
import { isTrue, scalarOf, wordsOf } from '../rc-value.ts';
import { askerOf } from '../run.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const DEFAULT_LINE = '/usr/bin/svnserve -r /var/svn/ -t --tunnel-user=%u';

export const svnserve: SiteCommand = {
  name: 'svnserve',
  summary: 'serve a Subversion client',
  usage: `
Usage:  svn checkout svn+ssh://git@host/REPO

Called by Subversion's client. What runs is the setting SVNSERVE; %u in it is who came.

`,
  async run(run) {
    const asked = run.env['SSH_ORIGINAL_COMMAND'] ?? '';
    if (asked !== 'svnserve -t') throw dies(`expecting 'svnserve -t', got '${asked}'\n`);
    const setting = run.rc.values['SVNSERVE'];
    const line = (isTrue(setting) ? scalarOf(setting) : DEFAULT_LINE).replaceAll('%u', () => askerOf(run) ?? '');
    // A line that needs a shell gets one, as Perl gives it.
    const [file = '', ...args] = /[^-\w./=:,@+ ]/.test(line) ? ['/bin/sh', '-c', line] : wordsOf(line);
    return (await runInstalled(run, { file, args, stdin: 'inherit' })).code;
  },
};
