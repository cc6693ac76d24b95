/** Commands that a site's users may be given, and some that look after what they make. */
import type { SiteCommand } from './command.ts';
import { config } from './config.ts';
import { create } from './create.ts';
import { d } from './d.ts';
import { desc } from './desc.ts';
import { fork } from './fork.ts';
import { info } from './info.ts';
import { motd } from './motd.ts';
import { option } from './option.ts';
import { perms } from './perms.ts';
import { readme } from './readme.ts';
import { writable } from './writable.ts';

export const USER_COMMANDS: readonly SiteCommand[] = [
  config,
  create,
  d,
  desc,
  fork,
  info,
  motd,
  option,
  perms,
  readme,
  writable,
];
