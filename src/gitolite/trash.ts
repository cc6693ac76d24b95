/** What lies in the trash can of a site: repositories, each under its name and the time of its end. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CREATOR_FILE } from './disk.ts';
import { readSiteFile } from './site-file.ts';
import { isAbsent } from './small-file.ts';

const DEPTH_MAX = 40;
const FOLDERS_MAX = 200_000;

/** Names below the can of repositories that the user made, sorted. */
export async function trashedBy(can: string, user: string): Promise<readonly string[]> {
  const found: string[] = [];
  const waiting: { readonly name: string; readonly depth: number }[] = [{ name: '', depth: 0 }];
  let looked = 0;
  for (let next = waiting.pop(); next !== undefined && looked < FOLDERS_MAX; next = waiting.pop()) {
    looked += 1;
    const { name, depth } = next;
    const creator = await readSiteFile(join(can, name, CREATOR_FILE));
    if (creator !== undefined) {
      // A repository: nothing below it is another.
      if (creator.toString().replace(/\n+$/, '') === user) found.push(name);
      continue;
    }
    if (depth >= DEPTH_MAX) continue;
    for (const folder of await foldersOf(join(can, name))) waiting.push({ name: join(name, folder), depth: depth + 1 });
  }
  return found.sort();
}

async function foldersOf(path: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}
