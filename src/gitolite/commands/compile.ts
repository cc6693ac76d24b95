/** `gitolite compile`: puts the conf in force. */
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

export const compile: SiteCommand = {
  name: 'compile',
  summary: 'put conf/gitolite.conf in force',
  usage: 'Usage:  gitolite compile\n',
  async run(run, args) {
    if (args.length > 0) throw dies("'gitolite compile' does not take any arguments");
    await run.site.compile(run);
    return 0;
  },
};
