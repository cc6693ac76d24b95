/**
 * Refs of a repository without a process: read from its files, kept in memory, and compared with the disk at every use,
 * so that a change made behind the gate's back is seen at once. git is asked only about objects never seen before.
 */
import { BOUNDS } from '../base/bounds.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import type { Odb } from './odb/odb.ts';
import { type ObjectFormat, type Oid } from './oid.ts';
import { peelMany, type Peeling } from './peel.ts';
import type { GitProcesses } from './processes.ts';
import { isCurrent, isCurrentNow, type LooseValue, readRefFiles, type RefFiles, type RefPlace } from './ref-files.ts';
import type { Refname } from './refname.ts';

export interface RefEntry {
  readonly refname: Refname;
  readonly oid: Oid;
  /** What an annotated tag points at in the end; undefined where the object is no tag. */
  readonly peeled?: Oid;
  /** The ref that it stands for, where it is a symbolic one: the last of the chain. */
  readonly symref?: Refname;
}

export interface RefSnapshot {
  /** `target`: where HEAD points, born or not; undefined where it is detached. `oid`: undefined where unborn. */
  readonly head: { readonly target?: Refname; readonly oid?: Oid };
  /** Sorted by the bytes of the refname. */
  readonly refs: readonly RefEntry[];
  readonly byName: ReadonlyMap<string, RefEntry>;
  /** Another one after each change, never twice the same in one life of the gate. */
  readonly fingerprint: string;
  /** What was made of this snapshot (encoded advertisements) hangs here and dies with it. */
  readonly memo: Map<string, unknown>;
}

export interface RefRepository {
  readonly id: string;
  /** Absolute path of the bare repository. */
  readonly path: string;
  readonly objectFormat: ObjectFormat;
}

export interface RefCacheOptions {
  readonly processes: Pick<GitProcesses, 'start'>;
  /** Objects read without a process; absent: git is asked about each new value of a ref. */
  readonly odb?: { of(gitDir: string, format: ObjectFormat): Odb } | undefined;
  readonly clock?: Pick<Clock, 'now'>;
  readonly log?: (line: string) => void;
  /** Default `BOUNDS.refCacheBytesMax`. */
  readonly bytesMax?: number;
}

interface Entry {
  readonly path: string;
  files: RefFiles | undefined;
  snapshot: RefSnapshot | undefined;
  known: ReadonlyMap<Oid, Peeling>;
  bytes: number;
  /** When to look again for an object that was missing; Infinity where none was. */
  askAgainAt: number;
  /** When the last look began that found everything as it was. */
  checkedAt: number;
  /** Lines already logged: a ref that is broken is told of once, not at every change beside it. */
  readonly logged: Set<string>;
  /** A look at the disk under way, and the one that follows it. */
  looking: Promise<RefSnapshot> | undefined;
  next: Promise<RefSnapshot> | undefined;
}

/** A missing object may come without a change to any ref file. */
const ASK_AGAIN_MS = 1_000;
const LOGGED_MAX = 200;
const SYMREF_DEPTH_MAX = 5;
/** Rough costs in memory: of a repository, and of a ref with its entry, map slots and encoded lines. */
const REPOSITORY_BYTES = 2_048;
const REF_BYTES = 512;

export class RefCache {
  readonly #options: RefCacheOptions;
  readonly #clock: Pick<Clock, 'now'>;
  /** By repository id, least recently used first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #generation = 0;
  #moment = 0;

  constructor(options: RefCacheOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Bytes held, by estimate. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Now, for `snapshot`: each is later than those before. */
  moment(): number {
    this.#moment += 1;
    return this.#moment;
  }

  /**
   * The refs as they are on disk at some moment after this call; or after `since`, where it is given: those who asked
   * before the disk was looked at share that look.
   * @throws Fault `corrupt` where HEAD or packed-refs cannot be read; whatever git throws.
   */
  snapshot(repository: RefRepository, since?: number): Promise<RefSnapshot> {
    const entry = this.#entryOf(repository);
    if (entry.looking !== undefined) return this.#lookNext(repository, entry);
    if (entry.files !== undefined && entry.snapshot !== undefined && this.#clock.now() < entry.askAgainAt) {
      if (since !== undefined && entry.checkedAt > since) return Promise.resolve(entry.snapshot);
      const begun = this.moment();
      if (isCurrentNow(this.#placeOf(repository, entry), entry.files) === true) {
        entry.checkedAt = begun;
        return Promise.resolve(entry.snapshot);
      }
    }
    return this.#look(repository, entry);
  }

  /** Drops what is held of a repository: it was destroyed, or its files were replaced. */
  forget(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#bytes -= entry.bytes;
    this.#entries.delete(id);
  }

  #entryOf({ id, path }: RefRepository): Entry {
    const held = this.#entries.get(id);
    if (held !== undefined && held.path !== path) this.forget(id);
    const entry = held?.path === path ? held : freshEntry(path);
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry;
  }

  #look(repository: RefRepository, entry: Entry): Promise<RefSnapshot> {
    const looking = this.#refresh(repository, entry).finally(() => {
      entry.looking = undefined;
    });
    entry.looking = looking;
    return looking;
  }

  /** A look under way may have passed the file that changed just before this call: wait for it, then share the next. */
  #lookNext(repository: RefRepository, entry: Entry): Promise<RefSnapshot> {
    const again = async (): Promise<RefSnapshot> => {
      await entry.looking?.catch(() => undefined);
      entry.next = undefined;
      return this.#look(repository, entry);
    };
    entry.next ??= again();
    return entry.next;
  }

  async #refresh(repository: RefRepository, entry: Entry): Promise<RefSnapshot> {
    const place = this.#placeOf(repository, entry);
    const mayKeep = entry.files !== undefined && place.now() < entry.askAgainAt;
    if (mayKeep && entry.snapshot !== undefined && entry.files && (await isCurrent(place, entry.files))) {
      return entry.snapshot;
    }
    const files = await readRefFiles(place, entry.files);
    const resolved = resolveRefs(files);
    const known = await this.#peel(repository, entry, resolved);
    const snapshot = this.#build({ files, resolved, known, place });
    entry.files = files;
    entry.known = known;
    const isWhole = [...known.values()].every(({ kind }) => kind === 'present');
    entry.askAgainAt = isWhole ? Infinity : place.now() + ASK_AGAIN_MS;
    if (entry.snapshot === undefined || !isSameSnapshot(entry.snapshot, snapshot)) entry.snapshot = snapshot;
    this.#account(repository.id, entry);
    return entry.snapshot;
  }

  async #peel(repository: RefRepository, entry: Entry, resolved: Resolved): Promise<ReadonlyMap<Oid, Peeling>> {
    const known = new Map<Oid, Peeling>();
    const unknown = new Set<Oid>();
    for (const { oid } of [...resolved.refs.values(), ...(resolved.head.oid ? [{ oid: resolved.head.oid }] : [])]) {
      const peeling = entry.known.get(oid);
      // What was missing may have come since.
      if (peeling === undefined || peeling.kind === 'missing') unknown.add(oid);
      else known.set(oid, peeling);
    }
    if (unknown.size === 0) return known;
    const { path: gitDir, objectFormat } = repository;
    const { processes, odb } = this.#options;
    const question = { processes, gitDir, objectFormat, odb: odb?.of(gitDir, objectFormat) };
    const answers = await peelMany(question, [...unknown]);
    for (const [oid, peeling] of answers) known.set(oid, peeling);
    return known;
  }

  #build({ resolved, known, place }: Material): RefSnapshot {
    const refs: RefEntry[] = [];
    for (const { refname, oid, symref } of resolved.refs.values()) {
      const peeling = known.get(oid);
      if (peeling?.kind !== 'present') {
        place.log(`ignoring ref ${refname} in ${place.path}: object ${oid} is missing`);
        continue;
      }
      const { peeled } = peeling;
      refs.push({ refname, oid, ...(peeled ? { peeled } : {}), ...(symref ? { symref } : {}) });
    }
    sortByBytes(refs);
    const byName = new Map<string, RefEntry>(refs.map((entry) => [entry.refname, entry]));
    this.#generation += 1;
    const head = headOf(resolved, known);
    return { head, refs, byName, fingerprint: `${process.pid}-${this.#generation}`, memo: new Map() };
  }

  #account(id: string, entry: Entry): void {
    if (this.#entries.get(id) !== entry) return;
    const count = entry.snapshot?.refs.length ?? 0;
    this.#bytes -= entry.bytes;
    entry.bytes = REPOSITORY_BYTES + count * REF_BYTES + (entry.files?.seen.size ?? 0) * REF_BYTES;
    this.#bytes += entry.bytes;
    const bytesMax = this.#options.bytesMax ?? BOUNDS.refCacheBytesMax;
    for (const [oldest, { looking }] of this.#entries) {
      if (this.#bytes <= bytesMax) return;
      if (looking === undefined || oldest === id) this.forget(oldest);
    }
  }

  #placeOf({ path, objectFormat }: RefRepository, { logged }: Entry): RefPlace {
    const log = (line: string): void => {
      if (logged.has(line) || logged.size >= LOGGED_MAX) return;
      logged.add(line);
      this.#options.log?.(line);
    };
    return { path, objectFormat, now: () => this.#clock.now(), log };
  }
}

function freshEntry(path: string): Entry {
  return {
    path,
    files: undefined,
    snapshot: undefined,
    known: new Map(),
    bytes: 0,
    askAgainAt: Infinity,
    checkedAt: 0,
    logged: new Set<string>(),
    looking: undefined,
    next: undefined,
  };
}

interface Resolved {
  readonly head: { readonly target?: Refname; readonly oid?: Oid };
  readonly refs: ReadonlyMap<Refname, { readonly refname: Refname; readonly oid: Oid; readonly symref?: Refname }>;
}

interface Material {
  readonly files: RefFiles;
  readonly resolved: Resolved;
  readonly known: ReadonlyMap<Oid, Peeling>;
  readonly place: RefPlace;
}

/** Loose over packed; symbolic refs followed; one that leads nowhere is left out, as git leaves it out. */
function resolveRefs(files: RefFiles): Resolved {
  const refs = new Map<Refname, { refname: Refname; oid: Oid; symref?: Refname }>();
  for (const [refname, oid] of files.packed) refs.set(refname, { refname, oid });
  for (const [refname, value] of files.loose) {
    refs.delete(refname);
    const end = follow(files, value);
    if (end?.oid === undefined) continue;
    refs.set(refname, { refname, oid: end.oid, ...(end.target ? { symref: end.target } : {}) });
  }
  return { head: follow(files, files.head) ?? {}, refs };
}

/** Where a value leads in the end; undefined where it is broken or goes in a circle. */
function follow(files: RefFiles, value: LooseValue): { readonly target?: Refname; readonly oid?: Oid } | undefined {
  let current: LooseValue = value;
  let target: Refname | undefined;
  for (let depth = 0; depth <= SYMREF_DEPTH_MAX; depth += 1) {
    if (current.kind === 'broken') return undefined;
    if (current.kind === 'oid') return { oid: current.oid, ...(target ? { target } : {}) };
    target = current.target;
    const loose = files.loose.get(target);
    const packed = files.packed.get(target);
    if (loose !== undefined) current = loose;
    else if (packed !== undefined) current = { kind: 'oid', oid: packed };
    else return { target };
  }
  return undefined;
}

function headOf({ head }: Resolved, known: ReadonlyMap<Oid, Peeling>): RefSnapshot['head'] {
  const isPresent = head.oid !== undefined && known.get(head.oid)?.kind === 'present';
  return {
    ...(head.target ? { target: head.target } : {}),
    ...(isPresent && head.oid ? { oid: head.oid } : {}),
  };
}

/** git sorts by bytes; UTF-16 order differs from it only beyond the basic plane. */
function sortByBytes(refs: RefEntry[]): void {
  const isPlain = refs.every(({ refname }) => !/[\ud800-\udfff]/.test(refname));
  if (isPlain) refs.sort((a, b) => (a.refname < b.refname ? -1 : 1));
  else refs.sort((a, b) => Buffer.compare(Buffer.from(a.refname), Buffer.from(b.refname)));
}

function isSameSnapshot(a: RefSnapshot, b: RefSnapshot): boolean {
  if (a.refs.length !== b.refs.length || a.head.oid !== b.head.oid || a.head.target !== b.head.target) return false;
  return a.refs.every((one, index) => {
    const other = b.refs[index];
    return (
      one.refname === other?.refname &&
      one.oid === other.oid &&
      one.symref === other.symref &&
      one.peeled === other.peeled
    );
  });
}
