/** Every command that comes with the server, by name. A site's own of the same name comes first, but for `CORE_COMMANDS`. */
import type { SiteCommand } from './command.ts';
import { helpCommand } from './help.ts';
import { printDefaultRc } from './print-default-rc.ts';
import { queryRc } from './query-rc.ts';
import { SERVER_COMMANDS } from './server.ts';
import { trigger } from './trigger.ts';
import { USER_COMMANDS } from './users.ts';
import { version } from './version.ts';

/** What a program of the site's cannot stand before. */
export const CORE_COMMANDS: ReadonlySet<string> = new Set(['setup', 'query-rc', 'compile', 'trigger']);

/** `gitolite -h` names them; `help` lists the others. */
const isBuiltIn = (name: string): boolean =>
  CORE_COMMANDS.has(name) || (name.startsWith('list-') && name !== 'list-dangling-repos');

const help = helpCommand(() => [...SITE_COMMANDS.keys()].filter((name) => !isBuiltIn(name)));

const ALL: readonly SiteCommand[] = [
  help,
  printDefaultRc,
  queryRc,
  trigger,
  version,
  ...SERVER_COMMANDS,
  ...USER_COMMANDS,
];

export const SITE_COMMANDS: ReadonlyMap<string, SiteCommand> = new Map(ALL.map((command) => [command.name, command]));
