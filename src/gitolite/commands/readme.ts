/** `readme`: the README.html of a repository, which gitweb shows. */
import { join } from 'node:path';
import { readInput } from '../input.ts';
import { isTrue } from '../rc-value.ts';
import { may } from '../rights.ts';
import { removeSiteFile } from '../site-file.ts';
import { mayKeepTexts, readText, repositoryFolder, writeText } from '../text-file.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const FILE = 'README.html';

export const readme: SiteCommand = {
  name: 'readme',
  summary: 'show, set or remove the README.html of a repository',
  usage: `
Usage:  ssh git@host readme REPO
        ssh git@host readme REPO rm
        ssh git@host readme REPO set < FILE

To change it you need to own the repository, or to have write access where the site says 'option writer-is-owner = 1'.

`,
  async run(run, [name, op = '']) {
    if (name === undefined || name === '-h') return showUsage(run, readme);
    const isChange = isTrue(op);
    if (isChange && op !== 'rm' && op !== 'set') return showUsage(run, readme);
    const isAllowed = isChange ? await mayKeepTexts(run, name) : await may(run, name, 'R');
    if (!isAllowed) throw dies('you are not authorized');
    if (op === 'rm') await removeSiteFile(join(repositoryFolder(run, name), FILE));
    else if (op === 'set') await writeText(run, { name, file: FILE, text: await readInput(run) });
    else await run.print(await readText(run, name, FILE));
    return 0;
  },
};
