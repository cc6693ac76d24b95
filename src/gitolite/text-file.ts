/** Texts that users keep with a repository: description, README.html, message of the day. */
import { join } from 'node:path';
import { assertSane } from './ask.ts';
import { repositoryPath, statOf } from './disk.ts';
import { optionOf } from './options.ts';
import { isTrue } from './rc-value.ts';
import { may, owns } from './rights.ts';
import type { Run } from './run.ts';
import { readSiteFile, writeSiteFile } from './site-file.ts';
import { dies } from './words.ts';

/** As it is; empty where there is none. @throws `dies` where there is no such repository. */
export async function readText(run: Run, name: string, file: string): Promise<Uint8Array> {
  return (await readSiteFile(join(repositoryFolder(run, name), file))) ?? new Uint8Array();
}

/** With the umask that the repository has of its own. @throws `dies` where there is no such repository. */
export async function writeText(
  run: Run,
  { name, file, text }: { readonly name: string; readonly file: string; readonly text: string | Uint8Array },
): Promise<void> {
  const folder = repositoryFolder(run, name);
  const own = await optionOf(run, name, 'umask');
  const umask = /^[0-7]{1,5}$/.test(own) ? Number.parseInt(own, 8) & 0o777 : run.rc.umask;
  await writeSiteFile(run, join(folder, file), { data: text, umask });
}

/** Its owners, and with the option `writer-is-owner` all who may push. */
export async function mayKeepTexts(run: Run, name: string, { isForWriters = false } = {}): Promise<boolean> {
  if (await owns(run, name)) return true;
  if (!(await may(run, name, 'W'))) return false;
  return isForWriters || isTrue(await optionOf(run, name, 'writer-is-owner'));
}

export function repositoryFolder(run: Run, name: string): string {
  assertSane(name);
  const path = repositoryPath(run.rc, name);
  if (statOf(path)?.isDirectory() !== true) throw dies(`repo '${name}' does not exist`);
  return path;
}
