/** Which repositories lie on disk, under whatever folders: directories are read again only where their stamps changed. */
import { readdirSync, type Dirent, type Stats } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { Stint } from '../base/stint.ts';
import { statOf } from './disk.ts';
import { scalarOf } from './rc-value.ts';
import type { Rc } from './rc.ts';

const DEPTH_MAX = 40;
const RACY_MS = 1_100;

interface Folder {
  readonly stamp: Stats;
  /** Names of entries that end in `.git`, without it. */
  readonly repositories: readonly string[];
  /** Names of folders that may hold more. */
  readonly folders: readonly string[];
}

export class PhysicalRepositories {
  readonly #folders = new Map<string, Folder>();
  readonly #clock: Pick<Clock, 'now'>;
  #sorted: { readonly found: string; readonly names: readonly string[] } | undefined;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** Sorted. `anew`: every folder is read. */
  async list(rc: Rc, { anew = false }: { readonly anew?: boolean } = {}): Promise<readonly string[]> {
    if (anew) this.#folders.clear();
    const follows = /(?:^| )-L\b/.test(scalarOf(rc.values['REPO_SYMLINKS']));
    const stint = new Stint();
    const seen = new Set<string>();
    const found: string[] = [];
    const waiting: { readonly prefix: string; readonly depth: number }[] = [{ prefix: '', depth: 0 }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { prefix, depth } = next;
      const path = prefix === '' ? rc.repositoryBase : `${rc.repositoryBase}/${prefix.slice(0, -1)}`;
      seen.add(path);
      const folder = this.#folder(path, follows);
      for (const name of folder?.repositories ?? []) if (name !== '') found.push(prefix + name);
      if (depth < DEPTH_MAX)
        for (const name of folder?.folders ?? []) waiting.push({ prefix: `${prefix}${name}/`, depth: depth + 1 });
      if (stint.isOver) await stint.rest();
    }
    for (const path of this.#folders.keys()) if (!seen.has(path)) this.#folders.delete(path);
    return this.#sort(found);
  }

  /** Sorting thousands of names costs more than finding that they are the same. */
  #sort(names: string[]): readonly string[] {
    const found = names.join('\n');
    if (this.#sorted?.found !== found) this.#sorted = { found, names: names.sort() };
    return this.#sorted.names;
  }

  #folder(path: string, follows: boolean): Folder | undefined {
    const stamp = statOf(path);
    if (stamp?.isDirectory() !== true) return undefined;
    const known = this.#folders.get(path);
    if (known !== undefined && known.stamp.mtimeMs === stamp.mtimeMs && known.stamp.ino === stamp.ino) return known;
    const now = this.#clock.now();
    const repositories: string[] = [];
    const folders: string[] = [];
    for (const entry of entriesOf(path)) {
      if (entry.name.endsWith('.git')) repositories.push(entry.name.slice(0, -'.git'.length));
      else if (entry.isDirectory() || (follows && isLinkToDirectory(path, entry))) folders.push(entry.name);
    }
    const folder = { stamp, repositories, folders };
    if (stamp.mtimeMs < now - RACY_MS) this.#folders.set(path, folder);
    else this.#folders.delete(path);
    return folder;
  }
}

function entriesOf(path: string): readonly Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

function isLinkToDirectory(path: string, entry: Dirent): boolean {
  return entry.isSymbolicLink() && statOf(`${path}/${entry.name}`)?.isDirectory() === true;
}
