/**
 * Refs changed by the gate itself, in the files of a bare repository, by git's own protocol (git's refs/files-backend.c):
 * every ref is locked, its old value verified under the lock, packed-refs locked where a ref goes. So a git beside the gate
 * and the gate never come between each other's looking and writing. What is not plain is git's to do.
 */
import { lstatSync, readFileSync, unlinkSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { allSynced } from '../base/durable.ts';
import { Fault, refuse, type Refusal } from '../base/fault.ts';
import { BeyondReach, type Odb } from '../git/odb/odb.ts';
import { isZeroOid, oidHexLength } from '../git/oid.ts';
import type { Repository } from '../repository/repository.ts';
import type { Durable } from './durable.ts';
import type { LoggedUpdate } from './log-entry.ts';
import { hasCode, makeWayTo, readLoose, removeEmpty, removeEmptyAbove, type LooseFound } from './loose-place.ts';
import { OnlyGit } from './only-git.ts';
import { PackedFile } from './packed-file.ts';
import { Locked, RefLock } from './ref-lock.ts';
import type { PreparedRefs } from './ref-writer.ts';

export interface FileWriterParts {
  readonly durable: Durable;
  readonly clock: Clock;
  /** Objects of a repository, as they are now. */
  readonly objects: (repository: Repository) => Pick<Odb, 'header'>;
}

/** Only somebody beside the gate can hold one: pushes of the gate wait for their turn elsewhere. */
const REF_WAIT_MS = 1_000;
const PACKED_WAIT_MS = 10_000;
/** A directory that was empty may go between making it and locking in it. */
const ATTEMPTS_MAX = 5;
/** More at once are git's. */
const UPDATES_MAX = 256;
/** Files of a transaction that are made or renamed at the same time: as many as there are other threads for it. */
const AT_ONCE_MAX = 4;
/** Settings of a repository that change how its refs are written; an inclusion may bring one. */
const ODD_CONFIG = /sharedrepository|refstorage|worktreeconfig|symlinkrefs|^\s*\[\s*include/im;
/** Those of one work tree (gitrepository-layout). */
const ODD_REFNAME = /^refs\/(?:worktree|bisect|rewritten)\//;

/** Undefined: only git can prepare these. */
export async function prepareInFiles(
  parts: FileWriterParts,
  repository: Repository,
  updates: readonly LoggedUpdate[],
): Promise<PreparedRefs | Refusal | undefined> {
  const transaction = new FilesTransaction(parts, repository, updates);
  try {
    const refused = await transaction.prepare();
    if (refused === undefined) return transaction;
    await transaction[Symbol.asyncDispose]();
    return refused;
  } catch (error) {
    await transaction[Symbol.asyncDispose]();
    // A disk that says no says it to git, too, and git's words are known: nothing was changed yet.
    if (error instanceof OnlyGit || error instanceof BeyondReach || isSystemError(error)) return undefined;
    throw error;
  }
}

interface Item {
  readonly update: LoggedUpdate;
  readonly path: string;
  readonly lock: RefLock;
  readonly found: LooseFound;
  /** The lock file holds a value that is to be published. */
  isChanged: boolean;
}

class FilesTransaction implements PreparedRefs {
  readonly kind = 'prepared';
  readonly isSynced = true;
  readonly #parts: FileWriterParts;
  readonly #repository: Repository;
  readonly #updates: readonly LoggedUpdate[];
  readonly #items: Item[] = [];
  readonly #digits: number;
  #head: RefLock | undefined;
  #packed: RefLock | undefined;
  /** There is a `packed-refs.new` of ours. */
  #isRewritten = false;
  #isOver = false;

  constructor(parts: FileWriterParts, repository: Repository, updates: readonly LoggedUpdate[]) {
    this.#parts = parts;
    this.#repository = repository;
    this.#updates = updates;
    this.#digits = oidHexLength(repository.objectFormat);
  }

  /** Takes every lock and verifies every old value. @throws OnlyGit, BeyondReach, or what the file system said. */
  async prepare(): Promise<Refusal | undefined> {
    const head = this.#assertPlain();
    const objects = this.#parts.objects(this.#repository);
    for (const update of this.#updates) {
      const problem = await objectProblem(objects, update);
      if (problem !== undefined) return refuse(problem);
    }
    try {
      const inTheWay = await this.#lockEach();
      if (inTheWay !== undefined) return refuse(inTheWay);
      return (await this.#verify()) ?? (await this.#lockHead(head));
    } catch (error) {
      if (!(error instanceof Locked)) throw error;
      const path = error.message.replace(this.#repository.path, '.');
      return refuse(`${path}: another program changes it, or was ended while it did`);
    }
  }

  async sync(): Promise<void> {
    const { durable } = this.#parts;
    const files = this.#items.filter(({ isChanged }) => isChanged).map(({ lock }) => lock.newPath);
    if (this.#isRewritten) files.push(this.#file('packed-refs.new'));
    await Promise.all(files.map((file) => durable.syncFile(file)));
  }

  /** In git's order: new values, then packed-refs without the deleted, then the loose files of those. */
  async commit(): Promise<void> {
    try {
      if (this.#isOver) throw new Fault('process', 'ref transaction was given up');
      const changed = this.#items.filter(({ isChanged }) => isChanged);
      await sideBySide(changed, ({ lock, path }) => publish(lock, path));
      if (this.#isRewritten) {
        await rename(this.#file('packed-refs.new'), this.#file('packed-refs'));
        this.#isRewritten = false;
        // Else a power cut could keep the old packed value and lose the loose one over it: an ancient value, back again.
        await this.#parts.durable.syncDirectory(this.#repository.path);
      }
      for (const { update, path } of this.#items) if (isZeroOid(update.newOid)) removeFile(path);
    } catch (cause) {
      throw new Fault('process', 'ref transaction was not finished', { cause, context: { id: this.#repository.id } });
    } finally {
      await this[Symbol.asyncDispose]();
    }
    for (const { refname, newOid } of this.#updates) {
      if (isZeroOid(newOid)) removeEmptyAbove(this.#repository.path, refname);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    if (this.#isRewritten) await rm(this.#file('packed-refs.new'), { force: true }).catch(() => {});
    this.#isRewritten = false;
    for (const lock of [...this.#items.map((item) => item.lock), this.#head, this.#packed]) await lock?.release();
  }

  /** @returns the ref that HEAD stands for. @throws OnlyGit where anything about the repository is not plain. */
  #assertPlain(): string | undefined {
    const { path, conf } = this.#repository;
    // The files of a site have its umask, which git is given.
    if (conf !== undefined) throw new OnlyGit('a repository of a site');
    if (this.#updates.length > UPDATES_MAX) throw new OnlyGit('many refs');
    if (lstatSync(`${path}/refs`).uid !== process.geteuid?.()) throw new OnlyGit('another user keeps the repository');
    if (isThere(`${path}/reftable`) || isThere(`${path}/commondir`)) throw new OnlyGit('another backend');
    if (ODD_CONFIG.test(readFileSync(`${path}/config`, 'utf8'))) throw new OnlyGit('configuration is not plain');
    const hasLogs = isThere(`${path}/logs`);
    const head = readHead(path, this.#digits);
    for (const { refname, oldOid, newOid } of this.#updates) {
      if (ODD_REFNAME.test(refname)) throw new OnlyGit('a ref of one work tree');
      if (isZeroOid(newOid) && isZeroOid(oldOid)) throw new OnlyGit('nothing to do');
      // git adds to a log of a ref that is there, whatever the configuration says.
      const isLogged =
        hasLogs && (isThere(`${path}/logs/${refname}`) || (refname === head && isThere(`${path}/logs/HEAD`)));
      if (isLogged) throw new OnlyGit('a ref has a log');
    }
    return head;
  }

  /** @returns what stands in the way of one of them: then some may not be locked. */
  async #lockEach(): Promise<string | undefined> {
    let problem: string | undefined;
    await sideBySide(this.#updates, async (update) => {
      if (problem !== undefined) return;
      const inTheWay = await this.#lock(update);
      if (inTheWay !== undefined) problem ??= `${inTheWay} exists: ${update.refname} cannot be made`;
    });
    return problem;
  }

  /** Locks one ref and reads its loose value. @returns what stands in its way. */
  async #lock(update: LoggedUpdate): Promise<string | undefined> {
    const { refname, oldOid, newOid } = update;
    const path = this.#file(refname);
    const isChanged = !isZeroOid(newOid) && newOid !== oldOid;
    const options = { path, content: isChanged ? `${newOid}\n` : '', waitMs: REF_WAIT_MS, clock: this.#parts.clock };
    for (let attempt = 1; ; attempt += 1) {
      const inTheWay = makeWayTo(this.#repository.path, refname);
      if (inTheWay !== undefined) return inTheWay;
      try {
        const lock = await RefLock.take(options);
        const item = { update, path, lock, isChanged };
        this.#items.push({ ...item, found: { kind: 'missing' } });
        this.#items.splice(-1, 1, { ...item, found: readLoose(path, this.#digits) });
        return undefined;
      } catch (error) {
        if (attempt === ATTEMPTS_MAX || !hasCode(error, ['ENOENT'])) throw error;
      }
    }
  }

  /** packed-refs is read when every lock is held: what leaves the loose files meanwhile cannot be one of ours. */
  async #verify(): Promise<Refusal | undefined> {
    const gone = this.#updates.filter(({ newOid }) => isZeroOid(newOid)).map(({ refname }) => refname);
    if (gone.length > 0) {
      const path = this.#file('packed-refs');
      this.#packed = await RefLock.take({ path, content: '', waitMs: PACKED_WAIT_MS, clock: this.#parts.clock });
    }
    let packed: PackedFile | undefined;
    for (const item of this.#items) {
      if (item.found.kind !== 'value') packed ??= PackedFile.read(this.#repository.path, this.#digits);
      const problem = this.#problemOf(item, packed);
      if (problem !== undefined) return refuse(problem);
    }
    if (gone.length === 0) return undefined;
    packed ??= PackedFile.read(this.#repository.path, this.#digits);
    const rest = packed.without(gone);
    if (rest !== undefined) await this.#rewrite(rest);
    return undefined;
  }

  #problemOf({ update, path, found }: Item, packed: PackedFile | undefined): string | undefined {
    const { refname, oldOid } = update;
    const value = found.kind === 'value' ? found.oid : packed?.find(refname);
    if (value === undefined && isZeroOid(oldOid)) return this.#conflict(update, packed, { path, found });
    if (value === undefined) return `${refname} is missing`;
    if (found.kind === 'directory') throw new OnlyGit('a directory lies over a packed ref');
    if (isZeroOid(oldOid)) return `${refname} exists already`;
    return value === oldOid ? undefined : `${refname} is at ${value}`;
  }

  /** What keeps a new ref from being made: one above or below it, here or in the same transaction. */
  #conflict(
    { refname }: LoggedUpdate,
    packed: PackedFile | undefined,
    { path, found }: Pick<Item, 'path' | 'found'>,
  ): string | undefined {
    const others = this.#updates.map((update) => update.refname);
    const above = [...aboveOf(refname)].find(
      (name) => packed?.find(name) !== undefined || others.some((other) => other === name),
    );
    const below = packed?.firstBelow(refname) ?? others.find((other) => other.startsWith(`${refname}/`));
    const inTheWay = above ?? below;
    if (inTheWay !== undefined) return `${inTheWay} and ${refname} cannot both be`;
    if (found.kind === 'directory' && !removeEmpty(path)) return `there is something below ${refname}`;
    return undefined;
  }

  /** git takes this lock, too, because it might have to write the log of HEAD. */
  async #lockHead(head: string | undefined): Promise<undefined> {
    if (!this.#updates.some(({ refname }) => refname === head)) return;
    const path = this.#file('HEAD');
    this.#head = await RefLock.take({ path, content: '', waitMs: REF_WAIT_MS, clock: this.#parts.clock });
  }

  async #rewrite(bytes: Buffer): Promise<void> {
    await using file = await open(this.#file('packed-refs.new'), 'wx');
    this.#isRewritten = true;
    await file.writeFile(bytes);
  }

  #file(name: string): string {
    return join(this.#repository.path, name);
  }
}

/** As git verifies it: the object is there, and a branch holds a commit. @throws BeyondReach */
async function objectProblem(
  objects: Pick<Odb, 'header'>,
  { refname, oldOid, newOid }: LoggedUpdate,
): Promise<string | undefined> {
  if (isZeroOid(newOid) || newOid === oldOid) return undefined;
  const header = await objects.header(newOid);
  if (header === undefined) return `object ${newOid} is not here`;
  if (!refname.startsWith('refs/heads/') || header.type === 'commit') return undefined;
  return `a branch holds a commit, not a ${header.type}`;
}

function readHead(path: string, digits: number): string | undefined {
  if (!lstatSync(`${path}/HEAD`).isFile()) throw new OnlyGit('HEAD is no file');
  const text = readFileSync(`${path}/HEAD`, 'utf8');
  const target = /^ref: (refs\/[^\s]+)\n?$/.exec(text)?.[1];
  if (target === undefined && !new RegExp(`^[0-9a-f]{${digits}}\\n?$`).test(text)) throw new OnlyGit('HEAD is odd');
  return target;
}

/** Renames over an empty directory, too. */
async function publish(lock: RefLock, path: string): Promise<void> {
  try {
    await lock.publish();
  } catch (error) {
    if (!hasCode(error, ['EISDIR', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR']) || !removeEmpty(path)) throw error;
    await lock.publish();
  }
}

/** Each is begun unless one before it failed, and all that began are over when it resolves or rejects. */
async function sideBySide<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  let hasFailed = false;
  const rest = all.values();
  const worker = async (): Promise<void> => {
    for (const one of rest) {
      if (hasFailed) return;
      try {
        await act(one);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  await allSynced(Array.from({ length: Math.min(AT_ONCE_MAX, all.length) }, worker));
}

function* aboveOf(refname: string): Generator<string> {
  for (let at = refname.lastIndexOf('/'); at > 0; at = refname.lastIndexOf('/', at - 1)) yield refname.slice(0, at);
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, ['ENOENT', 'EISDIR', 'ENOTDIR', 'EPERM'])) throw error;
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
