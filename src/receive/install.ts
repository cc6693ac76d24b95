/**
 * Moves a quarantine's objects into the repository so that a power cut at any moment leaves each pack whole or unseen:
 * bytes are synced first, then the pack, then what goes with it, and last the index that makes git see it.
 */
import { constants } from 'node:fs';
import { access, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Durable } from './durable.ts';

/** What a `.keep` file of ours starts with. */
const KEPT_BY_US = 'gatehouse ';
/** In this order; `.idx` last. */
const PACK_PARTS = ['.pack', '.rev', '.bitmap', '.idx'];

export interface InstallOptions {
  readonly objectDirectory: string;
  readonly repositoryPath: string;
  readonly txid: string;
  readonly durable: Durable;
  /** Called for each pack as soon as it is kept from repacking; `releasePacks` ends that. */
  readonly onKept: (pack: string) => void;
}

/** Syncs every file of the quarantine; needs no lock, so it is done before the repository's turn. */
export async function syncQuarantine(objectDirectory: string, durable: Durable): Promise<void> {
  for (const entry of await readdir(objectDirectory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && !isTemporary(entry.name)) await durable.syncFile(join(entry.parentPath, entry.name));
  }
}

export async function installObjects(options: InstallOptions): Promise<void> {
  const { objectDirectory } = options;
  const entries = await readdir(objectDirectory, { withFileTypes: true });
  for (const entry of entries) {
    if (entry.isDirectory() && /^[0-9a-f]{2}$/.test(entry.name)) await installLoose(options, entry.name);
  }
  await installPacks(options);
}

async function installPacks({ objectDirectory, repositoryPath, txid, durable, onKept }: InstallOptions): Promise<void> {
  const from = join(objectDirectory, 'pack');
  const to = join(repositoryPath, 'objects', 'pack');
  const files: readonly string[] = await readdir(from).catch(() => []);
  const packs = files.filter((name) => /^pack-[0-9a-f]+\.idx$/.test(name)).map((name) => name.slice(0, -'.idx'.length));
  if (packs.length === 0) return;
  await mkdir(to, { recursive: true });
  for (const pack of packs) {
    // From here until the refs are in place no repack may take the pack for garbage.
    if (await keep(join(to, `${pack}.keep`), `${KEPT_BY_US}${txid}\n`)) onKept(pack);
    for (const part of PACK_PARTS) {
      if (!files.includes(`${pack}${part}`)) continue;
      if (!(await exists(join(to, `${pack}${part}`))))
        await rename(join(from, `${pack}${part}`), join(to, `${pack}${part}`));
      // The same pack was pushed before: as good as new, also for who prunes by age.
      else await utimes(join(to, `${pack}${part}`), new Date(), new Date());
    }
  }
  await durable.syncDirectory(to);
}

/** False where somebody else keeps it already: then it is not ours to release. */
async function keep(path: string, why: string): Promise<boolean> {
  try {
    await writeFile(path, why, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function installLoose({ objectDirectory, repositoryPath, durable }: InstallOptions, fan: string): Promise<void> {
  const to = join(repositoryPath, 'objects', fan);
  const isNew = (await mkdir(to, { recursive: true })) !== undefined;
  for (const name of await readdir(join(objectDirectory, fan))) {
    if (isTemporary(name)) continue;
    if (await exists(join(to, name))) await utimes(join(to, name), new Date(), new Date());
    else await rename(join(objectDirectory, fan, name), join(to, name));
  }
  await durable.syncDirectory(to);
  if (isNew) await durable.syncDirectory(join(repositoryPath, 'objects'));
}

/** Lets repacking have the packs again. */
export async function releasePacks(repositoryPath: string, packs: readonly string[]): Promise<void> {
  for (const pack of packs) {
    if (/^pack-[0-9a-f]+$/.test(pack))
      await rm(join(repositoryPath, 'objects', 'pack', `${pack}.keep`), { force: true });
  }
}

/** The same for whatever a crash left kept; only while nothing is pushed. What others keep stays. */
export async function releaseEveryPack(repositoryPath: string): Promise<void> {
  const directory = join(repositoryPath, 'objects', 'pack');
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (name.endsWith('.keep') && (await readFile(path, 'utf8')).startsWith(KEPT_BY_US))
      await rm(path, { force: true });
  }
}

function isTemporary(name: string): boolean {
  return name.startsWith('tmp_');
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}
