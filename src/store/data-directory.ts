/**
 * The data directory: one running gate owns it, and it is whole, new, or refused with the reason.
 *
 * The lock is SQLite's exclusive lock on an empty `lock.db`, which the kernel drops with the process
 * however it ends: no stale lock, no guessing about pids. (POSIX drops it as well when anything in this
 * process closes another descriptor of that file: nothing but this file opens it.) `gatehouse.pid` only
 * names the owner to whoever is refused.
 *
 * First start: `initialising` is written first and `version` last, each durably. `version` there: ready.
 * Only `initialising`: a first start was cut short; its steps are idempotent and run again. Neither, but
 * things that Gatehouse makes: the directory lost its version file, or is half a copy, and is refused.
 */
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { syncNow, writeFileDurably } from '../base/durable.ts';
import { Fault, type FaultCode } from '../base/fault.ts';
import { isRecord, SQLITE_CODES, sqliteCode } from './sqlite-fault.ts';

/** Raised when an older Gatehouse could no longer use the directory. */
export const LAYOUT_VERSION = 1;

const VERSION_NAME = 'version';
const UNFINISHED_NAME = 'initialising';
const LOCK_NAME = 'lock.db';
const PID_NAME = 'gatehouse.pid';
/** What a directory that was in use has. */
const REQUIRED_NAMES = ['gatehouse.db', 'repositories', 'journal'] as const;
/** What only Gatehouse makes: found without a version file, it is not an empty directory. */
const OWN_NAMES = [...REQUIRED_NAMES, 'gatehouse.db-wal', 'host-keys', 'admin-token'] as const;
/** How long the refused wait for the owner to write its pid, in milliseconds. */
const PID_WAIT_MS = 500;

/** A lock that is garbage-collected is closed, and so given up: it is held here until it is released. */
const heldLocks = new Set<DatabaseSync>();

/** `new`: nothing is here yet. `unfinished`: a first start was cut short. Both are initialised, then `finish`ed. */
type DataDirectoryState = 'new' | 'unfinished' | 'ready';

export interface DataDirectory extends AsyncDisposable {
  /** Absolute. */
  readonly path: string;
  readonly state: DataDirectoryState;
  /** Declares the directory whole, durably: the last step of a first start. Does nothing when it is `ready`. */
  finish(): Promise<void>;
  /** Gives the directory back. The end of the process does too. */
  release(): Promise<void>;
}

/**
 * Makes the directory where it is missing (0700), locks it and says in which state it is.
 * @throws Fault 'busy' where another process owns it, 'corrupt' where it is not whole or newer, 'usage'
 * where it is no usable directory; each with a public message that says what to do.
 */
export async function claimDataDirectory(path: string): Promise<DataDirectory> {
  const directory = resolve(path);
  makeDirectory(directory);
  const lock = await takeLock(directory);
  try {
    // Looked at under the lock: a first start that is under way is not mistaken for a broken one.
    const state = stateOf(directory);
    if (state === 'new') await writeName(directory, UNFINISHED_NAME, `gatehouse ${LAYOUT_VERSION}\n`);
    if (state === 'ready') rmSync(join(directory, UNFINISHED_NAME), { force: true });
    await writeName(directory, PID_NAME, `${process.pid} ${startOf(process.pid) ?? '-'}\n`);
    return new ClaimedDirectory(directory, state, lock);
  } catch (error) {
    lock.close();
    throw accessFault(error, directory);
  }
}

class ClaimedDirectory implements DataDirectory {
  readonly path: string;
  readonly state: DataDirectoryState;
  readonly #lock: DatabaseSync;
  #finished: boolean;

  constructor(path: string, state: DataDirectoryState, lock: DatabaseSync) {
    this.path = path;
    this.state = state;
    this.#lock = lock;
    heldLocks.add(lock);
    this.#finished = state === 'ready';
  }

  async finish(): Promise<void> {
    if (this.#finished) return;
    const missing = missingNames(this.path);
    if (missing.length > 0) {
      throw new Fault('internal', 'data directory finished too early', { context: { missing } });
    }
    syncNow(this.path);
    await writeName(this.path, VERSION_NAME, `gatehouse ${LAYOUT_VERSION}\n`);
    rmSync(join(this.path, UNFINISHED_NAME), { force: true });
    this.#finished = true;
  }

  async release(): Promise<void> {
    if (!this.#lock.isOpen) return;
    // Before the lock goes: afterwards the file may be the next owner's.
    rmSync(join(this.path, PID_NAME), { force: true });
    this.#lock.close();
    heldLocks.delete(this.#lock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

function makeDirectory(directory: string): void {
  try {
    const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (made !== undefined) syncNow(dirname(made));
    if (!statSync(directory).isDirectory()) throw refusal('usage', directory, 'is not a directory');
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw accessFault(error, directory);
  }
}

async function takeLock(directory: string): Promise<DatabaseSync> {
  const path = join(directory, LOCK_NAME);
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(path, { timeout: 0 });
    // No page is ever written, so that there is no journal to leave behind.
    lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock?.close();
    if (sqliteCode(error) === SQLITE_CODES.busy) throw await ownedFault(directory, error);
    throw refusal(
      'corrupt',
      directory,
      `cannot be locked through ${LOCK_NAME}; remove that file if nothing uses it`,
      error,
    );
  }
}

/** Names the owner. It writes its pid right after it takes the lock, so that the first look may be too early. */
async function ownedFault(directory: string, cause: unknown): Promise<Fault> {
  let owner = ownerOf(directory);
  for (let waitedMs = 0; owner === undefined && waitedMs < PID_WAIT_MS; waitedMs += 20) {
    await delay(20);
    owner = ownerOf(directory);
  }
  const who = owner === undefined ? 'another process' : `the process with pid ${owner}`;
  return new Fault('busy', 'data directory is in use', {
    cause,
    context: { directory, pid: owner },
    publicMessage: `${directory} is in use by ${who}. Stop it first, or choose another directory with --data.`,
  });
}

/** The pid in the file, where that process still is the one that wrote it. */
function ownerOf(directory: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(join(directory, PID_NAME), 'utf8');
  } catch {
    return undefined;
  }
  const match = /^(\d{1,10}) (\S+)\n$/.exec(text);
  const pid = Number(match?.[1] ?? 0);
  if (pid <= 0 || !isAlive(pid)) return undefined;
  const start = startOf(pid);
  return start === undefined || match?.[2] === '-' || match?.[2] === start ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isRecord(error) && error['code'] === 'EPERM';
  }
}

/** When a process started, in the kernel's ticks: tells it from a later one of the same pid. Undefined without /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the fields behind it are counted from its end (proc(5)).
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function stateOf(directory: string): DataDirectoryState {
  const names = new Set(readdirSync(directory));
  if (names.has(VERSION_NAME)) {
    checkVersion(directory, VERSION_NAME);
    const missing = missingNames(directory);
    if (missing.length === 0) return 'ready';
    const what = `was in use, but ${missing.join(', ')} is missing. Restore it from a backup`;
    throw refusal('corrupt', directory, `${what}; starting without it would show an empty server`);
  }
  if (names.has(UNFINISHED_NAME)) {
    checkVersion(directory, UNFINISHED_NAME);
    return 'unfinished';
  }
  const found = OWN_NAMES.filter((name) => names.has(name));
  if (found.length === 0) return 'new';
  const what = `holds ${found.join(', ')}, but no file "${VERSION_NAME}": it is half a copy or was half removed`;
  throw refusal('corrupt', directory, `${what}. Restore it from a backup, or choose an empty directory with --data`);
}

function missingNames(directory: string): readonly string[] {
  const names = new Set(readdirSync(directory));
  return REQUIRED_NAMES.filter((name) => !names.has(name));
}

function checkVersion(directory: string, name: string): void {
  const text = readFileSync(join(directory, name), 'latin1').slice(0, 100);
  const version = Number(/^gatehouse (\d{1,9})\n$/.exec(text)?.[1] ?? 0);
  if (version === LAYOUT_VERSION) return;
  if (version === 0) {
    throw refusal('corrupt', directory, `has a file "${name}" that is not Gatehouse's. Restore it from a backup`);
  }
  const what = `was written by a newer Gatehouse (layout ${version}; this one knows ${LAYOUT_VERSION})`;
  throw refusal('corrupt', directory, `${what}. Start the newer version`);
}

function writeName(directory: string, name: string, text: string): Promise<void> {
  return writeFileDurably(join(directory, name), text, { mode: 0o600 });
}

function accessFault(error: unknown, directory: string): Fault {
  if (error instanceof Fault) return error;
  const code = isRecord(error) && typeof error['code'] === 'string' ? error['code'] : 'unknown reason';
  if (code === 'EEXIST' || code === 'ENOTDIR') return refusal('usage', directory, 'is not a directory', error);
  return refusal('usage', directory, `cannot be read and written by this user (${code})`, error);
}

function refusal(code: FaultCode, directory: string, what: string, cause?: unknown): Fault {
  return new Fault(code, 'data directory refused', {
    cause,
    context: { directory },
    publicMessage: `${directory} ${what}.`,
  });
}
