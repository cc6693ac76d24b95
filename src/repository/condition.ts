/** How much there is to tidy up in a repository, read from the names of its files: no process, no object read. */
import { lstatSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Stint } from '../base/stint.ts';

export interface Condition {
  /** Packs that may be rolled into others: those without a `.keep` file. */
  readonly packs: number;
  /** About how many loose objects: one of the 256 directories is counted. */
  readonly looseObjects: number;
  /** Loose refs below `refs/heads` and `refs/tags`, counted up to `LOOSE_REFS_COUNTED_MAX`. */
  readonly looseRefs: number;
  /** Bytes of all packs. */
  readonly packBytes: number;
  readonly hasBitmap: boolean;
}

export const LOOSE_REFS_COUNTED_MAX = 1_000;
/** Any will do: oids are spread evenly. */
const SAMPLED = '17';

export async function conditionOf(path: string): Promise<Condition> {
  const directory = join(path, 'objects', 'pack');
  const names = new Set(await namesIn(directory));
  let packs = 0;
  let packBytes = 0;
  let hasBitmap = false;
  const stint = new Stint();
  for (const name of names) {
    if (stint.isOver) await stint.rest();
    if (name.endsWith('.bitmap')) hasBitmap = true;
    if (!name.endsWith('.pack') || name.startsWith('tmp_')) continue;
    if (!names.has(name.replace(/\.pack$/, '.keep'))) packs += 1;
    packBytes += sizeOf(join(directory, name));
  }
  const sampled = await namesIn(join(path, 'objects', SAMPLED));
  const looseObjects = 256 * sampled.filter((name) => !name.startsWith('tmp_')).length;
  return { packs, looseObjects, looseRefs: await countLooseRefs(path), packBytes, hasBitmap };
}

async function countLooseRefs(path: string): Promise<number> {
  let count = 0;
  const open = [join(path, 'refs', 'heads'), join(path, 'refs', 'tags')];
  for (let next = open.pop(); next !== undefined && count < LOOSE_REFS_COUNTED_MAX; next = open.pop()) {
    const entries = await readdir(next, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.isDirectory()) open.push(join(next, entry.name));
      else if (!entry.name.endsWith('.lock')) count += 1;
    }
  }
  return Math.min(count, LOOSE_REFS_COUNTED_MAX);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => []);
}

function sizeOf(path: string): number {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0;
  }
}
