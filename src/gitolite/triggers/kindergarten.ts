/** `Kindergarten`: refuses what nobody sensible asks for; the settings may name which of it. */
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const GIT_COMMAND = /(?:git-upload-pack|git-receive-pack|git-upload-archive) '\/?(\S+)'$/;

export const KINDERGARTEN: BuiltInTrigger = {
  name: 'Kindergarten::input',
  async run(run, { own, args: [user] }) {
    const isOn = (feature: string): boolean => own.length === 0 || own.includes(feature);
    const repository = GIT_COMMAND.exec(run.env['SSH_ORIGINAL_COMMAND'] ?? '')?.[1];
    if (isOn('CREATOR') && repository !== undefined && /\bCREATOR\b/.test(repository))
      throw dies(`'CREATOR' not allowed as part of reponame`);
    if (isOn('U0') && user === '0') throw dies(`'0' is not a valid username`);
  },
};
