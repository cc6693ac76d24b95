/**
 * Moves a quarantine's objects into the repository so that a power cut at any moment leaves each pack whole or unseen:
 * bytes are synced first, then the pack, then what goes with it, and last the index that makes git see it.
 */
import { existsSync, link, readdirSync, rename, unlink } from 'node:fs';
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { allSynced } from '../base/durable.ts';
import { Fault } from '../base/fault.ts';
import { isWithoutLinks } from '../base/links.ts';
import type { Durable } from './durable.ts';
import { hasCode } from './loose-place.ts';
import { GATE_DIRECTORY, isSynced, WRITE_SYNCED } from './quarantine.ts';

// Looking at a directory does not wait for the disk; changing one may.
const linkAsync = promisify(link);
const renameAsync = promisify(rename);
const unlinkAsync = promisify(unlink);

/** What a `.keep` file of ours starts with. */
const KEPT_BY_US = 'gatehouse ';
/** Each `.keep` file of ours is a link to this one, whose text is whole and on disk before it has its name; else a text of its own. */
const NOTE = join(GATE_DIRECTORY, 'keep');
const NOTE_TEXT = `${KEPT_BY_US}push\n`;
/** Others may replace the text while it is linked. */
const ATTEMPTS_MAX = 8;
/** In this order; `.idx` last. */
const PACK_PARTS = ['.pack', '.rev', '.bitmap', '.idx'];

export interface InstallOptions {
  readonly objectDirectory: string;
  readonly repositoryPath: string;
  /** Called for each pack as soon as it is kept from repacking; `releasePacks` ends that. */
  readonly onKept: (pack: string) => void;
}

/** Files synced at the same time: more would keep others from the threads that do it. */
const SYNCS_MAX = 3;

/** Syncs every file of the quarantine that was not synced as it was written; needs no lock, so it is done before the repository's turn. */
export async function syncQuarantine(objectDirectory: string, durable: Durable): Promise<void> {
  const entries = readdirSync(objectDirectory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && !isTemporary(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !isSynced(path));
  const left = files.values();
  const worker = async (): Promise<void> => {
    for (const path of left) await durable.syncFile(path);
  };
  await allSynced(Array.from({ length: Math.min(SYNCS_MAX, files.length) }, worker));
}

/** Resolves with the directories that are to be synced before anything relies on the objects. */
export async function installObjects(options: InstallOptions): Promise<readonly string[]> {
  const { objectDirectory } = options;
  const changed: string[] = [];
  const entries = readdirSync(objectDirectory, { withFileTypes: true });
  for (const entry of entries) {
    if (entry.isDirectory() && /^[0-9a-f]{2}$/.test(entry.name))
      changed.push(...(await installLoose(options, entry.name)));
  }
  return [...changed, ...(await installPacks(options))];
}

async function installPacks(options: InstallOptions): Promise<readonly string[]> {
  const { objectDirectory, repositoryPath, onKept } = options;
  const from = join(objectDirectory, 'pack');
  const to = join(repositoryPath, 'objects', 'pack');
  const files: readonly string[] = existsSync(from) ? readdirSync(from) : [];
  const packs = files.filter((name) => /^pack-[0-9a-f]+\.idx$/.test(name)).map((name) => name.slice(0, -'.idx'.length));
  if (packs.length === 0) return [];
  if (!existsSync(to)) await mkdir(to, { recursive: true });
  for (const pack of packs) {
    // From here until the refs are in place no repack may take the pack for garbage.
    if (await keep(options, join(to, `${pack}.keep`))) onKept(pack);
    for (const part of PACK_PARTS) {
      if (!files.includes(`${pack}${part}`)) continue;
      if (!existsSync(join(to, `${pack}${part}`)))
        await renameAsync(join(from, `${pack}${part}`), join(to, `${pack}${part}`));
      // The same pack was pushed before: as good as new, also for who prunes by age.
      else await utimes(join(to, `${pack}${part}`), new Date(), new Date());
    }
  }
  return [to];
}

/** False where somebody else keeps it already: then it is not ours to release. */
async function keep({ objectDirectory, repositoryPath }: InstallOptions, path: string): Promise<boolean> {
  const note = join(repositoryPath, NOTE);
  const made = join(objectDirectory, 'tmp_keep');
  let hasReplaced = false;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const linked = await tryLink(note, path);
    if (linked === 'linked' || linked === 'taken') return linked === 'linked';
    await writeNote(made);
    if (linked === 'missing') {
      if ((await tryLink(made, note)) === 'unusable') return keepAlone(made, path);
      await unlinkAsync(made);
    } else {
      if (hasReplaced || !(await replaceNote(made, note))) return keepAlone(made, path);
      hasReplaced = true;
    }
  }
  throw new Fault('internal', 'pack cannot be kept', { context: { path } });
}

/** Whole and on disk before it gets a name: who is killed in the middle leaves no `.keep` that does not say whose it is. */
async function writeNote(made: string): Promise<void> {
  // Read-only: it is the text of every `.keep` of ours, now and later, and not for anybody to write a reason into.
  await writeFile(made, NOTE_TEXT, { flag: WRITE_SYNCED, mode: 0o444 });
}

/**
 * Another user made the text, or it has all the names that it can have. One that can be linked is not replaced: whoever is
 * about to link it would find none. False: it is not ours to replace either.
 */
async function replaceNote(made: string, note: string): Promise<boolean> {
  try {
    await renameAsync(made, note);
    return true;
  } catch (error) {
    if (hasCode(error, ['EPERM', 'EACCES'])) return false;
    throw error;
  }
}

/**
 * Where nothing can be linked: a text of the pack's own. A rename replaces what is there, so somebody else's reason that
 * comes in this very moment is lost, and nothing else.
 */
async function keepAlone(made: string, path: string): Promise<boolean> {
  const isTaken = existsSync(path);
  await (isTaken ? unlinkAsync(made) : renameAsync(made, path));
  return !isTaken;
}

async function tryLink(from: string, to: string): Promise<'linked' | 'taken' | 'missing' | 'unusable'> {
  try {
    await linkAsync(from, to);
    return 'linked';
  } catch (error) {
    if (hasCode(error, ['EEXIST'])) return 'taken';
    // Also where it was replaced at this moment.
    if (hasCode(error, ['ENOENT'])) return 'missing';
    if (isWithoutLinks(error)) return 'unusable';
    throw error;
  }
}

async function installLoose(
  { objectDirectory, repositoryPath }: InstallOptions,
  fan: string,
): Promise<readonly string[]> {
  const to = join(repositoryPath, 'objects', fan);
  await mkdir(to, { recursive: true });
  for (const name of await readdir(join(objectDirectory, fan))) {
    if (isTemporary(name)) continue;
    if (existsSync(join(to, name))) await utimes(join(to, name), new Date(), new Date());
    else await renameAsync(join(objectDirectory, fan, name), join(to, name));
  }
  // Whoever made the directory, another push of the same turn or one that failed behind that, has not named it on disk yet.
  return [to, join(repositoryPath, 'objects')];
}

/** Lets repacking have the packs again. */
export async function releasePacks(repositoryPath: string, packs: readonly string[]): Promise<void> {
  const release = async (pack: string): Promise<void> => {
    const path = join(repositoryPath, 'objects', 'pack', `${pack}.keep`);
    await unlinkAsync(path).catch((error: unknown) => {
      if (existsSync(path)) throw error;
    });
  };
  await allSynced(packs.filter((pack) => /^pack-[0-9a-f]+$/.test(pack)).map(release));
}

/**
 * The same for whatever a crash left kept; only while nothing is pushed. What others keep stays, also where they wrote their
 * reason over ours: then the next pack is kept by a new text.
 */
export async function releaseEveryPack(repositoryPath: string): Promise<void> {
  const note = join(repositoryPath, NOTE);
  const text = await readFile(note, 'utf8').catch(() => undefined);
  if (text !== NOTE_TEXT) await rm(note, { force: true });
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
