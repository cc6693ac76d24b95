/** The variables of a settings file, `%RC`, `%rc` and `%ENV` among them, and the places in them that it reads and changes. */
import { type PerlHash, type PerlValue, textOf, unclear } from './perl-value.ts';

export type Sigil = '$' | '@' | '%';

/** `$rc{X}{Y}[0]`: the variable, with its own sigil in front, and what leads from it. */
export interface Place {
  /** What it is used as. */
  readonly sigil: Sigil;
  /** `%rc`, `@list`, `$text`. */
  readonly root: string;
  readonly keys: readonly (string | number)[];
  readonly line: number;
}

const ITEMS_MAX = 100_000;

export class PerlVariables {
  readonly #variables = new Map<string, PerlValue>();
  readonly #environment: (name: string) => string | undefined;
  /** What the file gave to names of %ENV. */
  readonly environment: PerlHash = new Map();

  /** @param environment the variables of the caller's environment, asked for one by one. */
  constructor(environment: (name: string) => string | undefined) {
    this.#environment = environment;
  }

  hash(name: string): PerlHash {
    const known = this.#variables.get(`%${name}`);
    if (known instanceof Map) return known;
    const made: PerlHash = new Map();
    this.#variables.set(`%${name}`, made);
    return made;
  }

  /** Whether the file has given it a value so far. */
  isKnown(root: string): boolean {
    return root === '%ENV' || this.#variables.has(root);
  }

  declare({ root }: Place): void {
    const kind = root[0];
    this.#variables.set(root, kind === '%' ? new Map() : kind === '@' ? [] : undefined);
  }

  /** @throws `unclear` where a variable is read that nothing here has given a value. */
  get(place: Place): PerlValue {
    const { root, keys, line } = place;
    if (root === '%ENV') return this.#readEnvironment(place);
    if (!this.#variables.has(root)) throw unclear(line, `${root} has no value that is known here`);
    let value = this.#variables.get(root);
    for (const key of keys) value = stepInto(value, key, line);
    return value;
  }

  /** The value as a list, as `@` or `%` in front of it makes it one. */
  list(place: Place): readonly PerlValue[] {
    const value = this.get(place);
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    if (value instanceof Map) return [...value].flat();
    throw unclear(place.line, 'a text stands where a list is needed');
  }

  set(place: Place, value: PerlValue): void {
    const { root, keys, line } = place;
    if (root === '%ENV') return this.#writeEnvironment(place, value);
    const last = keys.at(-1);
    if (last === undefined) {
      const known = this.#variables.get(root);
      if (known instanceof Map && value instanceof Map) refill(known, value);
      else this.#variables.set(root, value);
      return;
    }
    const holder = this.#holder(place);
    if (holder instanceof Map) holder.set(String(last), value);
    else holder[indexOf(last, holder.length, line)] = value;
  }

  /** The array at a place, made where there is nothing yet. */
  array(place: Place): PerlValue[] {
    const value = this.isKnown(place.root) ? this.get(place) : undefined;
    if (Array.isArray(value)) return value;
    if (value !== undefined) throw unclear(place.line, 'something else than a list is added to');
    const made: PerlValue[] = [];
    this.set(place, made);
    return made;
  }

  remove(place: Place): void {
    const last = place.keys.at(-1);
    const holder = last === undefined ? undefined : this.#holder(place);
    if (!(holder instanceof Map)) throw unclear(place.line, 'only keys of a hash can be deleted');
    holder.delete(String(last));
  }

  /** What the last key of a place leads into, made on the way as Perl makes it. */
  #holder({ root, keys, line }: Place): PerlHash | PerlValue[] {
    let holder = this.#variables.get(root) ?? this.#make(root, keys[0]);
    for (const [index, key] of keys.slice(0, -1).entries()) {
      let inner = stepInto(holder, key, line);
      if (inner === undefined) {
        inner = emptyFor(keys[index + 1]);
        if (holder instanceof Map) holder.set(String(key), inner);
        else if (Array.isArray(holder)) holder[indexOf(key, holder.length, line)] = inner;
      }
      holder = inner;
    }
    if (holder instanceof Map || Array.isArray(holder)) return holder;
    throw unclear(line, 'a key leads into a text');
  }

  #make(root: string, key: string | number | undefined): PerlHash | PerlValue[] {
    const made = root.startsWith('$') ? emptyFor(key) : root.startsWith('@') ? [] : new Map<string, PerlValue>();
    this.#variables.set(root, made);
    return made;
  }

  #readEnvironment({ keys, line }: Place): PerlValue {
    const [name, ...more] = keys;
    if (typeof name !== 'string' || more.length > 0) throw unclear(line, '%ENV is read as a whole');
    return this.environment.has(name) ? this.environment.get(name) : this.#environment(name);
  }

  #writeEnvironment({ keys, line }: Place, value: PerlValue): void {
    const [name, ...more] = keys;
    if (typeof name !== 'string' || more.length > 0) throw unclear(line, '%ENV is changed as a whole');
    this.environment.set(name, textOf(value, line));
  }
}

function stepInto(value: PerlValue, key: string | number, line: number): PerlValue {
  if (value === undefined) return undefined;
  if (value instanceof Map) return value.get(String(key));
  if (Array.isArray(value)) return value[indexOf(key, value.length, line)];
  throw unclear(line, 'a key leads into a text');
}

function indexOf(key: string | number, length: number, line: number): number {
  const index = typeof key === 'number' ? key : Number.parseInt(key, 10) || 0;
  const counted = index < 0 ? length + index : index;
  if (counted < 0 || counted > ITEMS_MAX) throw unclear(line, 'an index is out of range');
  return counted;
}

function emptyFor(key: string | number | undefined): PerlHash | PerlValue[] {
  return typeof key === 'number' ? [] : new Map<string, PerlValue>();
}

function refill(hash: PerlHash, from: PerlHash): void {
  const entries = [...from];
  hash.clear();
  for (const [key, value] of entries) hash.set(key, value);
}
