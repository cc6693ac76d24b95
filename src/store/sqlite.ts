/**
 * The embedded driver of the Store contract, on `node:sqlite`. Reads are synchronous underneath, on a
 * connection of this thread (some microseconds); writes go to a thread of their own, where those that
 * came together share one fsync. WAL lets the two work side by side.
 *
 * One process owns the file (`data-directory.ts` sees to that): a write of another process would be read,
 * but would not wake a watch.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { Fault } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { sqliteFault } from './sqlite-fault.ts';
import { openSqliteFile } from './sqlite-file.ts';
import { SqliteCommits } from './sqlite-commits.ts';
import type { RowTransaction } from './sqlite-writer.ts';
import {
  KINDS,
  type Kind,
  type Led,
  type ListOptions,
  type Store,
  type Stored,
  type Transaction,
  type TransactResult,
  type WatchEvent,
} from './store.ts';

/** Bytes of a key in UTF-8, and of a value as JSON text. */
const STORE_KEY_BYTES_MAX = 4_096;
const STORE_VALUE_BYTES_MAX = 64 * 1024 * 1024;
const STORE_LIST_MAX = 10_000;
const LIST_DEFAULT = 1_000;
/** Events and bytes of values that a watch reads at once. */
const WATCH_PAGE_EVENTS = 256;
const WATCH_PAGE_BYTES = 4 * 1024 * 1024;

export interface SqliteStoreOptions {
  readonly path: string;
  /** Whether a missing file is made. Default true; false once the data directory is known to have one. */
  readonly create?: boolean;
  /** Events kept for `watch`, at least. Default 100,000. */
  readonly logEventsMax?: number;
  /** Bytes of events kept for `watch`. Default 64 MiB. */
  readonly logBytesMax?: number;
}

/** @throws Fault 'corrupt', 'missing', 'busy' or 'internal', with what to do, where the file is not usable. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { path, create = true, logEventsMax = 100_000, logBytesMax = 64 * 1024 * 1024 } = options;
  const database = openSqliteFile({ path, create });
  return new SqliteStore(database, new SqliteCommits({ path, bounds: { events: logEventsMax, bytes: logBytesMax } }));
}

/** Where a watch stands in the change log. */
interface Cursor {
  position: number;
  revision: number;
}

class SqliteStore implements Store {
  readonly #database: DatabaseSync;
  readonly #commits: SqliteCommits;
  readonly #get: StatementSync;
  readonly #list: StatementSync;
  readonly #listTo: StatementSync;
  readonly #follow: StatementSync;
  readonly #property: StatementSync;
  readonly #changes: StatementSync;
  readonly #positionAt: StatementSync;
  readonly #waiting = new Set<() => void>();
  #closed: Promise<void> | undefined;

  constructor(database: DatabaseSync, commits: SqliteCommits) {
    this.#database = database;
    this.#commits = commits;
    // The first connection only reads from here on; a mistake must not write around the thread.
    database.exec('PRAGMA query_only = ON');
    this.#get = database.prepare('SELECT key, version, value FROM object WHERE kind = ? AND key = ?');
    // One lower bound: of two, SQLite would search by the first and pass over rows by the other.
    const list = 'SELECT key, version, value FROM object WHERE kind = ? AND key >= ?';
    this.#list = database.prepare(`${list} ORDER BY key LIMIT ?`);
    this.#listTo = database.prepare(`${list} AND key < ? ORDER BY key LIMIT ?`);
    this.#follow = database.prepare(
      'SELECT source.key AS source, object.key, object.version, object.value FROM object AS source ' +
        "LEFT JOIN object ON object.kind = ? AND object.key = source.value ->> '$.id' " +
        'WHERE source.kind = ? AND source.key >= ? AND source.key < ? ORDER BY source.key LIMIT ?',
    );
    this.#property = database.prepare('SELECT value FROM property WHERE name = ?');
    this.#changes = database.prepare(
      'SELECT position, revision, kind, key, value FROM change WHERE position > ? ORDER BY position LIMIT ?',
    );
    this.#positionAt = database.prepare(
      'SELECT coalesce((SELECT position FROM change WHERE revision <= ? ORDER BY revision DESC, position DESC LIMIT 1), ' +
        '(SELECT min(position) - 1 FROM change), 0) AS position',
    );
  }

  async get(kind: Kind, key: string): Promise<Stored | undefined> {
    // A lone surrogate would be stored as U+FFFD, so that no such key exists.
    if (!key.isWellFormed()) return undefined;
    const row = this.#read(() => this.#get.get(kind, key));
    return row === undefined ? undefined : storedOf(kind, row);
  }

  async list(kind: Kind, options: ListOptions = {}): Promise<readonly Stored[]> {
    const range = rangeOf(options);
    if (range === undefined) return [];
    const { begin, end, limit } = range;
    const rows = this.#read(() =>
      end === undefined ? this.#list.all(kind, begin, limit) : this.#listTo.all(kind, begin, end, limit),
    );
    return rows.map((row) => storedOf(kind, row));
  }

  async follow(from: Kind, to: Kind, options: ListOptions = {}): Promise<readonly Led[]> {
    const range = rangeOf(options);
    if (range === undefined) return [];
    const { begin, end = BEHIND_ALL, limit } = range;
    const rows = this.#read(() => this.#follow.all(to, from, begin, end, limit));
    return rows.map((row) => ({
      key: String(row['source']),
      object: row['key'] === null ? undefined : storedOf(to, row),
    }));
  }

  async transact(transaction: Transaction): Promise<TransactResult> {
    if (this.#closed !== undefined) throw closedFault();
    const checks = transaction.checks ?? [];
    const result = await this.#commits.apply(rowsOf(transaction));
    if (result.kind === 'committed') {
      this.#wake();
      return result;
    }
    const check = checks[result.check];
    if (check === undefined) throw new Fault('internal', 'conflict on a check that was not made');
    const { found } = result;
    return { kind: 'conflict', check, found: found && storedOf(check.kind, { ...found, key: check.key }) };
  }

  async revision(): Promise<number> {
    return this.#read(() => this.#propertyOf('revision'));
  }

  async *watch(options: {
    readonly kinds?: readonly Kind[];
    readonly from: number;
    readonly signal: AbortSignal;
  }): AsyncGenerator<WatchEvent> {
    const { from, signal } = options;
    const kinds = options.kinds === undefined ? undefined : new Set<string>(options.kinds);
    if (signal.aborted) return;
    const cursor = this.#read(() => this.#cursorAt(from));
    for (;;) {
      const page = this.#read(() => this.#page(cursor, kinds));
      for (const event of page.events) {
        yield event;
        if (signal.aborted) return;
      }
      // Only an empty page is waited on, in the same turn as it was read: while events were yielded,
      // commits may have come and gone.
      if (page.atEnd) await this.#nextCommit(signal);
      if (signal.aborted) return;
    }
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#commits.drained();
      // This connection first: the last one to close writes the log back into the file.
      this.#database.close();
      await this.#commits.close();
      this.#wake();
    })();
    return this.#closed;
  }

  #read<T>(query: () => T): T {
    if (!this.#database.isOpen) throw closedFault();
    try {
      return query();
    } catch (error) {
      throw sqliteFault(error);
    }
  }

  #propertyOf(name: 'revision' | 'compacted'): number {
    return Number(this.#property.get(name)?.['value'] ?? 0);
  }

  #cursorAt(from: number): Cursor {
    const revision = this.#propertyOf('revision');
    if (!Number.isInteger(from) || from < this.#propertyOf('compacted') || from > revision) throw compactedFault(from);
    return { position: Number(this.#positionAt.get(from)?.['position'] ?? 0), revision: from };
  }

  /** The next events of the log; moves the cursor over those of other kinds too. */
  #page(cursor: Cursor, kinds: ReadonlySet<string> | undefined): { events: WatchEvent[]; atEnd: boolean } {
    const events: WatchEvent[] = [];
    let bytes = 0;
    let atEnd = true;
    for (const row of this.#changes.iterate(cursor.position, WATCH_PAGE_EVENTS)) {
      const position = Number(row['position']);
      // Positions are contiguous: a step of more than one means that the log was compacted under us.
      if (position !== cursor.position + 1) throw compactedFault(cursor.revision);
      cursor.position = position;
      cursor.revision = Number(row['revision']);
      atEnd = false;
      if (kinds !== undefined && !kinds.has(String(row['kind']))) continue;
      const value = row['value'];
      bytes += typeof value === 'string' ? value.length : 0;
      events.push(eventOf(row));
      if (bytes >= WATCH_PAGE_BYTES) break;
    }
    return { events, atEnd };
  }

  #nextCommit(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #wake(): void {
    for (const done of this.#waiting) done();
  }
}

/** A blob, which SQLite sorts behind every text. */
const BEHIND_ALL = new Uint8Array();

interface Range {
  /** The least key that may be in it. */
  readonly begin: string;
  /** The least key behind it; undefined: there is none. */
  readonly end: string | undefined;
  readonly limit: number;
}

/** Undefined where no key can be in it. @throws Fault 'bad-input' where the limit is out of range. */
function rangeOf({ prefix = '', after, limit = LIST_DEFAULT }: ListOptions): Range | undefined {
  if (!Number.isInteger(limit) || limit < 1 || limit > STORE_LIST_MAX) {
    throw new Fault('bad-input', 'list limit out of range', { context: { limit } });
  }
  if (!prefix.isWellFormed() || after?.isWellFormed() === false) return undefined;
  // Nothing lies between a text and the same with a NUL behind it.
  const next = after === undefined ? prefix : `${after}\0`;
  const begin = Buffer.compare(Buffer.from(prefix), Buffer.from(next)) > 0 ? prefix : next;
  return { begin, end: successor(prefix), limit };
}

function rowsOf(transaction: Transaction): RowTransaction {
  const written = new Set<string>();
  const writes = transaction.writes.map((write) => {
    assertKey(write.key);
    const name = `${write.kind}\0${write.key}`;
    if (written.has(name)) {
      throw new Fault('internal', 'transaction writes one object twice', {
        context: { kind: write.kind, key: write.key },
      });
    }
    written.add(name);
    return { kind: write.kind, key: write.key, value: 'put' in write ? textOf(write.put) : null };
  });
  const checks = (transaction.checks ?? []).map(({ kind, key, version }) => {
    assertKey(key);
    return { kind, key, version };
  });
  return { checks, writes };
}

function assertKey(key: string): void {
  if (key === '' || !key.isWellFormed() || Buffer.byteLength(key) > STORE_KEY_BYTES_MAX) {
    throw new Fault('bad-input', 'store key is not usable', {
      context: { key: key.slice(0, 100), length: key.length },
    });
  }
}

function textOf(value: Json): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw new Fault('internal', 'store value is not json');
  if (text.length > STORE_VALUE_BYTES_MAX) {
    throw new Fault('bad-input', 'store value is too big', { context: { length: text.length } });
  }
  return text;
}

/** The least text greater than every text that starts with `prefix`; `undefined` where there is none. */
function successor(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    // UTF-8 keeps the order of code points; surrogates are not among them.
    if (last < 0x10_ff_ff) return String.fromCodePoint(...points, last === 0xd7_ff ? 0xe0_00 : last + 1);
  }
  return undefined;
}

function storedOf(kind: Kind, row: { readonly [column: string]: unknown }): Stored {
  return {
    kind,
    key: String(row['key']),
    version: Number(row['version']),
    value: JSON.parse(String(row['value'])) as Json,
  };
}

function eventOf(row: { readonly [column: string]: unknown }): WatchEvent {
  const kind = KINDS.find((known) => known === row['kind']);
  if (kind === undefined) throw new Fault('corrupt', 'change of an unknown kind', { context: { kind: row['kind'] } });
  const version = Number(row['revision']);
  const key = String(row['key']);
  if (row['value'] === null) return { type: 'delete', kind, key, version };
  return { type: 'put', object: storedOf(kind, { ...row, version }) };
}

function compactedFault(from: number): Fault {
  return new Fault('missing', 'watch from a revision that the log does not hold', { context: { from } });
}

function closedFault(): Fault {
  return new Fault('aborted', 'store is closed');
}
