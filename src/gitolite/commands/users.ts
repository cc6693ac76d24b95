/** Commands that a site's users may be given, and some that look after what they make. */
import type { SiteCommand } from './command.ts';
import { config } from './config.ts';
import { create } from './create.ts';
import { d } from './d.ts';
import { desc } from './desc.ts';
import { fork } from './fork.ts';
import { gitAnnexShell } from './git-annex-shell.ts';
import { htpasswd } from './htpasswd.ts';
import { info } from './info.ts';
import { listDanglingRepos } from './list-dangling-repos.ts';
import { lock } from './lock.ts';
import { mirror } from './mirror.ts';
import { motd } from './motd.ts';
import { newbranch } from './newbranch.ts';
import { onePlusOne } from './one-plus-one.ts';
import { option } from './option.ts';
import { perms } from './perms.ts';
import { push } from './push.ts';
import { readme } from './readme.ts';
import { rsync } from './rsync.ts';
import { sshkeysLint } from './sshkeys-lint.ts';
import { sskm } from './sskm.ts';
import { sudo } from './sudo.ts';
import { svnserve } from './svnserve.ts';
import { symbolicRef } from './symbolic-ref.ts';
import { whoPushed } from './who-pushed.ts';
import { writable } from './writable.ts';

export const USER_COMMANDS: readonly SiteCommand[] = [
  config,
  create,
  d,
  desc,
  fork,
  gitAnnexShell,
  htpasswd,
  info,
  listDanglingRepos,
  lock,
  mirror,
  motd,
  newbranch,
  onePlusOne,
  option,
  perms,
  push,
  readme,
  rsync,
  sshkeysLint,
  sskm,
  sudo,
  svnserve,
  symbolicRef,
  whoPushed,
  writable,
];
