/**
 * The SQLite file of the store: made whole or not at all, recognised or refused. A file that is newer,
 * truncated, unreadable or something else is refused with what to do, and never made anew.
 */
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { syncNow } from '../base/durable.ts';
import { Fault } from '../base/fault.ts';
import { isRecord, SQLITE_BUSY_MS, SQLITE_CODES, sqliteFault } from './sqlite-fault.ts';

/** Raised with every change of the tables. A file of a higher one was written by a newer Gatehouse. */
const SCHEMA_VERSION = 1;
/** "GtHs": marks the file as ours (`PRAGMA application_id`). */
const APPLICATION_ID = 0x47_74_48_73;
const MAGIC = 'SQLite format 3\0';
/** Files up to this size are checked page by page when opened: about 0.1 s. */
const CHECKED_BYTES_MAX = 64 * 1024 * 1024;

/**
 * `property` holds the newest revision and the newest one compacted away. `change` is the log behind
 * `watch`: its positions are contiguous, because rows are only added at the end and removed at the front.
 */
const SCHEMA = `
  CREATE TABLE property (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  INSERT INTO property VALUES ('revision', 0), ('compacted', 0);
  CREATE TABLE object (
    kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, key)
  ) STRICT;
  CREATE TABLE change (
    position INTEGER PRIMARY KEY, revision INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT, bytes_through INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX change_by_revision ON change (revision, position);
`;

/**
 * Opens the file for the store's own connections.
 * @throws Fault 'corrupt', 'missing', 'busy' or 'internal' with a public message that says what to do.
 */
export function openSqliteFile(options: { readonly path: string; readonly create: boolean }): DatabaseSync {
  const { path, create } = options;
  if (existsSync(path)) recogniseFile(path);
  else if (create) createFile(path);
  else
    throw refusal(
      'missing',
      path,
      'is missing. Restore it from a backup; starting without it would show an empty server',
    );
  const database = connect(path);
  try {
    recogniseSchema(database, path);
    checkPages(database, path);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

/** A further connection to a file that `openSqliteFile` accepted. */
export function connect(path: string): DatabaseSync {
  try {
    const database = new DatabaseSync(path, { timeout: SQLITE_BUSY_MS, enableForeignKeyConstraints: false });
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;' +
        'PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;',
    );
    return database;
  } catch (error) {
    throw openFault(error, path);
  }
}

/** Written beside its place, synced, then renamed: a crash leaves the whole file or none. */
function createFile(path: string): void {
  const unfinished = `${path}.new`;
  try {
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      rmSync(`${unfinished}${suffix}`, { force: true });
      // A log without its database would be replayed into the new one.
      rmSync(`${path}${suffix}`, { force: true });
    }
    // The mode is given before SQLite writes: token hashes are for the owner only.
    closeSync(openSync(unfinished, 'wx', 0o600));
    const database = connect(unfinished);
    try {
      database.exec(
        `BEGIN; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; ${SCHEMA} COMMIT;`,
      );
    } finally {
      database.close();
    }
    syncNow(unfinished);
    renameSync(unfinished, path);
    syncNow(dirname(path));
  } catch (error) {
    throw openFault(error, path);
  }
}

/** Looks at the first bytes before SQLite does, because SQLite takes an empty file for a new database. */
function recogniseFile(path: string): void {
  const head = Buffer.alloc(100);
  let count: number;
  let size: number;
  try {
    const status = statSync(path);
    if (!status.isFile()) throw refusal('corrupt', path, 'is not a file');
    ({ size } = status);
    const descriptor = openSync(path, 'r+');
    try {
      count = readSync(descriptor, head, 0, head.length, 0);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw openFault(error, path);
  }
  if (count < head.length) throw refusal('corrupt', path, 'is truncated. Restore it from a backup');
  if (head.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw refusal('corrupt', path, 'is not a database. Move it away or restore it from a backup');
  }
  // SQLite takes a part of a page for a whole one. A log beside it may hold the rest (a crash during its write-back).
  const page = head.readUInt16BE(16);
  if (size % (page === 1 ? 65_536 : Math.max(page, 512)) !== 0 && !hasLog(path)) {
    throw refusal('corrupt', path, 'is truncated. Restore it from a backup');
  }
}

function hasLog(path: string): boolean {
  return (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function recogniseSchema(database: DatabaseSync, path: string): void {
  let application: unknown;
  let schema: unknown;
  try {
    application = database.prepare('PRAGMA application_id').get()?.['application_id'];
    schema = database.prepare('PRAGMA user_version').get()?.['user_version'];
  } catch (error) {
    throw openFault(error, path);
  }
  if (application !== APPLICATION_ID) throw refusal('corrupt', path, 'is a database of another program');
  if (typeof schema !== 'number' || schema < 1) throw refusal('corrupt', path, 'has no schema version');
  if (schema > SCHEMA_VERSION) {
    throw refusal(
      'corrupt',
      path,
      `was written by a newer Gatehouse (schema ${schema}; this one knows ${SCHEMA_VERSION}). Start the newer version`,
    );
  }
}

/** Reads the tables once, which makes SQLite compare header and size; all pages where the file is small. */
function checkPages(database: DatabaseSync, path: string): void {
  try {
    database.prepare('SELECT value FROM property').all();
    if (statSync(path).size > CHECKED_BYTES_MAX) return;
    const verdict = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (verdict !== 'ok') throw refusal('corrupt', path, 'is damaged. Restore it from a backup', { verdict });
  } catch (error) {
    throw openFault(error, path);
  }
}

function refusal(
  code: 'corrupt' | 'missing',
  path: string,
  what: string,
  context: Record<string, unknown> = {},
): Fault {
  return new Fault(code, 'store file refused', { publicMessage: `${path} ${what}.`, context: { path, ...context } });
}

/** What the operating system or SQLite said at opening, turned into what a person can do. */
function openFault(error: unknown, path: string): Fault {
  if (error instanceof Fault) return error;
  const code = isRecord(error) ? error['code'] : undefined;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new Fault('internal', 'store file not accessible', {
      cause: error,
      publicMessage: `${path} cannot be read and written by this user (${code}). Give it to the user that runs Gatehouse.`,
      context: { path },
    });
  }
  const fault = sqliteFault(error, { path });
  if (fault.code !== 'corrupt') return fault;
  const errcode = fault.context['errcode'];
  const what = errcode === SQLITE_CODES.notADatabase ? 'is not a database' : 'is truncated or damaged';
  return new Fault('corrupt', 'store file refused', {
    cause: error,
    publicMessage: `${path} ${what}. Restore it from a backup.`,
    context: fault.context,
  });
}
