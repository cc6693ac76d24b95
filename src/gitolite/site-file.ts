/** Files of a repository or of the site that commands write: whole or not at all, for whom the site's umask lets read. */
import { chmod, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BOUNDS } from '../base/bounds.ts';
import { syncDirectory, writeFileDurably } from '../base/durable.ts';
import { statOf } from './disk.ts';
import type { Run } from './run.ts';
import { isAbsent } from './small-file.ts';
import { dies } from './words.ts';

/** Undefined: no such file. @throws `dies` where it is larger; default: than what a command may write. */
export async function readSiteFile(
  path: string,
  bytesMax: number = BOUNDS.commandInputBytesMax,
): Promise<Buffer | undefined> {
  const stat = statOf(path);
  if (stat?.isFile() !== true) return undefined;
  if (stat.size > bytesMax) throw dies(`'${path}' is too large`);
  return readFile(path);
}

/** One that is there keeps its mode. @throws `dies` where its directory is not there. */
export async function writeSiteFile(
  run: Run,
  path: string,
  { data, umask = run.rc.umask }: { readonly data: string | Uint8Array; readonly umask?: number },
): Promise<void> {
  const mode = modeOf(path) ?? 0o666 & ~umask;
  try {
    await writeFileDurably(path, data, { mode });
  } catch (error) {
    if (isAbsent(error)) throw dies(`open ${path} failed: No such file or directory\n`, error);
    throw error;
  }
  // The process may have a stricter umask of its own.
  if (modeOf(path) !== mode) await chmod(path, mode);
}

/** Nothing happens where it is not there. */
export async function removeSiteFile(path: string): Promise<void> {
  try {
    await rm(path);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  await syncDirectory(dirname(path));
}

function modeOf(path: string): number | undefined {
  const stat = statOf(path);
  return stat === undefined ? undefined : stat.mode & 0o7777;
}
