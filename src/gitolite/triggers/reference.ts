/** `create-with-reference`: a new repository borrows the objects of those that `option reference.repo*` lists. */
import { join } from 'node:path';
import { configOf } from '../options.ts';
import { repositoryPath, writeText } from '../disk.ts';
import type { BuiltInTrigger } from './trigger.ts';

export const REFERENCE: BuiltInTrigger = {
  name: 'post-compile/create-with-reference',
  async run(run, { point, args: [repository = ''] }) {
    if (point !== 'POST_CREATE') return;
    const config = await configOf(run, repository);
    const names = [...config]
      .filter(([key]) => key.startsWith('gitolite-options.reference.repo'))
      .flatMap(([, value]) => value.split(/\s+/).filter((name) => name !== ''));
    if (names.length === 0) return;
    const lines = [...new Set(names)].map((name) => `${join(repositoryPath(run.rc, name), 'objects')}\n`);
    writeText(join(repositoryPath(run.rc, repository), 'objects/info/alternates'), lines.join(''), {
      umask: run.rc.umask,
    });
  },
};
