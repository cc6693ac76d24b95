/** No write where a `.gitolite.down` lies, in the account's home or in the repository: its text is what the client reads. */
import { join } from 'node:path';
import { readSmallFile } from '../small-file.ts';
import { dies } from '../words.ts';
import { repositoryPath } from '../disk.ts';
import type { BuiltInTrigger } from './trigger.ts';

const DOWN_FILE = '.gitolite.down';

export const WRITABLE: BuiltInTrigger = {
  name: 'Writable::access_1',
  async run(run, { args: [repository = '', , attempt = '', , result = ''] }) {
    if (attempt === 'R' || result.includes('DENIED')) return;
    for (const folder of [run.rc.home, repositoryPath(run.rc, repository)]) {
      const text = await readSmallFile(join(folder, DOWN_FILE));
      if (text === undefined) continue;
      if (text === '') throw dies('sorry, writes are currently disabled (no more info available)\n');
      // Gitolite dies of a list of lines, and joins what it dies of with commas.
      throw dies((text.match(/[^\n]*\n|[^\n]+$/g) ?? []).join(','));
    }
  },
};
