/**
 * From entries to objects: deltas are applied in the order in which `git index-pack --fix-thin` does, so that the same bases
 * of the repository complete a thin pack, in the same order.
 */
import type { Stint } from '../../base/stint.ts';
import type { ObjectFormat, Oid } from '../oid.ts';
import { applyDelta } from './delta.ts';
import { BeyondReach, type Odb, type RawObject } from './odb.ts';
import type { Allowance, Entry } from './take-entries.ts';
import { nameOf, trustedDigestOf } from './take-hash.ts';

export interface Resolved {
  /** The oid of each entry, in the order of the pack. */
  readonly names: readonly Oid[];
  readonly objects: ReadonlyMap<Oid, RawObject>;
  /** What completing the pack appends, in this order. */
  readonly bases: ReadonlyMap<Oid, RawObject>;
}

export interface ResolveOptions {
  readonly entries: readonly Entry[];
  /** Where bases are that are not in the pack; undefined: nowhere. */
  readonly odb: Odb | undefined;
  readonly format: ObjectFormat;
  readonly allowance: Allowance;
  readonly stint: Stint;
}

/** Bases from the repository: reading one may cost far more than it is long. */
const BASES_MAX = 256;

/** @throws BeyondReach where anything is missing, twice, or does not fit. */
export async function resolveEntries(options: ResolveOptions): Promise<Resolved> {
  const resolving = new Resolving(options);
  await resolving.resolveWhole();
  await resolving.complete();
  return resolving.result();
}

class Resolving {
  readonly #options: ResolveOptions;
  readonly #names = new Map<Entry, Oid>();
  readonly #objects = new Map<Oid, RawObject>();
  readonly #bases = new Map<Oid, RawObject>();
  readonly #byOffset = new Map<number, Entry[]>();
  readonly #byName = new Map<Oid, Entry[]>();

  constructor(options: ResolveOptions) {
    this.#options = options;
    for (const entry of options.entries) {
      const { form } = entry;
      if (form.kind === 'offset') append(this.#byOffset, form.base, entry);
      if (form.kind === 'named') append(this.#byName, form.base, entry);
    }
  }

  /** Everything that needs nothing of the repository. */
  async resolveWhole(): Promise<void> {
    for (const entry of this.#options.entries) {
      const { form, data } = entry;
      if (form.kind === 'whole') await this.#settle(entry, { type: form.type, bytes: data });
    }
  }

  /** Deltas whose base is not in the pack, in the order of the pack. */
  async complete(): Promise<void> {
    const { entries, odb, format, allowance } = this.#options;
    if (odb === undefined) return;
    for (const entry of entries) {
      const { form } = entry;
      if (form.kind !== 'named' || this.#names.has(entry)) continue;
      const base = await odb.read(form.base);
      if (base === undefined) continue;
      if (this.#bases.size === BASES_MAX) throw new BeyondReach('pack changes many objects');
      allowance.spend(base.bytes.length);
      const head = Buffer.from(`${base.type} ${base.bytes.length}\0`, 'latin1');
      const digest = trustedDigestOf([head, base.bytes], format);
      if (digest.toString('hex') !== form.base) throw new BeyondReach('base is corrupt');
      this.#bases.set(form.base, base);
      await this.#apply(this.#byName.get(form.base) ?? [], base);
    }
  }

  result(): Resolved {
    const names = this.#options.entries.map((entry) => {
      const name = this.#names.get(entry);
      if (name === undefined) throw new BeyondReach('a base is missing');
      return name;
    });
    for (const name of this.#bases.keys())
      if (this.#objects.has(name)) throw new BeyondReach('an object is there twice');
    return { names, objects: this.#objects, bases: this.#bases };
  }

  /** This object, and whatever is a change of it, however deep. */
  async #settle(entry: Entry, object: RawObject): Promise<void> {
    const waiting: { readonly entry: Entry; readonly object: RawObject }[] = [{ entry, object }];
    for (;;) {
      const next = waiting.pop();
      if (next === undefined) return;
      const name = await this.#register(next.entry, next.object);
      for (const child of [...(this.#byOffset.get(next.entry.offset) ?? []), ...(this.#byName.get(name) ?? [])]) {
        waiting.push({ entry: child, object: await this.#changed(child, next.object) });
      }
    }
  }

  async #apply(children: readonly Entry[], base: RawObject): Promise<void> {
    for (const child of children) await this.#settle(child, await this.#changed(child, base));
  }

  async #register(entry: Entry, object: RawObject): Promise<Oid> {
    const name = await nameOf(object, this.#options.format, this.#options.stint);
    if (this.#objects.has(name) || this.#names.has(entry)) throw new BeyondReach('an object is there twice');
    this.#objects.set(name, object);
    this.#names.set(entry, name);
    return name;
  }

  async #changed({ data }: Entry, base: RawObject): Promise<RawObject> {
    const { allowance, stint } = this.#options;
    const bytes = await applyDelta({ base: base.bytes, delta: data, bytesMax: allowance.left }, stint);
    allowance.spend(bytes.length);
    // git indexes such a delta and cannot read it afterwards.
    if (bytes.length === 0) throw new BeyondReach('delta makes nothing');
    return { type: base.type, bytes };
  }
}

function append<Key>(lists: Map<Key, Entry[]>, key: Key, entry: Entry): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [entry]);
  else list.push(entry);
}
