/** `gitolite compile-template-data`: writes what the conf's template blocks say to the repositories' files. */
import { applyTemplates } from '../template-data.ts';
import type { SiteCommand } from './command.ts';

export const compileTemplateData: SiteCommand = {
  name: 'compile-template-data',
  summary: "write the conf's template data to the repositories' files",
  usage: 'Usage:  gitolite compile-template-data\n',
  async run(run) {
    await applyTemplates(run);
    return 0;
  },
};
