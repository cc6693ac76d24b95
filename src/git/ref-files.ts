/**
 * A repository's ref files as they lie on disk: HEAD, loose refs, packed-refs, each with what `lstat` said just before it
 * was read, so that a later look can tell in microseconds whether anything changed behind our back.
 *
 * A stamp taken shortly after a change proves little (a second change may fall into the same tick of the file system's
 * clock), so such an entry is `racy` and its content is compared too until it is old enough.
 */
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import {
  contentOf,
  digestOf,
  isRacy,
  isSameStamp,
  isStamped,
  listingOf,
  LOOSE_BYTES_MAX,
  type Stamp,
  stampOf,
} from './file-stamp.ts';
import { isZeroOid, type ObjectFormat, type Oid, oidHexLength, parseOid } from './oid.ts';
import { parsePackedRefs } from './packed-refs.ts';
import { parseRefname, type Refname } from './refname.ts';

const DEPTH_MAX = 64;
/** lstat calls between two turns of the event loop. */
const SLICE = 2_000;

export type LooseValue =
  | { readonly kind: 'oid'; readonly oid: Oid }
  | { readonly kind: 'symref'; readonly target: Refname }
  | { readonly kind: 'broken'; readonly reason: string };

interface Seen {
  /** undefined: it was not there. */
  readonly stamp: Stamp | undefined;
  racy: boolean;
  /** What was read; kept only while racy. */
  content: string;
  readonly value?: LooseValue;
}

export interface RefFiles {
  readonly head: LooseValue;
  readonly loose: ReadonlyMap<Refname, LooseValue>;
  readonly packed: ReadonlyMap<Refname, Oid>;
  readonly seen: Map<string, Seen>;
  /** It changed while it was read, again and again: true at some moment each, but look again next time. */
  readonly isUnstable: boolean;
}

export interface RefPlace {
  readonly path: string;
  readonly objectFormat: ObjectFormat;
  readonly now: () => number;
  readonly log: (line: string) => void;
}

/** Reads all of it; of `previous` what did not change is taken over. @throws Fault `corrupt`. */
export async function readRefFiles(place: RefPlace, previous?: RefFiles): Promise<RefFiles> {
  assertFilesBackend(place.path);
  let last = previous;
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const files = await new Scan(place, last).run();
    if (await isCurrent(place, files)) return files;
    last = files;
  }
  const files = await new Scan(place, last).run();
  return { ...files, isUnstable: true };
}

/** Whether nothing changed since `files` were read. Many files are looked at in slices. */
export async function isCurrent(place: RefPlace, files: RefFiles): Promise<boolean> {
  let count = 0;
  for (const [path, seen] of files.seen) {
    if (!isSame(place, path, seen)) return false;
    count += 1;
    if (count % SLICE === 0) await turn();
  }
  return !files.isUnstable;
}

/** As `isCurrent`, at once; undefined where there are too many files to look at in one go. */
export function isCurrentNow(place: RefPlace, files: RefFiles): boolean | undefined {
  if (files.isUnstable) return false;
  if (files.seen.size > SLICE) return undefined;
  for (const [path, seen] of files.seen) if (!isSame(place, path, seen)) return false;
  return true;
}

function isSame(place: RefPlace, path: string, seen: Seen): boolean {
  const full = `${place.path}/${path}`;
  if (!seen.racy) return isStamped(full, seen.stamp);
  const now = place.now();
  const stamp = stampOf(full);
  if (!isSameStamp(stamp, seen.stamp)) return false;
  if (stamp === undefined) return true;
  if (contentOf(full, stamp) !== seen.content) return false;
  if (!isRacy(stamp, now)) {
    seen.racy = false;
    seen.content = '';
  }
  return true;
}

class Scan {
  readonly #place: RefPlace;
  readonly #previous: RefFiles | undefined;
  readonly #seen = new Map<string, Seen>();
  readonly #loose = new Map<Refname, LooseValue>();
  #count = 0;

  constructor(place: RefPlace, previous: RefFiles | undefined) {
    this.#place = place;
    this.#previous = previous;
  }

  /**
   * Loose refs are read before packed-refs: `git pack-refs` writes packed-refs before it removes the loose ones, so in
   * this order no ref can slip from one to the other unseen.
   */
  async run(): Promise<RefFiles> {
    const head = this.#file('HEAD') ?? { kind: 'broken', reason: 'missing' };
    if (head.kind === 'broken') {
      throw new Fault('corrupt', 'HEAD cannot be read', { context: { path: this.#place.path, reason: head.reason } });
    }
    await this.#directories();
    const packed = this.#packed();
    return { head, loose: this.#loose, packed, seen: this.#seen, isUnstable: false };
  }

  async #directories(): Promise<void> {
    const waiting = [{ path: 'refs', depth: 1 }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { path, depth } = next;
      const names = this.#directory(path);
      if (names === undefined && depth === 1) {
        throw new Fault('corrupt', 'repository has no refs directory', { context: { path: this.#place.path } });
      }
      for (const name of names ?? []) {
        this.#count += 1;
        if (this.#count % SLICE === 0) await turn();
        const child = `${path}/${name}`;
        if (name.endsWith('.lock') || name.startsWith('.')) continue;
        const type = stampOf(this.#full(child))?.type;
        if (type === 'directory' && depth < DEPTH_MAX) waiting.push({ path: child, depth: depth + 1 });
        else if (type === 'directory') this.#ignore(child, 'too deep');
        else if (type !== undefined) this.#ref(child);
      }
    }
  }

  #ref(path: string): void {
    const refname = parseRefname(path);
    if (refname === undefined) {
      this.#ignore(path, 'bad name');
      return;
    }
    const value = this.#file(path);
    if (value === undefined) return;
    if (value.kind === 'broken') this.#ignore(path, value.reason);
    this.#loose.set(refname, value);
  }

  #directory(path: string): readonly string[] | undefined {
    const now = this.#place.now();
    const stamp = stampOf(this.#full(path));
    if (stamp?.type !== 'directory') return undefined;
    const racy = isRacy(stamp, now);
    const names = listingOf(this.#full(path));
    this.#seen.set(path, { stamp, racy, content: racy ? names.join('/') : '' });
    return names;
  }

  /** undefined: not there. What has the same stamp as before, and had not been racy, is not read again. */
  #file(path: string): LooseValue | undefined {
    const now = this.#place.now();
    const stamp = stampOf(this.#full(path));
    if (stamp === undefined) return undefined;
    const before = this.#previous?.seen.get(path);
    if (before?.value !== undefined && !before.racy && isSameStamp(before.stamp, stamp)) {
      this.#seen.set(path, before);
      return before.value;
    }
    const racy = isRacy(stamp, now);
    const content = contentOf(this.#full(path), stamp);
    if (content === undefined) return undefined;
    const value = parseLoose(content, stamp, this.#place.objectFormat);
    this.#seen.set(path, { stamp, racy, content: racy ? content : '', value });
    return value;
  }

  #packed(): ReadonlyMap<Refname, Oid> {
    const path = 'packed-refs';
    const now = this.#place.now();
    const stamp = stampOf(this.#full(path));
    const before = this.#previous?.seen.get(path);
    if (this.#previous !== undefined && before !== undefined && !before.racy && isSameStamp(before.stamp, stamp)) {
      this.#seen.set(path, before);
      return this.#previous.packed;
    }
    if (stamp === undefined) {
      this.#seen.set(path, { stamp, racy: false, content: '' });
      return new Map();
    }
    if (stamp.type !== 'file') throw new Fault('corrupt', 'packed-refs is not a file', { context: { path } });
    const bytes = readFileSync(this.#full(path));
    const racy = isRacy(stamp, now);
    this.#seen.set(path, { stamp, racy, content: racy ? digestOf(bytes) : '' });
    return parsePackedRefs(bytes, this.#place.objectFormat, (refname, reason) => {
      this.#ignore(refname, reason);
    });
  }

  #ignore(refname: string, reason: string): void {
    this.#place.log(`ignoring ref ${JSON.stringify(refname.slice(0, 200))} in ${this.#place.path}: ${reason}`);
  }

  #full(path: string): string {
    return `${this.#place.path}/${path}`;
  }
}

function parseLoose(content: string, { type, size }: Stamp, format: ObjectFormat): LooseValue {
  if (type === 'link') {
    const target = parseRefname(content);
    // git would follow any other link; here it could lead out of the repository.
    return target === undefined ? { kind: 'broken', reason: 'symbolic link' } : { kind: 'symref', target };
  }
  if (type !== 'file') return { kind: 'broken', reason: 'not a file' };
  if (size > LOOSE_BYTES_MAX) return { kind: 'broken', reason: 'too long' };
  const symref = /^ref:\s*(.*?)\s*$/s.exec(content);
  if (symref !== null) {
    const target = parseRefname(symref[1] ?? '');
    return target === undefined ? { kind: 'broken', reason: 'bad symref' } : { kind: 'symref', target };
  }
  const digits = oidHexLength(format);
  const oid = parseOid(content.slice(0, digits).toLowerCase(), format);
  if (oid === undefined || /\S/.test(content.charAt(digits))) return { kind: 'broken', reason: 'not an oid' };
  return isZeroOid(oid) ? { kind: 'broken', reason: 'null oid' } : { kind: 'oid', oid };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** @throws Fault `corrupt` for a repository whose refs are stored as reftable: not read yet (docs/limits.md). */
function assertFilesBackend(path: string): void {
  if (lstatSync(join(path, 'reftable'), { throwIfNoEntry: false }) === undefined) return;
  const publicMessage = 'this repository stores its refs as reftable, which this server does not read';
  throw new Fault('corrupt', 'repository uses reftable', { context: { path }, publicMessage });
}
