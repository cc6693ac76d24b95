/**
 * The durable log of one repository, `<repository>/gatehouse/log/`: a file for each transaction, on disk before the
 * commit point names it. Start-up replays from it what was committed and not applied.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { isJsonObject, type Json } from '../base/json.ts';
import { parseOid, type ObjectFormat, type Oid } from '../git/oid.ts';
import { parseRefname, type Refname } from '../git/refname.ts';
import type { Durable } from './durable.ts';
import { GATE_DIRECTORY } from './quarantine.ts';

/** One ref of a transaction. The null oid stands for "does not exist". */
export interface LoggedUpdate {
  readonly refname: Refname;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}

/** Whose push it was. */
export interface LoggedPusher {
  readonly requestId: string;
  readonly principal: string;
  /** How many of the updates are its own. */
  readonly refs: number;
}

export interface LogEntry {
  /** 1, 2, 3 ... without a gap among those that were committed. */
  readonly generation: number;
  readonly txid: string;
  /** The transaction before; '' for the first. */
  readonly prevTxid: string;
  /** The pushes that committed together, in the order of their updates; one as a rule. */
  readonly pushers: readonly LoggedPusher[];
  readonly updates: readonly LoggedUpdate[];
  /** Packs kept from a concurrent repack (`.keep`) until the refs are in place. */
  readonly packs: readonly string[];
}

export function logDirectory(repositoryPath: string): string {
  return join(repositoryPath, GATE_DIRECTORY, 'log');
}

/** Names sort by generation. */
function entryName(generation: number, txid: string): string {
  return `${String(generation).padStart(16, '0')}-${txid}.json`;
}

export function entryPath(repositoryPath: string, key: { readonly generation: number; readonly txid: string }): string {
  return join(logDirectory(repositoryPath), entryName(key.generation, key.txid));
}

/**
 * Resolves when the entry would survive a power cut. One that a crash cut short is named by no commit point, and no ref was
 * locked for it yet.
 * @param isAgain whether an entry of the same name may be there already, from an attempt before.
 */
export async function writeLogEntry(
  durable: Durable,
  repositoryPath: string,
  entry: LogEntry,
  isAgain = false,
): Promise<void> {
  const directory = logDirectory(repositoryPath);
  if (!existsSync(directory) && (await mkdir(directory, { recursive: true })) !== undefined) {
    await durable.syncDirectory(join(repositoryPath, GATE_DIRECTORY));
    await durable.syncDirectory(repositoryPath);
  }
  const path = entryPath(repositoryPath, entry);
  const text = `${JSON.stringify(entry)}\n`;
  await (isAgain ? durable.writeFile(path, text) : durable.createFile(path, text));
}

/** @throws Fault `corrupt` where the entry is missing or is not one. */
export async function readLogEntry(
  repository: { readonly path: string; readonly objectFormat: ObjectFormat },
  key: { readonly generation: number; readonly txid: string },
): Promise<LogEntry> {
  return readEntryFile(entryPath(repository.path, key), repository.objectFormat);
}

async function readEntryFile(path: string, format: ObjectFormat): Promise<LogEntry> {
  let parsed: Json;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8')) as Json;
  } catch (cause) {
    throw new Fault('corrupt', 'log entry is missing or malformed', { cause, context: { path } });
  }
  const entry = parseEntry(parsed, format);
  if (entry === undefined) throw new Fault('corrupt', 'log entry is malformed', { context: { path } });
  return entry;
}

function parseEntry(json: Json, format: ObjectFormat): LogEntry | undefined {
  if (!isJsonObject(json)) return undefined;
  const { generation, txid, prevTxid, updates, packs } = json;
  if (typeof generation !== 'number' || typeof txid !== 'string' || typeof prevTxid !== 'string') return undefined;
  if (!Array.isArray(updates) || !Array.isArray(packs)) return undefined;
  const parsed: LoggedUpdate[] = [];
  for (const update of updates as readonly Json[]) {
    const one = parseUpdate(update, format);
    if (one === undefined) return undefined;
    parsed.push(one);
  }
  const names = (packs as readonly Json[]).filter((name) => typeof name === 'string');
  const pushers = parsePushers(json, parsed.length);
  return pushers && { generation, txid, prevTxid, pushers, updates: parsed, packs: names };
}

/** Undefined where it is not known of each update whose it is. */
function parsePushers(json: { readonly [name: string]: Json }, updates: number): readonly LoggedPusher[] | undefined {
  const { pushers = [{ ...json, refs: updates }] } = json;
  if (!Array.isArray(pushers)) return undefined;
  const parsed: LoggedPusher[] = [];
  for (const pusher of pushers as readonly Json[]) {
    if (!isJsonObject(pusher)) return undefined;
    const { requestId, principal, refs } = pusher;
    if (typeof requestId !== 'string' || typeof principal !== 'string' || typeof refs !== 'number') return undefined;
    if (!Number.isSafeInteger(refs) || refs < 0) return undefined;
    parsed.push({ requestId, principal, refs });
  }
  return parsed.reduce((sum, { refs }) => sum + refs, 0) === updates ? parsed : undefined;
}

function parseUpdate(json: Json, format: ObjectFormat): LoggedUpdate | undefined {
  if (!isJsonObject(json)) return undefined;
  const refname = typeof json['refname'] === 'string' ? parseRefname(json['refname']) : undefined;
  const oldOid = typeof json['oldOid'] === 'string' ? parseOid(json['oldOid'], format) : undefined;
  const newOid = typeof json['newOid'] === 'string' ? parseOid(json['newOid'], format) : undefined;
  return refname === undefined || oldOid === undefined || newOid === undefined
    ? undefined
    : { refname, oldOid, newOid };
}

/** Entries that no commit point ever named: their generation lies above the last one, or their txid is not the named one. */
export async function unreferencedEntries(
  repository: { readonly path: string; readonly objectFormat: ObjectFormat },
  last: { readonly generation: number; readonly txid: string },
): Promise<readonly { readonly path: string; readonly entry: LogEntry | undefined }[]> {
  const found: { readonly path: string; readonly entry: LogEntry | undefined }[] = [];
  for (const { name, generation, txid } of await listEntries(repository.path)) {
    const isReferenced = generation < last.generation || (generation === last.generation && txid === last.txid);
    if (isReferenced) continue;
    const path = join(logDirectory(repository.path), name);
    const entry = await readEntryFile(path, repository.objectFormat).catch(() => undefined);
    found.push({ path, entry });
  }
  return found;
}

/** Forgets all but the newest `kept` entries up to `generation`. */
export async function pruneLog(repositoryPath: string, generation: number, kept: number): Promise<void> {
  for (const entry of await listEntries(repositoryPath)) {
    if (entry.generation <= generation - kept)
      await rm(join(logDirectory(repositoryPath), entry.name), { force: true });
  }
}

interface EntryFile {
  readonly name: string;
  readonly generation: number;
  readonly txid: string;
}

async function listEntries(repositoryPath: string): Promise<readonly EntryFile[]> {
  const directory = logDirectory(repositoryPath);
  const names = await readdir(directory).catch(() => []);
  const entries: EntryFile[] = [];
  for (const name of names) {
    const match = /^(\d{16})-([0-9a-f]+)\.json$/.exec(name);
    if (match !== null) entries.push({ name, generation: Number(match[1]), txid: match[2] ?? '' });
    else if (await isLeftover(join(directory, name))) await rm(join(directory, name), { force: true });
  }
  return entries;
}

/** A temporary file of an entry that never got its name, older than any write takes. */
async function isLeftover(path: string): Promise<boolean> {
  if (!path.endsWith('.tmp')) return false;
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
  return Date.now() - mtimeMs > 60_000;
}
