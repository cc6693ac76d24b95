/** The gitolite that ran this site, or still does: found by the keys that point to it, or on the path; asked, never changed. */
import { readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';
import { textOf } from '../disk.ts';

export interface OldGitolite {
  /** The `gitolite` executable. */
  readonly program: string;
  /** Where its commands, triggers and `gitolite-shell` lie. */
  readonly binDirectory: string;
  readonly version: string;
}

export interface OldAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface OldAsk {
  readonly args: readonly string[];
  readonly stdin?: string;
  /** GL_USER. */
  readonly asker?: string;
  /** It writes to the site's log as ever. Default: not. */
  readonly logs?: boolean;
}

const ANSWER_MS = 10 * 60_000;
const PATH = '/usr/local/bin:/usr/bin:/bin';

/** @param shells paths of `gitolite-shell` that keys point to. */
export async function findOldGitolite(run: Run, shells: readonly string[]): Promise<OldGitolite | undefined> {
  const folders = [...shells.map(dirname), ...(run.env['PATH'] ?? PATH).split(':'), ...PATH.split(':')];
  for (const folder of new Set(folders)) {
    if (folder === '' || folder === run.rc.binDirectory) continue;
    const program = join(folder, 'gitolite');
    if (!(await isPerl(program))) continue;
    const found = await askOld(run, { program }, { args: ['query-rc', '-n', 'GL_BINDIR'] });
    if (found.code !== 0 || found.stdout === '') continue;
    const version = textOf(join(found.stdout, 'VERSION')).trim() || 'unknown';
    return { program, binDirectory: found.stdout, version };
  }
  return undefined;
}

/** Ours is a launcher of another kind; a link to it is it. */
async function isPerl(path: string): Promise<boolean> {
  try {
    const text = await readFile(await realpath(path), 'utf8');
    return /^#!.*perl/.test(text) && /Gitolite::/.test(text);
  } catch {
    return false;
  }
}

/** As the account, in an environment of its own: nothing of ours reaches it, and unless told so it logs nothing. */
export async function askOld(run: Run, { program }: Pick<OldGitolite, 'program'>, ask: OldAsk): Promise<OldAnswer> {
  let stderr = '';
  const env = {
    HOME: run.rc.home,
    PATH,
    LC_ALL: 'C',
    USER: run.env['USER'] ?? 'git',
    LOGNAME: run.env['LOGNAME'] ?? 'git',
    ...(ask.asker === undefined ? {} : { GL_USER: ask.asker }),
    ...(ask.logs === true ? {} : { GL_LOGFILE: '/dev/null' }),
  };
  const collecting: Run = {
    ...run,
    env,
    warn: async (text) => {
      if (stderr.length < STDERR_KEPT) stderr += Buffer.from(text).toString();
    },
  };
  const { code, stdout } = await runProgram(collecting, {
    file: program,
    args: ask.args,
    cwd: run.rc.home,
    stdin: ask.stdin === undefined ? 'none' : Buffer.from(ask.stdin),
    stdout: 'collect',
    timeoutMs: ANSWER_MS,
  });
  return { code, stdout, stderr };
}

const STDERR_KEPT = 16 * 1024;
