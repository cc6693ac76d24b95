/** `fork`: a repository of the asker's that starts as another, its objects shared on disk where that is possible. */
import { isTrue } from '../rc-value.ts';
import { askerOf } from '../run.ts';
import { copyRepository } from '../copy-repository.ts';
import { isDiskName } from '../disk.ts';
import { may, quietly } from '../rights.ts';
import { trigger } from '../run-triggers.ts';
import { refuses, showUsage } from '../usage.ts';
import type { SiteCommand } from './command.ts';

export const fork: SiteCommand = {
  name: 'fork',
  summary: 'make a repository from another',
  usage: `
Usage:  ssh git@host fork FROM TO

Makes TO, which must not be there yet and which you must have the right to make, as a copy of FROM, which you must have
the right to read. It is the same as pushing a clone of FROM to TO, but takes no time and little space.

`,
  async run(run, args) {
    const [from = '', to = ''] = args;
    if (!isTrue(from) || from === '-h' || !isTrue(to)) return showUsage(run, fork);
    const user = askerOf(run);
    if (user === undefined) return refuses(run, 'GL_USER not set');
    if (!(await quietly(run, () => may(run, from, 'R'))) || !isDiskName(from))
      return refuses(run, `'${from}' does not exist or you are not allowed to read it`);
    // What is no name can be asked about, as a pattern can, but would lead into another repository.
    if (!(await quietly(run, () => may(run, to, '^C'))) || !isDiskName(to))
      return refuses(run, `'${to}' already exists or you are not allowed to create it`);
    const code = await copyRepository(run, { from, to, user });
    if (code !== 0) return code;
    await run.warn(`${from} forked to ${to}\n`);
    await trigger(run, 'POST_CREATE', [to, user, 'fork']);
    return 0;
  },
};
