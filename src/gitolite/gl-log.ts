/**
 * The log of a site, which its tools read: a line an event, tab-separated, behind time and transaction id. Where it goes is
 * the site's to say (LOG_DEST): the log file, syslog, and for updates a file in the repository.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { localStamp } from './local-time.ts';
import { scalarOf } from './rc-value.ts';
import type { Rc } from './rc.ts';
import type { Env, Run } from './run.ts';
import { sendToSyslog } from './syslog.ts';
import { fatalText } from './words.ts';

/** Appends one line. A log that cannot be written ends nothing: the journal has what happened too. */
export async function glLog(run: Run, ...fields: readonly string[]): Promise<void> {
  const destination = scalarOf(run.rc.values['LOG_DEST']);
  const text = fields.join('\t').replaceAll(/[\n\r]+/g, '<<newline>>');
  const line = `${localStamp(run.clock.now())}\t${run.env['GL_TID'] ?? '0'}\t${text}\n`;
  if (destination.includes('repo-log') && fields[0] === 'update') await append(run, repositoryLog(run), line);
  if (destination.includes('syslog')) {
    await sendToSyslog({
      facility: scalarOf(run.rc.values['LOG_FACILITY']) || 'local0',
      // Extra detail is what begins with a tab.
      level: text.startsWith('\t') ? 'debug' : 'info',
      tag: `gitolite[${run.env['GL_TID'] ?? ''}]`,
      text,
    });
    if (!destination.includes('normal')) return;
  }
  const file = run.env['GL_LOGFILE'];
  if (file !== undefined && file !== '') await append(run, file, line);
}

/** A line of the extra detail that LOG_EXTRA switches on: its fields joined with commas behind a tab. */
export async function glExtra(run: Run, ...fields: readonly string[]): Promise<void> {
  if (run.rc.values['LOG_EXTRA'] !== undefined) await glLog(run, `\t${fields.join(',')}`);
}

/** `WARNING: text` on standard error, and in the log. */
export async function glWarn(run: Run, text: string): Promise<void> {
  await glLog(run, 'warn', text);
  await run.warn(`WARNING: ${text}\n`);
}

/** Says what an invocation died of: to its caller in gitolite's words, in the log with what an engineer needs. */
export async function glDie(run: Run, error: unknown): Promise<void> {
  const text = fatalText(error);
  if (text === '') return;
  await glLog(run, 'die', text.replace(/^FATAL: /, '').trimEnd(), ...detailsOf(error));
  await run.warn(text);
  if (run.env['D'] !== undefined && error instanceof Error) await run.warn(`${error.stack ?? error.message}\n`);
}

/** Of our own failures: what was refused has said all. */
function detailsOf(error: unknown): readonly string[] {
  if (!(error instanceof Fault)) return [String(error)];
  if (error.publicMessage !== undefined) return [];
  const cause = error.cause instanceof Error ? [String(error.cause)] : [];
  return [error.message, JSON.stringify(error.context), ...cause];
}

/** LOG_TEMPLATE with the date in it, in local time. */
export function logFileOf(rc: Rc, now: number): string {
  const [year = '', month = '', day = ''] = localStamp(now).split(/[-.]/);
  return scalarOf(rc.values['LOG_TEMPLATE']).replaceAll('%y', year).replaceAll('%m', month).replaceAll('%d', day);
}

/** What an invocation adds to its caller's environment: what site programs, and gitolite's own, find there. */
export function siteEnv(rc: Rc, env: Env, { tid, now }: { readonly tid: number; readonly now: number }): Env {
  const path = rc.env['PATH'] ?? env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  return {
    ...env,
    ...rc.env,
    HOME: rc.home,
    PATH: path.startsWith(`${rc.binDirectory}:`) ? path : `${rc.binDirectory}:${path}`,
    GL_BINDIR: rc.binDirectory,
    // Of gitolite's Perl modules: a site whose programs use them says where they are.
    GL_LIBDIR: rc.env['GL_LIBDIR'] ?? env['GL_LIBDIR'] ?? join(rc.binDirectory, 'lib'),
    GL_REPO_BASE: rc.repositoryBase,
    GL_ADMIN_BASE: rc.adminBase,
    GL_TID: env['GL_TID'] || String(tid),
    GL_LOGFILE: env['GL_LOGFILE'] || logFileOf(rc, now),
  };
}

function repositoryLog(run: Run): string {
  return join(run.rc.repositoryBase, `${run.env['GL_REPO'] ?? ''}.git`, 'gl-log');
}

/** Before a site is set up there is no directory for its log: then there is none. */
async function append(run: Run, file: string, line: string): Promise<void> {
  try {
    await using log = await openLog(file, run.rc.umask);
    await log?.appendFile(line);
  } catch (error) {
    await run.warn(`WARNING: the log ${file} cannot be written: ${String(error)}\n`);
  }
}

/** A new one can be read by whom the site's umask lets read, whatever the gate's own is. */
async function openLog(file: string, umask: number): Promise<FileHandle | undefined> {
  const old = await open(file, constants.O_WRONLY | constants.O_APPEND).catch(ignoreMissing);
  if (old !== undefined) return old;
  const made = await open(file, 'a').catch(ignoreMissing);
  await made?.chmod(0o666 & ~umask);
  return made;
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
