/** Every built-in trigger, by the name that settings write: what is not here is looked for as a program of the site. */
import { ALIAS } from './alias.ts';
import { AUTO_CREATE } from './auto-create.ts';
import { backgroundTrigger } from './background.ts';
import { CPU_TIME } from './cpu-time.ts';
import { DEFAULT_ROLES } from './default-roles.ts';
import { DENY_MESSAGES } from './deny-messages.ts';
import { GIT_CONFIGS } from './git-configs.ts';
import { KINDERGARTEN } from './kindergarten.ts';
import { MirrorQueue } from './mirror-queue.ts';
import { mirroringTriggers } from './mirroring.ts';
import { MOTD } from './motd.ts';
import { PUBLISHED } from './published.ts';
import { PARTIAL_COPY } from './partial-copy.ts';
import { REFEX_COUNTING } from './refex-counting.ts';
import { REFERENCE } from './reference.ts';
import { RENICE } from './renice.ts';
import { REPOSITORY_HOOKS } from './repository-hooks.ts';
import { REPOSITORY_UMASK } from './repository-umask.ts';
import { SHELL_USERS } from './shell-users.ts';
import { SSH_AUTHKEYS } from './ssh-authkeys.ts';
import { SSH_AUTHKEYS_SPLIT } from './ssh-authkeys-split.ts';
import type { BuiltInTrigger } from './trigger.ts';
import { UPSTREAM } from './upstream.ts';
import { WRITABLE } from './writable.ts';

const ALL: readonly BuiltInTrigger[] = [
  WRITABLE,
  ALIAS,
  ...AUTO_CREATE,
  ...CPU_TIME,
  DEFAULT_ROLES,
  DENY_MESSAGES,
  GIT_CONFIGS,
  KINDERGARTEN,
  ...mirroringTriggers(new MirrorQueue()),
  ...MOTD,
  ...PUBLISHED,
  PARTIAL_COPY,
  REFEX_COUNTING,
  REFERENCE,
  REPOSITORY_HOOKS,
  RENICE,
  ...REPOSITORY_UMASK,
  ...SHELL_USERS,
  SSH_AUTHKEYS,
  SSH_AUTHKEYS_SPLIT,
  UPSTREAM,
  backgroundTrigger((name) => BUILT_IN_TRIGGERS.get(name)),
];

export const BUILT_IN_TRIGGERS: ReadonlyMap<string, BuiltInTrigger> = new Map(
  ALL.map((trigger) => [trigger.name, trigger]),
);
