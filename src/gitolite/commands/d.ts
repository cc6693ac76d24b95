/** `D`: takes a repository away for good, or into a trash can that gives it back. */
import { rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { moveIntoDurably } from '../../base/durable.ts';
import { inCreation } from '../create-repository.ts';
import { CREATOR_FILE, isDiskName, repositoryPath, statOf } from '../disk.ts';
import { makeDirectory } from '../hooks.ts';
import { localStamp } from '../local-time.ts';
import { isTrue, scalarOf } from '../rc-value.ts';
import { owns, quietly } from '../rights.ts';
import { askerOf, type Run } from '../run.ts';
import { readSiteFile, removeSiteFile, writeSiteFile } from '../site-file.ts';
import { trashedBy } from '../trash.ts';
import { refuses, showUsage } from '../usage.ts';
import type { SiteCommand } from './command.ts';

const UNLOCKED_FILE = 'gl-rm-ok';

export const d: SiteCommand = {
  name: 'D',
  summary: 'delete a repository of yours, or throw it away and get it back',
  usage: `
Usage:  ssh git@host D unlock REPO      # lets 'rm' take it; 'lock' takes that back
        ssh git@host D rm REPO          # gone for good, where it is unlocked
        ssh git@host D trash REPO       # into the trash can, from which it comes back
        ssh git@host D list-trash
        ssh git@host D restore NAME     # a name that 'list-trash' shows

For repositories that you made, or own. How long the trash can keeps them is up to the site.

`,
  async run(run, [verb = '', name = '']) {
    if (!isTrue(verb) || verb === '-h' || (verb !== 'list-trash' && name === '')) return showUsage(run, d);
    const user = askerOf(run);
    if (user === undefined) return refuses(run, 'GL_USER not set');
    if (verb === 'list-trash') return listTrash(run, user);
    if (verb === 'restore') return restore(run, name, user);
    const task = TASKS.get(verb);
    if (task === undefined) return refuses(run, `unknown subcommand '${verb}'`);
    if (verb !== 'lock' && verb !== 'trash' && isTrue(run.rc.values['D_DISABLE_RM']))
      return refuses(run, "sorry, 'unlock' and 'rm' are disabled");
    if (!(await quietly(run, () => owns(run, name)))) return refuses(run, 'You are not authorised');
    return task(run, name);
  },
};

const TASKS: ReadonlyMap<string, (run: Run, name: string) => Promise<number>> = new Map([
  ['rm', remove],
  ['lock', lock],
  ['unlock', unlock],
  ['trash', trash],
]);

/** Renamed first: a repository is there whole or not at all. */
async function remove(run: Run, name: string): Promise<number> {
  const path = repositoryPath(run.rc, name);
  if (statOf(join(path, UNLOCKED_FILE))?.isFile() !== true) return refuses(run, `'${name}' is locked!`);
  const doomed = join(dirname(path), `.gatehouse-gone-${run.clock.randomBytes(8).toString('hex')}`);
  await moveIntoDurably(path, doomed);
  await rm(doomed, { recursive: true, force: true });
  await run.print(`'${name}' is now gone!\n`);
  return 0;
}

async function lock(run: Run, name: string): Promise<number> {
  await removeSiteFile(join(repositoryPath(run.rc, name), UNLOCKED_FILE));
  await run.print(`'${name}' is now locked\n`);
  return 0;
}

async function unlock(run: Run, name: string): Promise<number> {
  const path = join(repositoryPath(run.rc, name), UNLOCKED_FILE);
  if (statOf(path) === undefined) await writeSiteFile(run, path, { data: '' });
  await run.print(`'${name}' is now unlocked\n`);
  return 0;
}

async function trash(run: Run, name: string): Promise<number> {
  const folder = join(trashCan(run), name);
  try {
    makeDirectory(folder, run.rc);
  } catch {
    return refuses(run, 'failed creating directory in trashcan');
  }
  const suffix = scalarOf(run.rc.values['TRASH_SUFFIX']) || localStamp(run.clock.now(), '_');
  const target = join(folder, suffix);
  if (statOf(target) !== undefined) return refuses(run, 'try again in a few seconds...');
  await moveIntoDurably(repositoryPath(run.rc, name), target);
  await run.print(`'${name}' moved to trashcan\n`);
  return 0;
}

async function listTrash(run: Run, user: string): Promise<number> {
  for (const name of await trashedBy(trashCan(run), user)) await run.print(`${name}\n`);
  return 0;
}

/** The name is one below the trash can, and what is in front of its last part is where it came from. */
async function restore(run: Run, name: string, user: string): Promise<number> {
  const home = dirname(name);
  const trashed = join(trashCan(run), name);
  const isName = isDiskName(home) && !name.split('/').some((part) => part === '' || part === '.' || part === '..');
  const creator = isName ? await readSiteFile(join(trashed, CREATOR_FILE)) : undefined;
  if (creator?.toString().replace(/\n+$/, '') !== user) return refuses(run, `'${name}' is not yours!`);
  const path = repositoryPath(run.rc, home);
  return inCreation(run, home, async () => {
    if (statOf(path) !== undefined) return refuses(run, `'${home}' already exists`);
    makeDirectory(dirname(path), run.rc);
    await moveIntoDurably(trashed, path);
    await run.print(`'${name}' restored to '${home}'\n`);
    return 0;
  });
}

/** TRASH_CAN: absolute, or below the repositories. */
function trashCan(run: Run): string {
  return resolve(run.rc.repositoryBase, scalarOf(run.rc.values['TRASH_CAN']) || 'Trash');
}
