/**
 * Makes the disk agree with the store about one marked repository. Every operation ends here, whether it
 * committed, was refused or failed; a start calls it for each mark that a crash left. So there is one piece
 * of code that moves repositories, and it runs every day.
 */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, moveIntoDurably } from '../base/durable.ts';
import { identify, pointHead } from './bare.ts';
import type { Ground } from './ground.ts';
import { entriesOf, isPresent, type Mark } from './layout.ts';
import { readRegistered, type Registered } from './record.ts';
import { headOf } from './settings.ts';

/**
 * Runs `work` under a mark and settles afterwards. Where `work` throws, what it threw is what the caller gets;
 * a mark that could not be settled stays for the next start.
 */
export async function marked<T>(ground: Ground, mark: Mark, work: () => Promise<T>): Promise<T> {
  await ground.layout.mark(mark);
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await settle(ground, mark).catch((cause: unknown) => ground.log('leave repository unsettled', { ...mark, cause }));
    throw error;
  }
  await settle(ground, mark);
  return result;
}

export async function settle(ground: Ground, mark: Mark): Promise<void> {
  const { store, layout } = ground;
  const living = await store.get('repository', mark.id);
  const buried = living === undefined ? await store.get('graveyard', mark.id) : undefined;
  if (living !== undefined) await settleLiving(ground, mark, readRegistered(living));
  else if (buried !== undefined)
    await moveUnlessThere(ground, { from: layout.home(mark.id), to: layout.grave(mark.id) });
  else await settleNobodys(ground, mark);
  await layout.unmark(mark);
}

/** Writes what the record says into the configuration, where the repository is among the living. */
export function nameOwner(ground: Ground, id: string): Promise<void> {
  return ground.turns.run(`id ${id}`, async () => {
    const stored = await ground.store.get('repository', id);
    const home = ground.layout.home(id);
    if (stored !== undefined && (await isPresent(home))) await identify(home, readRegistered(stored));
  });
}

async function settleLiving(ground: Ground, mark: Mark, record: Registered): Promise<void> {
  const home = ground.layout.home(mark.id);
  await moveUnlessThere(ground, { from: ground.layout.grave(mark.id), to: home });
  if (!(await isPresent(home))) {
    ground.log('miss a repository on disk', { id: mark.id, name: record.name });
    return;
  }
  if (mark.why === 'describe' || mark.why === 'restore') await identify(home, record);
  if (mark.why === 'head') await pointHead(home, headOf(record.settings));
}

/**
 * No record: it was being made and nobody has ever heard of it, or it was purged. Anything else means that the
 * store is older than the disk (a backup brought back): then data is put aside, never removed.
 */
async function settleNobodys(ground: Ground, mark: Mark): Promise<void> {
  const { layout } = ground;
  for (const path of [layout.home(mark.id), layout.grave(mark.id)]) {
    if (!(await isPresent(path))) continue;
    const isOurs =
      mark.why === 'purge' || mark.why === 'copy' || (mark.why === 'create' && (await isWithoutObjects(path)));
    if (isOurs) {
      // A git that outlives a killed gate for a moment may still write here.
      await rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
      await syncDirectory(dirname(path));
    } else {
      await putAside(ground, path, layout.lost(mark.id));
    }
  }
}

async function putAside(ground: Ground, from: string, to: string): Promise<void> {
  await ground.layout.prepareParent(to);
  const free = (await isPresent(to)) ? `${to}.${ground.clock.now()}` : to;
  ground.log('put a repository without a record aside', { from, to: free });
  await moveIntoDurably(from, free);
}

async function moveUnlessThere(ground: Ground, move: { readonly from: string; readonly to: string }): Promise<void> {
  if ((await isPresent(move.to)) || !(await isPresent(move.from))) return;
  await ground.layout.prepareParent(move.to);
  await moveIntoDurably(move.from, move.to);
}

async function isWithoutObjects(path: string): Promise<boolean> {
  const entries = await entriesOf(join(path, 'objects'));
  if (entries.some((name) => name !== 'info' && name !== 'pack')) return false;
  return (await entriesOf(join(path, 'objects', 'pack'))).length === 0;
}
