/** `create`: makes a repository that a pattern lets the asker make. */
import { assertSane } from '../ask.ts';
import { createWild } from '../create-repository.ts';
import { glLog } from '../gl-log.ts';
import { assertAsker, may } from '../rights.ts';
import { showUsage } from '../usage.ts';
import { dies, REPOSITORY_WORD } from '../words.ts';
import type { SiteCommand } from './command.ts';

export const create: SiteCommand = {
  name: 'create',
  summary: 'make a repository',
  usage: `
Usage:  ssh git@host create REPO

Makes a repository of yours, where a pattern of the site lets you.

`,
  async run(run, args) {
    const [name = ''] = args;
    if (args.length !== 1 || name === '-h') return showUsage(run, create);
    const user = assertAsker(run);
    if (!REPOSITORY_WORD.test(name)) throw dies(`invalid repo '${name}'`);
    assertSane(name);
    if (!(await may(run, name, '^C'))) throw dies('repo already exists or you are not authorised to create it');
    await createWild(run, name, user, 'create');
    await glLog(run, 'create', name, user, 'create');
    return 0;
  },
};
