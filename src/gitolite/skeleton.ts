/**
 * A bare repository just made by git, to make others like it without a process for each: what the account's templates and
 * settings put into it counts, except for sample hooks, which do nothing.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SENTINEL_FILE, statOf, targetOf } from './disk.ts';
import { makeDirectory } from './hooks.ts';
import { isAbsent } from './small-file.ts';

const ENTRIES_MAX = 200;
const BYTES_MAX = 1024 * 1024;

export interface Entry {
  /** Relative. */
  readonly path: string;
  readonly mode: number;
  readonly content: 'directory' | { readonly target: string } | { readonly bytes: Uint8Array | string };
}

export class Skeleton {
  /** What it is made of: another thread can make a skeleton of the same. */
  readonly entries: readonly Entry[];

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  /** @param path a repository nobody has used yet, its hooks linked. Undefined: its templates are too large to be kept at hand. */
  static of(path: string): Skeleton | undefined {
    const entries: Entry[] = [];
    let bytes = 0;
    const waiting = [''];
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
      for (const one of readdirSync(join(path, folder), { withFileTypes: true })) {
        const relative = join(folder, one.name);
        if (/^hooks\/.*\.sample$/.test(relative)) continue;
        const entry = entryOf(join(path, relative), relative);
        if (entry === undefined || entries.length >= ENTRIES_MAX) return undefined;
        if (entry.content === 'directory') waiting.push(relative);
        else if ('bytes' in entry.content) bytes += entry.content.bytes.length;
        entries.push(entry);
      }
    }
    if (bytes > BYTES_MAX) return undefined;
    // Without HEAD it is no repository: one that was cut short is seen as such, and made again.
    return new Skeleton(entries.toSorted((a, b) => Number(a.path === 'HEAD') - Number(b.path === 'HEAD')));
  }

  /** For many in a row: what is the same of all of them is looked at once. @param umask the site's. */
  maker(umask: number): (repository: NewRepository) => void {
    const processUmask = process.umask();
    // Of thousands of repositories, thousands of calls that change nothing are left out.
    const isCut = (mode: number): boolean => (mode & processUmask) !== 0 || mode > 0o777;
    return ({ path, sentinel }) => {
      makeTop(path, { umask, isCut });
      for (const entry of this.entries) makeEntry(entry, `${path}/${entry.path}`, isCut(entry.mode));
      if (sentinel === undefined) return;
      const mode = 0o666 & ~umask;
      makeEntry({ mode, content: { bytes: sentinel } }, `${path}/${SENTINEL_FILE}`, isCut(mode));
    };
  }
}

export interface NewRepository {
  /** Where nothing is yet. */
  readonly path: string;
  /** What `gl-conf` holds; undefined: there is to be none. */
  readonly sentinel: string | undefined;
}

function makeTop(
  path: string,
  { umask, isCut }: { readonly umask: number; readonly isCut: (mode: number) => boolean },
): void {
  const mode = 0o777 & ~umask;
  try {
    mkdirSync(path, mode);
    if (isCut(mode)) chmodSync(path, mode);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    makeDirectory(path, { umask });
  }
}

/** Some twenty short calls a repository are far cheaper than as many that go by way of other threads. */
function makeEntry({ mode, content }: Pick<Entry, 'mode' | 'content'>, path: string, isCut: boolean): void {
  if (content === 'directory') mkdirSync(path, mode);
  else if ('target' in content) return symlinkSync(content.target, path);
  else writeFileSync(path, content.bytes, { flag: 'wx', mode });
  if (isCut) chmodSync(path, mode);
}

function entryOf(full: string, path: string): Entry | undefined {
  const target = targetOf(full);
  if (target !== undefined) return { path, mode: 0, content: { target } };
  const stat = statOf(full);
  if (stat === undefined) return undefined;
  const mode = stat.mode & 0o7777;
  if (stat.isDirectory()) return { path, mode, content: 'directory' };
  if (!stat.isFile() || stat.size > BYTES_MAX) return undefined;
  return { path, mode, content: { bytes: readFileSync(full) } };
}
