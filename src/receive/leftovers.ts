/**
 * What pushes that never committed left in a repository when the gate ended: quarantines, log entries, locks of git's, packs
 * kept from repacking. None of it is seen by a reader, so nobody waits for it at start: it goes before the first commit or
 * upkeep of this process in that repository, and everywhere in the background.
 */
import { rm } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import type { Repository } from '../repository/repository.ts';
import type { Store } from '../store/store.ts';
import { releaseEveryPack, releasePacks } from './install.ts';
import { unreferencedEntries } from './log-entry.ts';
import { removeQuarantines } from './quarantine.ts';
import { removeStaleLocks } from './ref-writer.ts';
import { parseState } from './state.ts';

/** How much was removed. */
export interface Leftover {
  readonly quarantines: number;
  readonly entries: number;
}

export const NOTHING_LEFT: Leftover = { quarantines: 0, entries: 0 };

export interface LeftoversParts {
  readonly store: Pick<Store, 'get'>;
  readonly clock: Clock;
  readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
}

/** Repositories remembered as done; one that is forgotten is looked at once more, which finds nothing. */
const DONE_MAX = 20_000;

export class Leftovers {
  readonly #parts: LeftoversParts;
  readonly #done = new Set<string>();

  constructor(parts: LeftoversParts) {
    this.#parts = parts;
  }

  /** Whether this process has looked: from then on what lies there is, or may be, of its own pushes. */
  isDone({ id }: Pick<Repository, 'id'>): boolean {
    return this.#done.has(id);
  }

  /**
   * Only in the repository's turn, before this process commits there, and with no transaction pending that is not applied:
   * that one still needs its packs and its entry. Never throws: what cannot be removed is tried again, and logged.
   */
  async clear(repository: Repository): Promise<Leftover> {
    if (this.isDone(repository)) return NOTHING_LEFT;
    try {
      const quarantines = await removeQuarantines(repository.path);
      const state = parseState(await this.#parts.store.get('repository-state', repository.id));
      const left = await unreferencedEntries(repository, state);
      for (const { path, entry } of left) {
        if (entry !== undefined) {
          await removeStaleLocks(repository.path, entry.updates, this.#parts.clock);
          // By name as well: a power cut may have left a `.keep` without its text.
          await releasePacks(repository.path, entry.packs);
        }
        await rm(path, { force: true });
      }
      await releaseEveryPack(repository.path);
      this.#remember(repository.id);
      return { quarantines, entries: left.length };
    } catch (error) {
      this.#parts.log.warn({ repository: repository.name, error }, 'fail to tidy a repository');
      return NOTHING_LEFT;
    }
  }

  #remember(id: string): void {
    if (this.#done.size >= DONE_MAX) this.#done.clear();
    this.#done.add(id);
  }
}
