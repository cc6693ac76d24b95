/**
 * What was used lately, within a bound of bytes. Two generations: what is used moves into the young one; when that is
 * half full it becomes the old one, and what nobody used since is gone. A look costs one look into a map.
 */

/** Rough cost in memory of an entry beside its bytes. */
const ENTRY_BYTES = 160;

interface Entry<Value> {
  readonly value: Value;
  readonly bytes: number;
}

export class Recent<Key, Value> {
  readonly #bytesMax: number;
  #young = new Map<Key, Entry<Value>>();
  #youngBytes = 0;
  #old = new Map<Key, Entry<Value>>();
  #oldBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes held, by estimate. */
  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(key: Key): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young.value;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    this.#oldBytes -= old.bytes;
    this.#add(key, old);
    return old.value;
  }

  /** What would take more than an eighth of all the room is not kept. */
  set(key: Key, value: Value, valueBytes: number): void {
    this.delete(key);
    const bytes = valueBytes + ENTRY_BYTES;
    if (bytes <= this.#bytesMax / 8) this.#add(key, { value, bytes });
  }

  delete(key: Key): void {
    this.#youngBytes -= this.#young.get(key)?.bytes ?? 0;
    this.#oldBytes -= this.#old.get(key)?.bytes ?? 0;
    this.#young.delete(key);
    this.#old.delete(key);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#youngBytes = 0;
    this.#oldBytes = 0;
  }

  #add(key: Key, entry: Entry<Value>): void {
    if (this.#youngBytes + entry.bytes > this.#bytesMax / 2) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(key, entry);
    this.#youngBytes += entry.bytes;
  }
}
