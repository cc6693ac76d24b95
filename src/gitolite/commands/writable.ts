/** `writable`: closes the site or a repository for pushes, and opens it again. */
import { join } from 'node:path';
import { BOUNDS } from '../../base/bounds.ts';
import { assertSane } from '../ask.ts';
import { repositoryPath, statOf } from '../disk.ts';
import { readInput } from '../input.ts';
import { isAdministrator, may, owns } from '../rights.ts';
import { askerOf, type Run } from '../run.ts';
import { removeSiteFile, writeSiteFile } from '../site-file.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const FILE = '.gitolite.down';
const WHOLE_SITE = '@all';
const OPS: ReadonlySet<string> = new Set(['on', 'off', 'status']);

export const writable: SiteCommand = {
  name: 'writable',
  summary: 'close the site or a repository for pushes, and open it again',
  usage: `
Usage:  gitolite writable REPO|@all on|off|status [TEXT]

Closes (off) and opens (on) a repository, or all, for pushes: for a backup that knows nothing of git, say. What stands
behind 'off' is what users read when they push; where nothing does it is read from standard input. 'status' says with its
exit code whether pushes are possible: 0 yes, 1 no.

`,
  async run(run, [name = '', op = '', ...words]) {
    if (name === '-h' || !OPS.has(op)) return showUsage(run, writable);
    if (askerOf(run) !== undefined && !(await isAllowed(run, name, op))) throw dies('you are not authorized');
    const isSite = name === WHOLE_SITE;
    if (!isSite) assertSane(name);
    const own = join(isSite ? run.rc.home : repositoryPath(run.rc, name), FILE);
    if (op === 'status') return [own, join(run.rc.home, FILE)].some((path) => statOf(path) !== undefined) ? 1 : 0;
    if (op === 'on') await removeSiteFile(own);
    else await writeSiteFile(run, own, { data: await messageOf(run, words) });
    return 0;
  },
};

async function isAllowed(run: Run, name: string, op: string): Promise<boolean> {
  if (name !== WHOLE_SITE && (await owns(run, name))) return true;
  if (await isAdministrator(run)) return true;
  return name !== WHOLE_SITE && op === 'status' && (await may(run, name, 'W'));
}

async function messageOf(run: Run, words: readonly string[]): Promise<string | Uint8Array> {
  const text = words.join(' ');
  if (text !== '' && text !== '0') return text;
  await run.warn('...please type the message to be shown to users:\n');
  return readInput(run, BOUNDS.siteNoteBytesMax);
}
