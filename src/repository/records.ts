/** Reading the catalogue: by name, by id, in the order of names. */
import type { Stored } from '../store/store.ts';
import { BOUNDS } from '../base/bounds.ts';
import { readFields } from '../base/fields.ts';
import { Stint } from '../base/stint.ts';
import type { Ground } from './ground.ts';
import type { RepositoryName } from './name.ts';
import { readRegistered, type Registered } from './record.ts';
import type { Repository } from './repository.ts';

export interface RepositoryListOptions {
  /** Only names that start with this. */
  readonly prefix?: string;
  /** Only names behind this one: the last of the page before. */
  readonly after?: string;
  /** 1 to 10,000; default 1,000. Fewer come only at the end. */
  readonly limit?: number;
}

const READS_MAX = 16;
/** Names and records read at once: a millisecond or two. */
const PAGE = 200;

export class Records {
  readonly #ground: Pick<Ground, 'store' | 'layout' | 'clock'>;
  /** Own rules by repository id, as of a version of its record; the oldest entry goes first. */
  readonly #rules = new Map<string, { readonly version: number; readonly text: string }>();
  /** Made once each: the store gives the same object until the record is written (`store/kept-reads.ts`). */
  readonly #kept = new WeakMap<Stored, Repository>();

  constructor(ground: Pick<Ground, 'store' | 'layout' | 'clock'>) {
    this.#ground = ground;
  }

  async find(name: RepositoryName): Promise<Repository | undefined> {
    const stored = await this.#ground.store.get('repository-name', name);
    if (stored === undefined) return undefined;
    const found = await this.byId(idIn(stored));
    // Renamed between the two look-ups: under this name there is nothing any more.
    return found?.name === name ? found : undefined;
  }

  async byId(id: string): Promise<Repository | undefined> {
    for (let reads = 0; reads < READS_MAX; reads += 1) {
      const stored = await this.#ground.store.get('repository', id);
      if (stored === undefined) return undefined;
      const known = this.#kept.get(stored);
      if (known !== undefined) return known;
      const repository = await this.complete(readRegistered(stored));
      // Own rules are a record of their own.
      if (repository !== undefined && repository.rules === undefined) this.#kept.set(stored, repository);
      if (repository !== undefined) return repository;
    }
    return undefined;
  }

  async list(options: RepositoryListOptions = {}): Promise<readonly Repository[]> {
    const { prefix = '', limit = 1_000 } = options;
    const found: Repository[] = [];
    let { after } = options;
    // Reading is a matter of microseconds each, and synchronous: of many, others have their turn in between.
    const stint = new Stint(this.#ground.clock);
    while (found.length < limit) {
      const page = await this.#ground.store.follow('repository-name', 'repository', {
        prefix,
        limit: Math.min(PAGE, limit - found.length),
        ...(after === undefined ? {} : { after }),
      });
      for (const { key, object } of page) {
        const repository = object && (await this.#made(object));
        if (repository?.name === key) found.push(repository);
      }
      after = page.at(-1)?.key;
      if (after === undefined) break;
      if (stint.isOver) await stint.rest();
    }
    return found;
  }

  /** What was read, unless its own rules changed meanwhile: then what is there now. */
  async #made(stored: Stored): Promise<Repository | undefined> {
    return (await this.complete(readRegistered(stored))) ?? this.byId(stored.key);
  }

  /** The record with its own rules; undefined where they changed while they were read. */
  async complete(record: Registered): Promise<Repository | undefined> {
    const path = this.#ground.layout.home(record.id);
    const { hasRules, ...facts } = record;
    if (!hasRules) return { ...facts, path };
    const known = this.#rules.get(record.id);
    if (known?.version === record.version) return { ...facts, path, rules: known.text };
    const stored = await this.#ground.store.get('repository-rules', record.id);
    const current = await this.#ground.store.get('repository', record.id);
    if (stored === undefined || current?.version !== record.version) return undefined;
    const text = readFields(stored.value, `rules ${record.id}`).text('text');
    this.#remember(record, text);
    return { ...facts, path, rules: text };
  }

  #remember(record: Registered, text: string): void {
    this.#rules.delete(record.id);
    this.#rules.set(record.id, { version: record.version, text });
    const oldest = this.#rules.keys().next();
    if (this.#rules.size > BOUNDS.ownRulesHeldMax && oldest.done !== true) this.#rules.delete(oldest.value);
  }
}

/** The id that a name or a fold stands for. @throws Fault 'corrupt' */
export function idIn(stored: Stored): string {
  return readFields(stored.value, `${stored.kind} ${stored.key}`).text('id');
}
