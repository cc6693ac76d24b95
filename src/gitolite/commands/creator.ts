/** `gitolite creator` and `gitolite owns`: whose a repository is. */
import { assertSane } from '../ask.ts';
import { owns as isOwner } from '../rights.ts';
import type { SiteCommand } from './command.ts';

export const creator: SiteCommand = {
  name: 'creator',
  summary: 'show who made a repository',
  usage: `Usage:  gitolite creator [-n] REPOSITORY [USER]

Shows who made a wild repository; -n leaves out the line end. With USER, says by the exit code only whether it was that one.
`,
  async run(run, args) {
    const isBare = args[0] === '-n';
    const [repository, user = ''] = isBare ? args.slice(1) : args;
    if (args.length === 0 || args[0] === '-h') {
      await run.print(this.usage);
      return 1;
    }
    assertSane(repository ?? '');
    const { creator: made } = await run.site.repository(run.rc, repository ?? '');
    if (user !== '' && user !== '0') return made === user ? 0 : 1;
    await run.print(`${made}${isBare ? '' : '\n'}`);
    return 0;
  },
};

export const owns: SiteCommand = {
  name: 'owns',
  summary: 'whether the user of GL_USER owns a repository, by the exit code',
  usage: `Usage:  gitolite owns REPOSITORY

Whether the user in GL_USER made the repository, or has the site's owner role in it. Says so by the exit code only: 0 is yes.
`,
  async run(run, [repository]) {
    if (repository === undefined || repository === '-h') {
      await run.print(this.usage);
      return 1;
    }
    return (await isOwner(run, repository)) ? 0 : 1;
  },
};
