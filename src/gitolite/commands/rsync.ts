/** `rsync`: lets a client download a repository as one file, in as many goes as its line needs. */
import { basename } from 'node:path';
import { bundleOf } from '../bundle.ts';
import { repositoryPath } from '../disk.ts';
import { glExtra, glWarn } from '../gl-log.ts';
import { runInstalled } from '../installed.ts';
import { configMatching } from '../options.ts';
import { wordsOf } from '../rc-value.ts';
import { may } from '../rights.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const LINE = /^rsync --server --sender (?:-[vn]*(?:e\d*\.\w*)? )?\. (\S+)\.bundle$/;
const DAY_SECONDS = 86_400;

export const rsync: SiteCommand = {
  name: 'rsync',
  summary: 'download a repository with rsync, as a bundle',
  usage: `
Usage:  rsync git@host:REPO.bundle .        # again, until all of it is there
        git clone REPO.bundle REPO

The options -v, -n, -q and -P are all that is allowed. The site opens a repository to this with 'option bundle = 1'.

`,
  async run(run, args) {
    if (args.length === 0 || args[0] === '-h') return showUsage(run, rsync);
    const asked = run.env['SSH_ORIGINAL_COMMAND'] ?? '';
    const [, path] = LINE.exec(asked) ?? [];
    if (path === undefined) {
      await glWarn(run, "Sorry, you are only allowed to use the '-v', '-n', '-q', and '-P' options.");
      return showUsage(run, rsync);
    }
    const name = path.replace(/\.git$/, '');
    if (!(await may(run, name, 'R'))) throw dies('you are not authorised');
    const { exists } = await run.site.repository(run.rc, name);
    const options = exists
      ? await configMatching(run, { name, pattern: 'gitolite-options.bundle' })
      : new Map<string, string>();
    // A file whose name begins with a dash would be an option of the programs that read it.
    if (options.size === 0 || basename(name).startsWith('-')) throw dies('you are not authorised');
    const ttl = Number(options.get('gitolite-options.bundle.ttl') ?? DAY_SECONDS);
    const file = await bundleOf(run, name, (Number.isFinite(ttl) ? ttl : DAY_SECONDS) * 1000);
    const line = asked.replace(/ \S+\.bundle$/, () => ` ${file}`);
    await glExtra(run, 'rsync bundle', line);
    const [program = '', ...words] = wordsOf(line);
    const cwd = repositoryPath(run.rc, name);
    return (await runInstalled(run, { file: program, args: words, cwd, stdin: 'inherit' })).code;
  },
};
