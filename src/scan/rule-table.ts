/** One TOML table being read: each value taken once with its type, what is left over is a key that nobody knows. */

interface TableContext {
  /** What is read, for messages: `rule aws-key`, `rule aws-key, allowlist 2`; empty for the file itself. */
  readonly about: string;
  readonly problems: string[];
  readonly warnings: string[];
}

/** Keys are found in any case, as gitleaks finds them. */
export interface Table {
  text(key: string): string | undefined;
  number(key: string): number | undefined;
  flag(key: string): boolean;
  texts(key: string): readonly string[];
  table(key: string): Table | undefined;
  tables(key: string): readonly Table[];
  /** Known, and of no use here. */
  ignore(key: string): void;
  problem(line: string): void;
  warning(line: string): void;
  /** From now on messages name this. */
  name(about: string): void;
  /** Whether the file gave it. */
  has(key: string): boolean;
  /** Says which keys were not asked for. */
  finish(): void;
}

/** Anything but a table counts as an empty one, with a problem said. */
export function openTable(value: unknown, context: TableContext): Table {
  return new OpenTable(value, context);
}

class OpenTable implements Table {
  readonly #values = new Map<string, unknown>();
  readonly #names = new Map<string, string>();
  readonly #context: TableContext;
  #about: string;

  constructor(value: unknown, context: TableContext) {
    this.#context = context;
    this.#about = context.about;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.problem('is no table');
      return;
    }
    for (const [key, found] of Object.entries(value)) {
      this.#values.set(key.toLowerCase(), found);
      this.#names.set(key.toLowerCase(), key);
    }
  }

  name(about: string): void {
    this.#about = about;
  }

  has(key: string): boolean {
    return this.#values.has(key.toLowerCase());
  }

  text(key: string): string | undefined {
    const found = this.#take(key);
    if (found === undefined || typeof found === 'string') return found;
    this.problem(`${key} is no string`);
    return undefined;
  }

  number(key: string): number | undefined {
    const found = this.#take(key);
    if (found === undefined || (typeof found === 'number' && Number.isFinite(found))) return found;
    this.problem(`${key} is no number`);
    return undefined;
  }

  flag(key: string): boolean {
    const found = this.#take(key);
    if (found !== undefined && typeof found !== 'boolean') this.problem(`${key} is neither true nor false`);
    return found === true;
  }

  texts(key: string): readonly string[] {
    const found = this.#take(key);
    if (found === undefined) return [];
    if (Array.isArray(found) && found.every((entry) => typeof entry === 'string')) return found;
    this.problem(`${key} is no list of strings`);
    return [];
  }

  table(key: string): Table | undefined {
    const found = this.#take(key);
    return found === undefined ? undefined : this.#open(found, key);
  }

  tables(key: string): readonly Table[] {
    const found = this.#take(key);
    if (found === undefined) return [];
    if (Array.isArray(found)) return found.map((entry, index) => this.#open(entry, `${key} ${index + 1}`));
    this.problem(`${key} is no list of tables: write [[${key}]]`);
    return [];
  }

  ignore(key: string): void {
    this.#take(key);
  }

  problem(line: string): void {
    this.#context.problems.push(this.#say(line));
  }

  warning(line: string): void {
    this.#context.warnings.push(this.#say(line));
  }

  finish(): void {
    for (const key of this.#names.values()) this.warning(`unknown key ${key}`);
    this.#names.clear();
  }

  #take(key: string): unknown {
    const lower = key.toLowerCase();
    this.#names.delete(lower);
    return this.#values.get(lower);
  }

  #open(value: unknown, key: string): Table {
    return new OpenTable(value, { ...this.#context, about: this.#about === '' ? key : `${this.#about}, ${key}` });
  }

  #say(line: string): string {
    return this.#about === '' ? line : `${this.#about}: ${line}`;
  }
}
