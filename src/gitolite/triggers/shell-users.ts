/**
 * `Shell`: some users of the site get the account's shell for what is no command of the site. Their authorized_keys lines
 * say so with `-s`, which only the step after a compile writes.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeText } from '../disk.ts';
import { glLog } from '../gl-log.ts';
import { runProgram } from '../programs.ts';
import { scalarOf } from '../rc-value.ts';
import type { Run } from '../run.ts';
import { readSmallFile } from '../small-file.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger, TriggerEffect } from './trigger.ts';

export const SHELL_USERS: readonly BuiltInTrigger[] = [
  { name: 'Shell::input', run: (run, { args }) => enter(run, args) },
  {
    name: 'post-compile/ssh-authkeys-shell-users',
    run: (run, { own }) => allowShells(run, own),
  },
];

/** @param caller the arguments of `gitolite-shell`: the user's name, behind `-s` where a shell is allowed. */
async function enter(run: Run, [caller = '']: readonly string[]): Promise<TriggerEffect> {
  const isAllowed = caller === '-s' || caller.startsWith('-s ');
  const name = isAllowed ? caller.slice(3) : caller;
  const user = name === '' ? (run.env['USER'] ?? '') : name;
  if (!isAllowed) return { user };
  const command = run.env['SSH_ORIGINAL_COMMAND'] ?? '';
  if (command !== '' && isForTheSite(run, command)) return { user };
  const shell = run.env['SHELL'] ?? '/bin/sh';
  const shellArgs = command === '' ? ['-l'] : ['-c', command];
  await glLog(run, 'shell', shell, ...shellArgs);
  const { code } = await runProgram(run, { file: shell, args: shellArgs, stdin: 'inherit' });
  return { exit: code };
}

function isForTheSite({ rc }: Run, command: string): boolean {
  if (/^(?:git-upload-pack|git-receive-pack|git-upload-archive) /.test(command)) return true;
  return rc.commands.has(command.trim().split(/\s+/)[0] ?? '');
}

/** Rewrites the lines of these users, and of nobody else: a terminal is theirs too. */
async function allowShells(run: Run, own: readonly string[]): Promise<void> {
  const path = join(run.rc.home, '.ssh/authorized_keys');
  let text = await readFile(path, 'utf8');
  for (const user of await shellUsers(run, own)) {
    const line = new RegExp(`/gitolite-shell ${RegExp.escape(user)}([" ].*?),no-pty `, 'g');
    text = text.replace(line, (_all, between) => `/gitolite-shell -s ${user}${between} `);
  }
  writeText(path, text, { umask: run.rc.umask, mode: 0o600, isSynced: true });
}

/** Names behind `Shell` in the settings, or the name of a file that lists them, then names. */
async function shellUsers(run: Run, own: readonly string[]): Promise<readonly string[]> {
  const old = scalarOf(run.rc.values['SHELL_USERS_LIST']);
  const listed = own[0] === undefined ? undefined : await readSmallFile(own[0]);
  const text = listed ?? (old === '' ? undefined : await readSmallFile(old)) ?? '';
  const fromFile = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const users = [...fromFile, ...(listed === undefined ? own : own.slice(1))];
  if (users.length === 0) throw dies(`'Shell': enabled but no usernames supplied`);
  return users;
}
