/** One push of a whole repository to one of its copies, and the note that is left where it failed. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CREATOR_FILE, PERMISSIONS_FILE, repositoryPath } from './disk.ts';
import { glExtra, glLog } from './gl-log.ts';
import { runInstalled } from './installed.ts';
import { localStamp } from './local-time.ts';
import { askerOf, type Run } from './run.ts';
import { readSiteFile, removeSiteFile, writeSiteFile } from './site-file.ts';

const STATUS_FILE = /^gl-copy-(.+)\.status$/;

/** The exit code. */
export async function pushToCopy(run: Run, name: string, host: string): Promise<number> {
  const path = repositoryPath(run.rc, name);
  await glExtra(run, `TID=${run.env['GL_TID'] ?? 0} host=${host} repo=${name}`, 'gitolite mirror push started');
  await sendOwner(run, { name, path, host });
  const said = heard(run);
  const { code } = await runInstalled(said.run, {
    file: 'git',
    args: ['push', '--mirror', `${host}:${name}`],
    cwd: path,
    stdout: 'stderr',
  });
  const text = said.text();
  let isFailed = code !== 0;
  for (const line of text.split('\n').filter((one) => one !== '')) {
    isFailed ||= line.includes('FATAL');
    await (line.includes('FATAL') ? glLog(run, 'mirror', line) : glExtra(run, `mirror: ${line}`));
  }
  // Somebody waits for it, or it went wrong: else a cron job that pushes every minute would be full of it.
  if (askerOf(run) !== undefined || isFailed) await run.warn(text);
  const status = join(path, `gl-copy-${host}.status`);
  const prefix = `${localStamp(run.clock.now())}\t${run.env['GL_TID'] ?? ''}\t`;
  if (/fatal/i.test(text)) await writeSiteFile(run, status, { data: text.replaceAll(/^(?=[^])/gm, () => prefix) });
  else await removeSiteFile(status);
  return isFailed ? 1 : 0;
}

/** A repository that somebody made is made there too, in the creator's name and with the same roles. */
async function sendOwner(
  run: Run,
  { name, path, host }: { readonly name: string; readonly path: string; readonly host: string },
): Promise<void> {
  const creator = (await readSiteFile(join(path, CREATOR_FILE)))?.toString().trimEnd();
  if (creator === undefined) return;
  const roles = (await readSiteFile(join(path, PERMISSIONS_FILE))) ?? new Uint8Array();
  const said = heard(run);
  const args = [host, `CREATOR=${creator}`, 'perms', '-c', `'${name}'`];
  await runInstalled(said.run, { file: 'ssh', args, stdin: roles, stdout: 'stderr' });
}

/** The same run, with what its programs complain of kept. */
function heard(run: Run): { readonly run: Run; text(): string } {
  const chunks: Buffer[] = [];
  const warn = (text: string | Uint8Array): Promise<void> => {
    chunks.push(Buffer.from(text));
    return Promise.resolve();
  };
  return { run: { ...run, warn }, text: () => Buffer.concat(chunks).toString() };
}

/** Servers whose last push failed, with what was said; `host` undefined: all. */
export async function failedCopies(
  run: Run,
  name: string,
  host?: string,
): Promise<readonly { readonly host: string; readonly said: string }[]> {
  const path = repositoryPath(run.rc, name);
  const failed: { readonly host: string; readonly said: string }[] = [];
  for (const file of (await readdir(path)).sort()) {
    const [, one] = STATUS_FILE.exec(file) ?? [];
    if (one === undefined || (host !== undefined && one !== host)) continue;
    failed.push({ host: one, said: (await readSiteFile(join(path, file)))?.toString() ?? '' });
  }
  return failed;
}

/** What is told of them; empty: the last push to each copy was well. @param host undefined: all. */
export async function failuresText(run: Run, name: string, host?: string): Promise<string> {
  const failed = await failedCopies(run, name, host);
  const told = failed.map(
    ({ host: copy, said }) =>
      `----------\nWARNING: previous mirror push of repo '${name}' to host '${copy}' failed, status is:\n${said}----------\n`,
  );
  return told.join('');
}
