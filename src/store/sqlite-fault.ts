/** What SQLite reports, as faults. */
import { Fault } from '../base/fault.ts';

/** How long a connection waits for another's lock, in milliseconds. */
export const SQLITE_BUSY_MS = 5_000;

/** Primary result codes (sqlite.org/rescode.html) that we tell apart. */
export const SQLITE_CODES = {
  busy: 5,
  locked: 6,
  inputOutput: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  tooBig: 18,
  notADatabase: 26,
} as const;

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** The primary result code of an error of `node:sqlite`; `undefined` for anything else. */
export function sqliteCode(error: unknown): number | undefined {
  const code = isRecord(error) ? error['errcode'] : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}

/** After these the file and our idea of it may differ: the store takes no more writes until it is reopened. */
export function isFatal(errcode: number | undefined): boolean {
  return (
    errcode === SQLITE_CODES.inputOutput || errcode === SQLITE_CODES.corrupt || errcode === SQLITE_CODES.notADatabase
  );
}

export function sqliteFault(error: unknown, context: Readonly<Record<string, unknown>> = {}): Fault {
  if (error instanceof Fault) return error;
  const errcode = sqliteCode(error);
  const options = { cause: error, context: { ...context, errcode } };
  if (errcode === SQLITE_CODES.busy || errcode === SQLITE_CODES.locked) {
    const publicMessage = 'the store is locked by another process; try again later';
    return new Fault('busy', 'store is locked by another process', { ...options, publicMessage });
  }
  if (errcode === SQLITE_CODES.full) {
    const publicMessage = 'the disk of the server is full; nothing was changed';
    return new Fault('busy', 'store disk is full', { ...options, publicMessage });
  }
  if (errcode === SQLITE_CODES.tooBig) {
    return new Fault('bad-input', 'store value is too big', { ...options, publicMessage: 'the value is too big' });
  }
  if (isFatal(errcode)) return new Fault('corrupt', 'store file is damaged or its disk failed', options);
  return new Fault('internal', 'store failed', options);
}
