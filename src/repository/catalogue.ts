/**
 * Every repository: which there are, what they are called, whose they are, what is set, and their lives from creation
 * to the graveyard. Names, settings and rules lie in the store, and so does the answer to where a directory belongs;
 * the disk follows (`settle.ts`).
 */
import type { Clock } from '../base/clock.ts';
import { ok, type Parsed } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { ListOptions, Store } from '../store/store.ts';
import { copy, type CopyOptions } from './copy.ts';
import { destroy, listBuried, purge, restore } from './graveyard.ts';
import type { Ground, NameCheck, OwnerCheck } from './ground.ts';
import { Layout } from './layout.ts';
import {
  create,
  rename,
  setDescription,
  setOwner,
  setRules,
  setSettings,
  type Along,
  type NewRepository,
} from './lifecycle.ts';
import type { RepositoryName } from './name.ts';
import { handOver, type HandOver } from './ownership.ts';
import { readBuried, type Buried, type Registered } from './record.ts';
import { Records, type RepositoryListOptions } from './records.ts';
import { rebuild, sweep, type RebuildReport } from './recovery.ts';
import type { Repository, SettingValue } from './repository.ts';
import { nameOwner } from './settle.ts';
import { parseSettingKey, withoutEntry, withSetting, type Settings } from './settings.ts';
import { Turns } from './turns.ts';
import { countObjects, fsck, gc, roll, type Upkeep } from './upkeep.ts';

export interface CatalogueOptions {
  readonly store: Store;
  readonly processes: GitProcesses;
  /** `<data>/repositories`, absolute. */
  readonly root: string;
  readonly clock: Clock;
  /** Whether somebody may own a repository. Default: anybody. */
  readonly ownerCheck?: OwnerCheck;
  /** Whether something new may have a name that is free here. Default: it may. */
  readonly nameCheck?: NameCheck;
  /** For engineers: what was settled or put aside. */
  readonly log?: Ground['log'];
  /** Runs before upkeep: removes what a crash may have left in the repository. Default: nothing has to be. */
  readonly makeGood?: (repository: Repository) => Promise<void>;
}

/** A repository as it is now, and what the asker should know all the same. */
export type SetResult = Parsed<Repository> & { readonly warning?: string };

export class Catalogue {
  readonly #ground: Ground;
  readonly #records: Records;
  readonly #makeGood: NonNullable<CatalogueOptions['makeGood']>;

  constructor(options: CatalogueOptions) {
    const { store, processes, root, clock } = options;
    this.#ground = {
      store,
      processes,
      clock,
      layout: new Layout(root),
      turns: new Turns(),
      ownerCheck: options.ownerCheck ?? (async () => 'anybody'),
      nameCheck: options.nameCheck ?? (async () => undefined),
      log: options.log ?? (() => {}),
    };
    this.#records = new Records(this.#ground);
    this.#makeGood = options.makeGood ?? (async () => {});
  }

  /** The repository with exactly this name. */
  find(name: RepositoryName): Promise<Repository | undefined> {
    return this.#records.find(name);
  }

  byId(id: string): Promise<Repository | undefined> {
    return this.#records.byId(id);
  }

  /** A page in the order of names (by bytes). */
  list(options: RepositoryListOptions = {}): Promise<readonly Repository[]> {
    return this.#records.list(options);
  }

  /** All of them, page by page. */
  async *all(options: { readonly prefix?: string } = {}): AsyncGenerator<Repository> {
    let after: string | undefined;
    for (;;) {
      const page = await this.list({ ...options, ...(after === undefined ? {} : { after }) });
      yield* page;
      after = page.at(-1)?.name;
      if (after === undefined) return;
    }
  }

  /** `along`: what else is to be there from the same moment on, by the id of the new repository. */
  async create(fresh: NewRepository, along?: (id: string) => Along): Promise<Parsed<Repository>> {
    return this.#completed(await create(this.#ground, fresh, along));
  }

  async rename(repository: Pick<Repository, 'id'>, to: RepositoryName): Promise<Parsed<Repository>> {
    return this.#completed(await rename(this.#ground, repository.id, to));
  }

  /** A fork on the server. @see copy */
  async copy(repository: Repository, options: CopyOptions): Promise<Parsed<Repository>> {
    return this.#completed(await copy(this.#ground, repository, options));
  }

  /** To the graveyard. `version` (`Repository.version`): refused where it changed since. */
  destroy(
    repository: Pick<Repository, 'id'>,
    options: { readonly by?: string; readonly version?: number } = {},
  ): Promise<Parsed<Buried>> {
    return destroy(this.#ground, { id: repository.id, ...options });
  }

  /** A page of destroyed repositories in the order of ids. */
  graveyard(options: ListOptions = {}): Promise<readonly Buried[]> {
    return listBuried(this.#ground, options);
  }

  async buried(id: string): Promise<Buried | undefined> {
    const stored = await this.#ground.store.get('graveyard', id);
    return stored === undefined ? undefined : readBuried(stored);
  }

  /** Under its old name, or `name`; owned as before, or by `owner`. */
  async restore(id: string, name?: RepositoryName, owner?: string): Promise<Parsed<Repository>> {
    const options = { id, ...(name === undefined ? {} : { name }), ...(owner === undefined ? {} : { owner }) };
    return this.#completed(await restore(this.#ground, options));
  }

  /** Removes a destroyed repository for ever. */
  purge(id: string): Promise<Parsed<Buried>> {
    return purge(this.#ground, id);
  }

  /**
   * Sets one setting, or takes it away (`undefined`). `readers.*` appends. `description` and `owner` are set here as
   * well. A key that looks like a slip for a known one is set, with a warning.
   */
  async setSetting(
    repository: Pick<Repository, 'id'>,
    text: string,
    value: SettingValue | undefined,
  ): Promise<SetResult> {
    const parsed = parseSettingKey(text);
    if (parsed.kind === 'refused') return parsed;
    const key = parsed.value;
    if (key.key === 'description' || key.key === 'owner') {
      const line = typeof value === 'string' ? value : (value ?? []).join(' ');
      return key.key === 'owner' ? this.setOwner(repository, line) : this.setDescription(repository, line);
    }
    const changed = await setSettings(this.#ground, {
      id: repository.id,
      movesHead: key.key === 'default-branch',
      update: (old) => withSetting(old, key, value),
    });
    const completed = await this.#completed(changed);
    return key.warning === undefined || value === undefined ? completed : { ...completed, warning: key.warning };
  }

  /** Takes one entry of a list away, from the list as it is by then. */
  async dropEntry(repository: Pick<Repository, 'id'>, text: string, entry: string): Promise<Parsed<Repository>> {
    const key = parseSettingKey(text);
    if (key.kind === 'refused') return key;
    const update = (old: Settings): Parsed<Settings> => withoutEntry(old, key.value, entry);
    return this.#completed(await setSettings(this.#ground, { id: repository.id, movesHead: false, update }));
  }

  /** The owner's own rules as text; whether they compile is for the caller to ask before. */
  async setRules(repository: Pick<Repository, 'id'>, text: string | undefined): Promise<Parsed<Repository>> {
    return this.#completed(await setRules(this.#ground, repository.id, text));
  }

  async setOwner(repository: Pick<Repository, 'id'>, owner: string): Promise<Parsed<Repository>> {
    return this.#completed(await setOwner(this.#ground, repository.id, owner));
  }

  async setDescription(repository: Pick<Repository, 'id'>, text: string): Promise<Parsed<Repository>> {
    return this.#completed(await setDescription(this.#ground, repository.id, text));
  }

  /** Everything of one owner, destroyed repositories included, becomes another's (`identity/hand-over.ts`). */
  async handOver(change: HandOver): Promise<void> {
    // Without marks: a configuration that still names the old owner after a crash matters to `rebuild` alone, and
    // somebody may own many.
    await handOver(this.#ground.store, change, async (ids) => {
      await Promise.all(ids.map((id) => nameOwner(this.#ground, id)));
    });
  }

  /** At start, before the first request: finishes or undoes what a crash interrupted. */
  recover(): Promise<number> {
    return sweep(this.#ground);
  }

  /** Records for directories that have none. @see rebuild */
  rebuild(): Promise<RebuildReport> {
    return rebuild(this.#ground);
  }

  async gc(upkeep: Upkeep): Promise<Parsed<void>> {
    await this.#makeGood(upkeep.repository);
    return gc(this.#ground, upkeep);
  }

  /** What keeps it cheap to read, at little cost. @see roll */
  async roll(upkeep: Upkeep): Promise<Parsed<void>> {
    await this.#makeGood(upkeep.repository);
    return roll(this.#ground, upkeep);
  }

  async fsck(upkeep: Upkeep): Promise<Parsed<void>> {
    await this.#makeGood(upkeep.repository);
    return fsck(this.#ground, upkeep);
  }

  countObjects(upkeep: Upkeep): Promise<Parsed<void>> {
    return countObjects(this.#ground, upkeep);
  }

  async #completed(result: Parsed<Registered>): Promise<Parsed<Repository>> {
    if (result.kind === 'refused') return result;
    const repository = await this.#records.complete(result.value);
    if (repository !== undefined) return ok(repository);
    // Changed again at once: what stands now is as good an answer; gone, and the answer is what was committed.
    const now = await this.#records.byId(result.value.id);
    const { hasRules: _, ...facts } = result.value;
    return ok(now ?? { ...facts, path: this.#ground.layout.home(facts.id) });
  }
}
