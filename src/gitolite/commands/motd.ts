/** `motd`: what users read each time they come, of a repository or of the whole site. */
import { join } from 'node:path';
import { BOUNDS } from '../../base/bounds.ts';
import { readInput } from '../input.ts';
import { isAdministrator } from '../rights.ts';
import { removeSiteFile, writeSiteFile } from '../site-file.ts';
import { mayKeepTexts, repositoryFolder, writeText } from '../text-file.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const FILE = 'gl-motd';
const WHOLE_SITE = '@all';

export const motd: SiteCommand = {
  name: 'motd',
  summary: 'set or remove what users of a repository, or of the site, read each time',
  usage: `
Usage:  ssh git@host motd REPO rm
        ssh git@host motd REPO set < FILE

For a repository you need to own it, or to have write access where the site says 'option writer-is-owner = 1'. With @all
as REPO it is for the whole site, and you need write access to gitolite-admin. Over HTTP only the site's is shown, and
only to commands.

`,
  async run(run, [name, op = '']) {
    if (name === undefined || name === '-h' || (op !== 'rm' && op !== 'set')) return showUsage(run, motd);
    const isSite = name === WHOLE_SITE;
    const isAllowed = isSite ? await isAdministrator(run) : await mayKeepTexts(run, name);
    if (!isAllowed) throw dies('you are not authorized');
    const folder = isSite ? run.rc.adminBase : repositoryFolder(run, name);
    if (op === 'rm') {
      await removeSiteFile(join(folder, FILE));
      return 0;
    }
    const text = await readInput(run, BOUNDS.siteNoteBytesMax);
    if (isSite) await writeSiteFile(run, join(folder, FILE), { data: text });
    else await writeText(run, { name, file: FILE, text });
    return 0;
  },
};
