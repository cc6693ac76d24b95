/** `gitolite version`: which gitolite we stand in for, and what does. */
import { VERSION } from '../../base/version.ts';
import type { SiteCommand } from './command.ts';

/** The gitolite whose behaviour and formats ours are; what `info` and `help` name. */
export const GITOLITE_VERSION = '3.6.12';

export const version: SiteCommand = {
  name: 'version',
  summary: 'show which gitolite this server stands in for',
  usage: `Usage:  gitolite version\n`,
  async run(run) {
    await run.print(`gitolite3 ${GITOLITE_VERSION} (gatehouse ${VERSION})\n`);
    return 0;
  },
};
