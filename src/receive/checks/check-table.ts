/** One `[[check]]` being read: each key taken once with its type; what is left over is a key that nobody knows. */
import { didYouMean } from '../../base/nearest.ts';
import type { Problem } from '../../access/problem.ts';
import { parseBytes } from '../../base/units.ts';

export interface TablePlace {
  readonly file: string;
  /** The file's lines, to show and to find keys in. */
  readonly lines: readonly string[];
  /** Where the table begins, from 1; 0: not known. */
  readonly line: number;
}

const NUMBER_MAX = 1_000_000_000;
const LIST_MAX = 1_000;
const TEXT_CHARS_MAX = 1_000;

export class CheckTable {
  readonly problems: Problem[] = [];
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #known = new Set<string>();
  readonly #place: TablePlace;
  #about = 'the check';

  constructor(value: object, place: TablePlace) {
    this.#values = new Map(Object.entries(value));
    this.#place = place;
  }

  /** From now on messages name this. */
  name(about: string): void {
    this.#about = about;
  }

  has(key: string): boolean {
    this.#known.add(key);
    return this.#values.has(key);
  }

  text(key: string): string | undefined {
    const found = this.#take(key);
    if (found === undefined) return undefined;
    if (typeof found === 'string' && found !== '' && found.length <= TEXT_CHARS_MAX) return found;
    return this.problem(key, `${key} is a text of up to ${TEXT_CHARS_MAX} characters`);
  }

  /** Undefined where it is absent; an empty list is one. */
  texts(key: string): readonly string[] | undefined {
    const found = this.#take(key);
    if (found === undefined) return undefined;
    const isGood =
      Array.isArray(found) &&
      found.length <= LIST_MAX &&
      found.every((entry) => typeof entry === 'string' && entry !== '' && entry.length <= TEXT_CHARS_MAX);
    if (isGood) return found.map(String);
    return this.problem(key, `${key} is a list of texts: ${key} = ["...", "..."]`);
  }

  flag(key: string): boolean {
    const found = this.#take(key);
    if (found !== undefined && typeof found !== 'boolean') this.problem(key, `${key} is true or false`);
    return found === true;
  }

  count(key: string): number | undefined {
    const found = this.#take(key);
    if (found === undefined) return undefined;
    if (typeof found === 'number' && Number.isInteger(found) && found >= 0 && found <= NUMBER_MAX) return found;
    return this.problem(key, `${key} is a whole number from 0 to ${NUMBER_MAX}`);
  }

  /** A number of bytes, or `"10MiB"`. */
  bytes(key: string): number | undefined {
    const found = this.#take(key);
    if (found === undefined) return undefined;
    const parsed = typeof found === 'string' ? parseBytes(found) : undefined;
    if (parsed?.kind === 'ok') return parsed.value;
    if (typeof found === 'number' && Number.isSafeInteger(found) && found >= 0) return found;
    return this.problem(key, `${key} is a size: "10MiB", "500KiB", 0`);
  }

  word<const T extends string>(key: string, words: readonly T[]): T | undefined {
    const found = this.text(key);
    return found === undefined ? undefined : this.#word(key, found, words);
  }

  words<const T extends string>(key: string, words: readonly T[]): readonly T[] | undefined {
    return this.texts(key)?.flatMap((text) => this.#word(key, text, words) ?? []);
  }

  problem(key: string | undefined, message: string): undefined {
    const { file, lines } = this.#place;
    const line = this.#lineOf(key);
    const text = line === 0 ? '' : (lines[line - 1] ?? '');
    this.problems.push({ file, line, message: `${this.#about}: ${message}`, text, carets: '', includedFrom: [] });
    return undefined;
  }

  /** Says which keys were not asked for. */
  finish(): void {
    for (const key of this.#values.keys()) {
      if (!this.#known.has(key)) this.problem(key, `there is no key ${key}${didYouMean(key, this.#known)}`);
    }
  }

  #take(key: string): unknown {
    this.#known.add(key);
    return this.#values.get(key);
  }

  #word<const T extends string>(key: string, text: string, words: readonly T[]): T | undefined {
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    return this.problem(key, `${key} is one of ${words.join(', ')}, not ${text}${didYouMean(text, words)}`);
  }

  /** Where the key stands, as far as lines tell; else where its table begins. */
  #lineOf(key: string | undefined): number {
    const { lines, line } = this.#place;
    if (key === undefined || line === 0) return line;
    for (let at = line; at < lines.length; at += 1) {
      const text = (lines[at] ?? '').trim();
      if (text.startsWith('[[')) break;
      const isKey = [key, `"${key}"`].some((name) => text.startsWith(name) && /^\s*=/.test(text.slice(name.length)));
      if (isKey) return at + 1;
    }
    return line;
  }
}
