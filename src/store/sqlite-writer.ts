/**
 * The writing half of the SQLite driver, synchronous: transactions that came together share one commit
 * and so one fsync. Runs in the thread of `sqlite-writer-thread.ts`, off the event loop that serves.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isFatal, sqliteCode } from './sqlite-fault.ts';

interface RowCheck {
  readonly kind: string;
  readonly key: string;
  readonly version: number | 'any';
}

/** `value` is JSON text, or null to delete. */
interface RowWrite {
  readonly kind: string;
  readonly key: string;
  readonly value: string | null;
}

export interface RowTransaction {
  readonly checks: readonly RowCheck[];
  readonly writes: readonly RowWrite[];
}

export interface Row {
  readonly version: number;
  readonly value: string;
}

export type RowResult =
  | { readonly kind: 'committed'; readonly version: number }
  | { readonly kind: 'conflict'; readonly check: number; readonly found: Row | undefined }
  | { readonly kind: 'failed'; readonly errcode: number | undefined; readonly message: string };

export interface LogBounds {
  /** Events of the change log that are kept at least, unless `bytes` is passed first. */
  readonly events: number;
  readonly bytes: number;
}

export class SqliteWriter {
  readonly #database: DatabaseSync;
  readonly #bounds: LogBounds;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #change: StatementSync;
  readonly #setProperty: StatementSync;
  #revision = 0;
  #bytesThrough = 0;
  /** Where the log starts: what lies before was compacted. */
  #logStart: { readonly position: number; readonly bytesBefore: number } = { position: 1, bytesBefore: 0 };
  #position = 0;

  constructor(database: DatabaseSync, bounds: LogBounds) {
    this.#database = database;
    this.#bounds = bounds;
    this.#find = database.prepare('SELECT version, value FROM object WHERE kind = ? AND key = ?');
    this.#put = database.prepare(
      'INSERT INTO object (kind, key, version, value) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, value = excluded.value',
    );
    this.#delete = database.prepare('DELETE FROM object WHERE kind = ? AND key = ?');
    this.#change = database.prepare(
      'INSERT INTO change (position, revision, kind, key, value, bytes_through) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#setProperty = database.prepare('UPDATE property SET value = ? WHERE name = ?');
    this.#load();
  }

  /** One commit for all; each transaction is whole or absent, and a later one sees the earlier ones. */
  apply(transactions: readonly RowTransaction[]): readonly RowResult[] {
    try {
      return this.#commit(transactions);
    } catch (error) {
      const errcode = sqliteCode(error);
      // One bad transaction must not fail its neighbours, unless the disk is what failed.
      if (transactions.length > 1 && !isFatal(errcode)) return transactions.flatMap((one) => this.apply([one]));
      const message = error instanceof Error ? error.message : String(error);
      return transactions.map(() => ({ kind: 'failed', errcode, message }));
    }
  }

  #commit(transactions: readonly RowTransaction[]): readonly RowResult[] {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const before = this.#revision;
      const results = transactions.map((transaction) => this.#transact(transaction));
      if (this.#revision !== before) {
        this.#compact();
        this.#setProperty.run(this.#revision, 'revision');
      }
      this.#database.exec('COMMIT');
      return results;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#load();
      throw error;
    }
  }

  #transact(transaction: RowTransaction): RowResult {
    for (const [index, check] of transaction.checks.entries()) {
      const found = this.#row(check.kind, check.key);
      const holds = check.version === 'any' ? found !== undefined : (found?.version ?? 0) === check.version;
      if (!holds) return { kind: 'conflict', check: index, found };
    }
    const revision = this.#revision + 1;
    for (const { kind, key, value } of transaction.writes) {
      if (value !== null) this.#put.run(kind, key, revision, value);
      else if (this.#delete.run(kind, key).changes === 0) continue;
      this.#position += 1;
      this.#bytesThrough += kind.length + key.length + (value?.length ?? 0);
      this.#change.run(this.#position, revision, kind, key, value, this.#bytesThrough);
      this.#revision = revision;
    }
    return { kind: 'committed', version: this.#revision };
  }

  #row(kind: string, key: string): Row | undefined {
    const row = this.#find.get(kind, key);
    return row === undefined ? undefined : { version: Number(row['version']), value: String(row['value']) };
  }

  /**
   * Removes the front of the log, by whole revisions and never the newest. A tenth over the bound is let
   * be, so that the work is done for many events at once.
   */
  #compact(): void {
    const { events, bytes } = this.#bounds;
    const start = this.#logStart;
    const eventsNow = this.#position - start.position + 1;
    const bytesNow = this.#bytesThrough - start.bytesBefore;
    if (eventsNow <= events * 1.1 && bytesNow <= bytes * 1.1) return;
    // The first row that is still within both bounds; the row before it is the last that may go.
    const last = this.#database
      .prepare('SELECT max(revision) AS revision FROM change WHERE position <= ? OR bytes_through <= ?')
      .get(this.#position - events, this.#bytesThrough - bytes)?.['revision'];
    const cutoff = Math.min(Number(last ?? 0), this.#revision - 1);
    this.#database.prepare('DELETE FROM change WHERE revision <= ?').run(cutoff);
    this.#setProperty.run(cutoff, 'compacted');
    this.#loadLog();
  }

  #load(): void {
    this.#revision = Number(
      this.#database.prepare("SELECT value FROM property WHERE name = 'revision'").get()?.['value'] ?? 0,
    );
    this.#loadLog();
  }

  #loadLog(): void {
    const edge = 'SELECT position, bytes_through, kind, key, value FROM change ORDER BY position';
    const newest = this.#database.prepare(`${edge} DESC LIMIT 1`).get();
    const oldest = this.#database.prepare(`${edge} LIMIT 1`).get();
    this.#position = Number(newest?.['position'] ?? 0);
    this.#bytesThrough = Number(newest?.['bytes_through'] ?? 0);
    const oldestBytes = ['kind', 'key', 'value'].reduce((sum, name) => sum + String(oldest?.[name] ?? '').length, 0);
    this.#logStart = {
      position: Number(oldest?.['position'] ?? 1),
      bytesBefore: Number(oldest?.['bytes_through'] ?? 0) - (oldest === undefined ? 0 : oldestBytes),
    };
  }
}
