/**
 * The repositories of a site as the rest of the house sees them. The disk leads: a name is looked up at GL_REPO_BASE each
 * time, so that what was removed, renamed or copied by hand is so here too. Each gets an id, which lies in its
 * configuration and follows it; the store remembers where an id was seen last, to tell a copy from a move.
 */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { newId, type Clock } from '../base/clock.ts';
import { readFields } from '../base/fields.ts';
import { GATE_DIRECTORY } from '../receive/quarantine.ts';
import { readMark, writeMark, type HiddenRefs } from '../repository/bare.ts';
import { ADMIN_REPOSITORY as HOUSE_REPOSITORY } from '../repository/lifecycle.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { ConfFacts, Repository } from '../repository/repository.ts';
import { Turns } from '../repository/turns.ts';
import { listAll, type Store } from '../store/store.ts';
import { isDiskName } from './disk.ts';
import type { Rc } from './rc.ts';
import type { Site, SiteRepository } from './site.ts';
import { isAbsent, isThere } from './small-file.ts';

export interface SiteCatalogueParts {
  readonly site: Site;
  /** The account's own settings. */
  readonly rc: () => Promise<Rc>;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: (text: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface SiteFound extends Repository {
  readonly conf: ConfFacts;
  readonly hidden: readonly HiddenRefs[];
}

interface Place {
  readonly name: string;
  /** Without symbolic links. */
  readonly path: string;
}

/** Ids whose last place is kept in memory. */
const PLACES_MAX = 50_000;

export class SiteCatalogue {
  readonly #parts: SiteCatalogueParts;
  readonly #turns = new Turns();
  readonly #places = new Map<string, Place>();
  /** While somebody turns pages. */
  #pushed: readonly { readonly id: string; readonly name: string }[] | undefined;

  constructor(parts: SiteCatalogueParts) {
    this.#parts = parts;
  }

  /** The repository that lies under this name now. */
  async find(name: string, rc?: Rc): Promise<SiteFound | undefined> {
    const { site } = this.#parts;
    const there = await site.repository(rc ?? (await this.#parts.rc()), name);
    if (!there.exists) return undefined;
    try {
      return await this.#describe(there);
    } catch (error) {
      // Removed between two looks, or a directory that is no repository.
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** Why the house makes no repository of this name: then both would have it, and nobody gets to the house's. */
  async nameRefusal(name: RepositoryName): Promise<string | undefined> {
    if (name === HOUSE_REPOSITORY || !isDiskName(name)) return undefined;
    const { exists } = await this.#parts.site.repository(await this.#parts.rc(), name);
    return exists ? `the gitolite site has a repository ${name}` : undefined;
  }

  /** Where it was seen last, or wherever it was moved to since. */
  async byId(id: string): Promise<Repository | undefined> {
    const place = await this.#placeOf(id);
    if (place === undefined) return undefined;
    const found = await this.find(place.name);
    return found?.id === id ? found : this.#search(id);
  }

  /** A page of those that were ever pushed to through the gate, in the order of names: what a crash may have left half done. */
  async list(options: { readonly after?: string; readonly limit?: number } = {}): Promise<readonly Repository[]> {
    const { after, limit = 1_000 } = options;
    if (after === undefined || this.#pushed === undefined) this.#pushed = await this.#listPushed();
    const found: Repository[] = [];
    for (const { id, name } of this.#pushed) {
      if (after !== undefined && name <= after) continue;
      const repository = await this.find(name);
      if (repository?.id === id) found.push(repository);
      if (found.length === limit) return found;
    }
    this.#pushed = undefined;
    return found;
  }

  async #listPushed(): Promise<readonly { readonly id: string; readonly name: string }[]> {
    const pushed: { readonly id: string; readonly name: string }[] = [];
    for await (const stored of listAll(this.#parts.store, 'site-repository')) {
      const { name, path } = readPlace(stored);
      // Made with the first push: quarantines and the log of transactions lie there.
      if (await isThere(join(path, GATE_DIRECTORY))) pushed.push({ id: stored.key, name });
    }
    return pushed.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async #describe(there: SiteRepository): Promise<SiteFound | undefined> {
    const path = await realpath(there.path);
    const mark = await readMark(path);
    if (mark.objectFormat === undefined) return undefined;
    const place = { name: there.name, path };
    const known = mark.id === undefined ? undefined : await this.#placeOf(mark.id);
    // Two names of one place are one repository: the conf decides by name, pushes take their turn by id.
    const isKnown = mark.id !== undefined && known?.path === path;
    const id = isKnown ? mark.id : await this.#turns.run('ids', () => this.#identify(place));
    const conf = confOf(there);
    const hidden = mark.hidden;
    return {
      id,
      // The site's own alphabet, which its commands and its conf hold names to.
      name: there.name as RepositoryName,
      owner: there.creator,
      settings: {},
      conf,
      hidden,
      path,
      objectFormat: mark.objectFormat,
      description: '',
      createdAt: 0,
      version: createHash('sha256')
        .update(JSON.stringify({ ...conf, roles: [...conf.roles], hidden }))
        .digest()
        .readUInt32BE(),
    };
  }

  /** One after another: of two copies that are seen at once, one keeps the id. */
  async #identify(place: Place): Promise<string> {
    const { id } = await readMark(place.path);
    const known = id === undefined ? undefined : await this.#placeOf(id);
    const isCopy = known !== undefined && known.path !== place.path && (await this.#isAt(known, id));
    if (id !== undefined && !isCopy) {
      await this.#remember(id, place);
      return id;
    }
    const fresh = newId(this.#parts.clock);
    this.#parts.log('adopt a repository', { ...place, id: fresh, ...(isCopy ? { copyOf: known.name } : {}) });
    await writeMark(place.path, fresh);
    await this.#remember(fresh, place);
    return fresh;
  }

  async #isAt({ path }: Place, id: string | undefined): Promise<boolean> {
    try {
      return (await readMark(path)).id === id;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  /** Through everything on disk: only for what was renamed by hand and is asked for by its id. */
  async #search(id: string): Promise<Repository | undefined> {
    const { site } = this.#parts;
    const rc = await this.#parts.rc();
    for (const name of await site.physical(rc, { anew: true })) {
      const found = await this.find(name, rc);
      if (found?.id === id) return found;
    }
    return undefined;
  }

  async #placeOf(id: string): Promise<Place | undefined> {
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const stored = await this.#parts.store.get('site-repository', id);
    if (stored === undefined) return undefined;
    const place = readPlace(stored);
    this.#keep(id, place);
    return place;
  }

  async #remember(id: string, place: Place): Promise<void> {
    const { name, path } = place;
    await this.#parts.store.transact({ writes: [{ kind: 'site-repository', key: id, put: { name, path } }] });
    this.#keep(id, place);
  }

  #keep(id: string, place: Place): void {
    if (this.#places.size >= PLACES_MAX) this.#places.clear();
    this.#places.set(id, place);
  }
}

/** What the files beside it say, for who decides. */
export function confOf({ creator, permissions, groups = [], roles = new Set(), isHooked }: SiteRepository): ConfFacts {
  return { creator, permissions, groups, roles, ...(isHooked ? {} : { isUnhooked: true }) };
}

function readPlace(stored: { readonly key: string; readonly value: Parameters<typeof readFields>[0] }): Place {
  const fields = readFields(stored.value, `site repository ${stored.key}`);
  return { name: fields.text('name'), path: fields.text('path') };
}
