/** `set-default-roles`: a repository that somebody makes starts with the roles that `option default.roles*` lists. */
import { join } from 'node:path';
import { configOf } from '../options.ts';
import { askerOf } from '../run.ts';
import { repositoryPath, statOf, writeText } from '../disk.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const CREATING = ['R', 'W', 'perms-c', 'create', 'fork'];

export const DEFAULT_ROLES: BuiltInTrigger = {
  name: 'set-default-roles',
  async run(run, { args: [repository = '', , attempt = ''] }) {
    if (!CREATING.includes(attempt)) return;
    const path = repositoryPath(run.rc, repository);
    if (statOf(path)?.isDirectory() !== true) throw dies(`set-default-roles: repo '${repository}' does not exist`);
    const config = await configOf(run, repository);
    const creator = askerOf(run) ?? '';
    const lines = [...config]
      .filter(([key]) => /gitolite-options.default.roles/.test(key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, value]) =>
        `${value}\n`.replace(/(\s)CREATOR(\s|$)/, (_all, before, behind) => before + creator + behind),
      );
    writeText(join(path, 'gl-perms'), lines.join(''), { umask: run.rc.umask });
  },
};
