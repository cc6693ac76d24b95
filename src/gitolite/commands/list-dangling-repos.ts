/** `list-dangling-repos`: repositories on disk that nothing in the conf is about any more. */
import { Meter } from '../../access/meter.ts';
import { Stint } from '../../base/stint.ts';
import { showUsage } from '../usage.ts';
import type { SiteCommand } from './command.ts';

export const listDanglingRepos: SiteCommand = {
  name: 'list-dangling-repos',
  summary: 'list repositories that the conf no longer names',
  usage: `
Usage:  gitolite list-dangling-repos

Repositories on disk that no 'repo' line names and no pattern of one matches: nobody can reach them from outside.

`,
  async run(run, args) {
    if (args[0] === '-h') return showUsage(run, listDanglingRepos);
    const { conf, index } = (await run.site.conf(run.rc)).compiled;
    const stint = new Stint();
    const dangling: string[] = [];
    for (const name of await run.site.physical(run.rc, { anew: true })) {
      if (stint.isOver) await stint.rest();
      // What a repository says of its own groups is not asked: the conf's word counts.
      const repository = { ...(await run.site.repository(run.rc, name)), groups: [] };
      const memberships = index.repositoryMemberships(repository, new Meter());
      if (![...memberships].some((one) => one !== '@all' && conf.stanzas.has(one))) dangling.push(name);
    }
    await run.print(`${dangling.join('\n')}\n`);
    return 0;
  },
};
