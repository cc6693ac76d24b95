/** No repository comes to be because somebody cloned it (`no-create-on-read`), or pushed to it (`no-auto-create`). */
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

export const AUTO_CREATE: readonly BuiltInTrigger[] = [
  refusing('AutoCreate::deny_R', ['R']),
  refusing('AutoCreate::deny_RW', ['R', 'W']),
];

function refusing(name: string, attempts: readonly string[]): BuiltInTrigger {
  return {
    name,
    async run(_run, { args: [, , attempt = ''] }) {
      if (attempts.includes(attempt)) throw dies('autocreate denied\n');
    },
  };
}
