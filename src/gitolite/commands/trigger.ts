/** `gitolite trigger POINT ARGUMENTS`: runs by hand what the settings list for a point. */
import { triggerNamed } from '../run-triggers.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

export const trigger: SiteCommand = {
  name: 'trigger',
  summary: 'run what the settings list for a trigger point',
  usage: `Usage:  gitolite trigger POINT [ARGUMENTS]\n`,
  async run(run, [point = '', ...args]) {
    const isOptional = point === 'POST_COMPILE' || point === 'POST_CREATE';
    if (!isOptional && !Array.isArray(run.rc.values[point])) throw dies(`trigger section '${point}' not found in rc`);
    await triggerNamed(run, point, args);
    return 0;
  },
};
