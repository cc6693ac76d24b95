/** `desc`: the description of a repository, one line that gitweb and `info -ld` show. */
import { isTrue } from '../rc-value.ts';
import { may } from '../rights.ts';
import { mayKeepTexts, readText, writeText } from '../text-file.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const FILE = 'description';

export const desc: SiteCommand = {
  name: 'desc',
  summary: 'show or set the description of a repository',
  usage: `
Usage:  ssh git@host desc REPO
        ssh git@host desc REPO TEXT

To set it you need to own the repository, or to have write access where the site says 'option writer-is-owner = 1'.

`,
  async run(run, [name, ...words]) {
    if (name === undefined || name === '-h') return showUsage(run, desc);
    const text = words.join(' ');
    const isSetting = isTrue(text);
    const isForWriters = isTrue(run.rc.values['WRITER_CAN_UPDATE_DESC']);
    const isAllowed = isSetting ? await mayKeepTexts(run, name, { isForWriters }) : await may(run, name, 'R');
    if (!isAllowed) throw dies('you are not authorized');
    if (isSetting) await writeText(run, { name, file: FILE, text });
    else await run.print(await readText(run, name, FILE));
    return 0;
  },
};
