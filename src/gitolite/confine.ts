/**
 * A site's own programs that judge a push run confined: what pushers send decides what they see, and nothing that they are
 * tricked into may change the site. They read what the account reads; they write nothing but a temporary directory of their
 * own and what their caller names, see no other process, and reach the network only where the site lets them (some ask an
 * issue tracker).
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Env } from './run.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

export interface Confined extends AsyncDisposable {
  readonly command: Command;
  /** What the program needs in its environment: TMPDIR. */
  readonly env: Env;
}

const run = promisify(execFile);
const PROBE_MS = 10_000;
/** Best first: a machine may refuse a process namespace, or any. */
const LEVELS: readonly (readonly string[])[] = [
  ['--die-with-parent', '--unshare-pid', '--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
  ['--die-with-parent', '--ro-bind', '/', '/', '--dev', '/dev'],
];

/** Tried once: what this machine lets us do does not change while we run. */
const found = new Map<boolean, Promise<readonly string[] | undefined>>();

/** The same command, confined as far as this machine allows: where it does not, with the temporary directory only. */
export async function confine(
  command: Command,
  { writable = [], isOffline = false }: { readonly writable?: readonly string[]; readonly isOffline?: boolean },
): Promise<Confined> {
  const finding = found.get(isOffline) ?? findLevel(isOffline);
  found.set(isOffline, finding);
  const level = await finding;
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-program-'));
  const binds = [directory, ...writable].flatMap((path) => ['--bind', path, path]);
  return {
    command:
      level === undefined
        ? command
        : { file: 'bwrap', args: [...level, ...binds, '--', command.file, ...command.args] },
    env: { TMPDIR: directory },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

async function findLevel(isOffline: boolean): Promise<readonly string[] | undefined> {
  const offline = LEVELS.map((level) => [...level, '--unshare-net']);
  for (const level of isOffline ? [...offline, ...LEVELS] : LEVELS) {
    try {
      await run('bwrap', [...level, '--', '/bin/sh', '-c', ':'], { timeout: PROBE_MS });
      return level;
    } catch {
      // Not installed, or not allowed.
    }
  }
  return undefined;
}
