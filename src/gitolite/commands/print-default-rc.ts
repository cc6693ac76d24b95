/** `gitolite print-default-rc`: settings to start from. */
import { defaultRcText } from '../default-rc.ts';
import type { SiteCommand } from './command.ts';

export const printDefaultRc: SiteCommand = {
  name: 'print-default-rc',
  summary: 'print the settings file that a new site gets',
  usage: `Usage:  gitolite print-default-rc\n`,
  async run(run) {
    await run.print(defaultRcText());
    return 0;
  },
};
