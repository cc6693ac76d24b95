/**
 * Where things lie under `<data>/repositories/`, and the marks that make moving them safe.
 *
 * The store says where a repository belongs: among the living (`ab/cd/<id>.git`), in the graveyard
 * (`.graveyard/<id>.git`), or nowhere. Before anything is made, moved or removed, a mark `.moving/<id>.<why>`
 * is put on disk; it goes when the disk agrees with the store again. A start looks at the marks only
 * (`sweep.ts`), not at a hundred thousand directories.
 */
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { syncDirectory } from '../base/durable.ts';

export const MOVES = ['create', 'copy', 'destroy', 'restore', 'purge', 'describe', 'head'] as const;
export type Move = (typeof MOVES)[number];

export interface Mark {
  readonly id: string;
  readonly why: Move;
}

const ID = /^[0-9a-f]{32}$/;

export class Layout {
  readonly root: string;
  /** Directories that were made and synced in this run: their parents need no second sync. */
  readonly #known = new Set<string>();

  constructor(root: string) {
    this.root = root;
  }

  home(id: string): string {
    if (!ID.test(id)) throw new Fault('internal', 'malformed repository id', { context: { id } });
    return join(this.root, id.slice(0, 2), id.slice(2, 4), `${id}.git`);
  }

  grave(id: string): string {
    return join(this.root, '.graveyard', `${id}.git`);
  }

  /** Where data goes that nothing claims: kept, never served. */
  lost(id: string): string {
    return join(this.root, '.lost', `${id}.git`);
  }

  /** Makes the directory that `path` lies in, so that it stays. */
  async prepareParent(path: string): Promise<void> {
    await this.#prepare(dirname(path));
  }

  /** @throws Fault 'internal' where the same id has this mark: its tasks must run one after another. */
  async mark(mark: Mark): Promise<void> {
    const path = this.#markPath(mark);
    await this.#prepare(dirname(path));
    const file = await open(path, 'w');
    await file.close();
    await syncDirectory(dirname(path));
  }

  /** Not synced: a mark that comes back after a power cut is looked at and found settled. */
  async unmark(mark: Mark): Promise<void> {
    await rm(this.#markPath(mark), { force: true });
  }

  async marks(): Promise<readonly Mark[]> {
    const names = await entriesOf(join(this.root, '.moving'));
    return names.flatMap((name) => {
      const [id = '', word] = name.split('.');
      const why = MOVES.find((move) => move === word);
      return ID.test(id) && why !== undefined ? [{ id, why }] : [];
    });
  }

  /** Ids of every directory among the living, in no order. For rebuilding only: it reads the whole tree. */
  async *homes(): AsyncGenerator<string> {
    for (const first of await entriesOf(this.root)) {
      if (!/^[0-9a-f]{2}$/.test(first)) continue;
      for (const second of await entriesOf(join(this.root, first))) {
        for (const name of await entriesOf(join(this.root, first, second))) {
          const id = name.slice(0, -'.git'.length);
          if (name === `${id}.git` && ID.test(id) && id.startsWith(first + second)) yield id;
        }
      }
    }
  }

  #markPath(mark: Mark): string {
    return join(this.root, '.moving', `${mark.id}.${mark.why}`);
  }

  async #prepare(directory: string): Promise<void> {
    if (this.#known.has(directory)) return;
    await mkdir(directory, { recursive: true });
    // Another task may have made it a moment ago and not synced it yet: so do not ask who made it.
    for (let at = directory; at.length > this.root.length; at = dirname(at)) await syncDirectory(dirname(at));
    await syncDirectory(dirname(this.root));
    this.#known.add(directory);
  }
}

export async function isPresent(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** What a directory holds; nothing where it does not exist. */
export async function entriesOf(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
