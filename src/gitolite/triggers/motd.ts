/** `Motd`: the message of the day of the site, and of a repository, on the way in. */
import { join } from 'node:path';
import type { Run } from '../run.ts';
import { readSmallFile } from '../small-file.ts';
import { repositoryPath } from '../disk.ts';
import type { BuiltInTrigger } from './trigger.ts';

const FILE = 'gl-motd';

export const MOTD: readonly BuiltInTrigger[] = [
  { name: 'Motd::input', run: (run) => show(run, run.rc.adminBase) },
  {
    name: 'Motd::pre_git',
    run: (run, { args: [repository = ''] }) => show(run, repositoryPath(run.rc, repository)),
  },
];

async function show(run: Run, folder: string): Promise<void> {
  const text = await readSmallFile(join(folder, FILE));
  if (text !== undefined && text !== '') await run.warn(text);
}
