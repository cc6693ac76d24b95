/**
 * Where the objects of held pushes lie: `<repository>/gatehouse/held/<id>/objects`, beside the quarantines and as invisible
 * to every reader, so that they go where the repository goes. Files are hard links (copies, where there are
 * none): a push of which a part is carried out needs its pack twice. Nothing is ever moved out of an area: an approval that fails half-way leaves it whole.
 */
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { linkOrCopy } from '../base/links.ts';
import type { Durable } from './durable.ts';
import { syncQuarantine } from './install.ts';
import { GATE_DIRECTORY } from './quarantine.ts';

const HELD = join(GATE_DIRECTORY, 'held');
/** `pack/NAME` and `xx/NAME`: what a quarantine holds, and nothing deeper. */
const DIRECTORIES = /^(?:pack|[0-9a-f]{2})$/;

export function areaOf(repositoryPath: string, id: string): string {
  return join(repositoryPath, HELD, id);
}

/** The object directory of a held push, for git to read. */
export function heldObjects(repositoryPath: string, id: string): string {
  return join(areaOf(repositoryPath, id), 'objects');
}

/** Bytes of the files in a quarantine. */
export async function bytesIn(objectDirectory: string): Promise<number> {
  let bytes = 0;
  for (const { directory, name } of await filesOf(objectDirectory)) {
    bytes += (await stat(join(objectDirectory, directory, name))).size;
  }
  return bytes;
}

/** Links everything from one object directory into another. Not durable by itself. @returns what had to be copied */
export async function linkObjects(from: string, to: string): Promise<readonly string[]> {
  const copied: string[] = [];
  await mkdir(join(to, 'pack'), { recursive: true, mode: 0o700 });
  for (const { directory, name } of await filesOf(from)) {
    await mkdir(join(to, directory), { recursive: true, mode: 0o700 });
    const path = join(to, directory, name);
    if ((await linkOrCopy(join(from, directory, name), path)) === 'copied') copied.push(path);
  }
  return copied;
}

/** The objects of a quarantine in an area of their own, on disk when it resolves: bytes, names, and the way to them. */
export async function fillArea(
  durable: Durable,
  options: { readonly repositoryPath: string; readonly id: string; readonly objectDirectory: string },
): Promise<void> {
  const { repositoryPath, id, objectDirectory } = options;
  const area = areaOf(repositoryPath, id);
  const objects = heldObjects(repositoryPath, id);
  await mkdir(area, { recursive: true, mode: 0o700 });
  await chmod(area, 0o700);
  await syncQuarantine(objectDirectory, durable);
  for (const path of await linkObjects(objectDirectory, objects)) await durable.syncFile(path);
  for (const name of await readdir(objects)) await durable.syncDirectory(join(objects, name));
  for (let path = objects; path !== dirname(repositoryPath); path = dirname(path)) await durable.syncDirectory(path);
}

export async function hasArea(repositoryPath: string, id: string): Promise<boolean> {
  try {
    return (await stat(heldObjects(repositoryPath, id))).isDirectory();
  } catch {
    return false;
  }
}

/** Never throws: one that cannot be removed is tried again at the next start. */
export async function removeArea(repositoryPath: string, id: string): Promise<void> {
  await rm(areaOf(repositoryPath, id), { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
}

/** The ids of all areas of a repository. */
export async function areasOf(repositoryPath: string): Promise<readonly string[]> {
  return readdir(join(repositoryPath, HELD)).catch(() => []);
}

async function filesOf(
  objectDirectory: string,
): Promise<readonly { readonly directory: string; readonly name: string }[]> {
  const files: { directory: string; name: string }[] = [];
  for (const entry of await readdir(objectDirectory, { withFileTypes: true })) {
    if (!entry.isDirectory() || !DIRECTORIES.test(entry.name)) continue;
    for (const name of await readdir(join(objectDirectory, entry.name))) {
      if (!name.startsWith('tmp_')) files.push({ directory: entry.name, name });
    }
  }
  return files;
}
