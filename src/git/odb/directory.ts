/**
 * One object directory: its packs, its loose objects, and where it borrows from. Compared with the disk at every
 * question, as refs are, so that what exists is what exists now; what a repack moves away meanwhile is looked for again.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { isAbsolute, join, normalize } from 'node:path';
import { isRacy, isSameStamp, type Stamp, stampOf } from '../file-stamp.ts';
import type { ObjectFormat } from '../oid.ts';
import type { Ground } from './ground.ts';
import { BeyondReach } from './odb.ts';
import { Pack } from './pack.ts';
import { ABSENT } from './pack-index.ts';

/** Packs of one directory: a repository with more needs git, and a repack. */
const PACKS_MAX = 2_048;
/** A pack that could not be read is left alone so long. */
const UNREAD_MS = 1_000;
const ALTERNATES_BYTES_MAX = 64 * 1024;

export interface Packed {
  readonly pack: Pack;
  readonly offset: number;
}

interface Seen {
  readonly stamp: Stamp | undefined;
  /** It was read so soon after a change that another one might not show. */
  readonly isRacy: boolean;
}

const NOTHING: Seen = { stamp: undefined, isRacy: true };

export class ObjectDirectory {
  readonly path: string;
  readonly #ground: Ground;
  readonly #format: ObjectFormat;
  #packs: readonly Pack[] = [];
  /** The same by name, without `.pack`. */
  #byStem: ReadonlyMap<string, Pack> = new Map();
  /** Where the last object was found; asked first. */
  #lucky: Pack | undefined;
  #seen: Seen = NOTHING;
  #isPromisor = false;
  #seenAlternates: Seen = NOTHING;
  #alternates: readonly string[] = [];
  /** Packs that could not be read, and when: what is not found may be in them. */
  readonly #unread = new Map<Pack, number>();

  constructor(ground: Ground, path: string, format: ObjectFormat) {
    this.#ground = ground;
    this.path = path;
    this.#format = format;
  }

  get packCount(): number {
    return this.#packs.length;
  }

  /** Whether an object that is not found is not there. Undefined: it is so; else why git has to be asked. */
  get doubt(): string | undefined {
    if (this.#unread.size > 0) return 'a pack cannot be read';
    if (this.#isPromisor) return 'a remote has promised what is missing';
    return undefined;
  }

  /** Looks whether packs came or went; whether any did. @throws BeyondReach */
  refresh(): boolean {
    const directory = `${this.path}/pack`;
    const now = this.#ground.now();
    const stamp = directoryStamp(directory);
    if (!this.#seen.isRacy && isSameStamp(stamp, this.#seen.stamp)) return false;
    return this.#list(directory, { stamp, isRacy: stamp !== undefined && isRacy(stamp, now) });
  }

  /** As `refresh`, but a list read so lately that its stamp proves little is trusted: what is found in it is looked at itself. */
  glance(): void {
    if (this.#seen === NOTHING || !isSameStamp(directoryStamp(`${this.path}/pack`), this.#seen.stamp)) this.refresh();
  }

  /** A file was not where it had been: the list is read again at the next look. */
  lookAgain(): void {
    this.#seen = NOTHING;
  }

  /** @throws BeyondReach */
  isThere(): boolean {
    return this.#seen.stamp !== undefined || directoryStamp(this.path) !== undefined;
  }

  /** Everything is given back, and read again at the next look. */
  forget(): void {
    for (const pack of this.#packs) pack.close();
    this.#packs = [];
    this.#byStem = new Map();
    this.#unread.clear();
    this.#lucky = undefined;
    this.#seen = NOTHING;
    this.#seenAlternates = NOTHING;
  }

  /** The pack that has the object. Packs that cannot be read are passed over, and leave a `doubt`. @throws Vanished */
  async find(key: Buffer): Promise<Packed | undefined> {
    const lucky = this.#lucky;
    if (lucky !== undefined) {
      const offset = await this.#findIn(lucky, key);
      if (offset !== ABSENT) return { pack: lucky, offset };
    }
    for (const pack of this.#packs) {
      if (pack === lucky) continue;
      const found = this.#findIn(pack, key);
      const offset = typeof found === 'number' ? found : await found;
      if (offset === ABSENT) continue;
      this.#lucky = pack;
      return { pack, offset };
    }
    return undefined;
  }

  #findIn(pack: Pack, key: Buffer): number | Promise<number> {
    const found = this.#isUnread(pack) ? ABSENT : pack.findNow(key);
    return found === ABSENT ? ABSENT : this.#confirm(pack, key, found);
  }

  /** Damage stays, but too many open files do not: it is tried again after a while. */
  #isUnread(pack: Pack): boolean {
    const since = this.#unread.get(pack);
    if (since === undefined) return false;
    if (Math.abs(this.#ground.now() - since) < UNREAD_MS) return true;
    this.#unread.delete(pack);
    return false;
  }

  /** What was found in a list that proves little is looked at itself; what is not in memory is read. */
  async #confirm(pack: Pack, key: Buffer, found: number | undefined): Promise<number> {
    try {
      const offset = found ?? (await pack.find(key));
      if (offset !== ABSENT && this.#seen.isRacy) pack.assertThere();
      return offset;
    } catch (error) {
      if (!(error instanceof BeyondReach)) throw error;
      this.#unread.set(pack, this.#ground.now());
      return ABSENT;
    }
  }

  /** Object directories that it names itself, as written or below its own. @throws BeyondReach */
  alternates(): readonly string[] {
    const path = `${this.path}/info/alternates`;
    const now = this.#ground.now();
    const stamp = stampWithin(path);
    if (!this.#seenAlternates.isRacy && isSameStamp(stamp, this.#seenAlternates.stamp)) return this.#alternates;
    this.#alternates = stamp === undefined ? [] : parseAlternates(this.path, readAlternates(path));
    this.#seenAlternates = { stamp, isRacy: stamp !== undefined && isRacy(stamp, now) };
    return this.#alternates;
  }

  /** Most of a long list is known: a push adds one pack to it. */
  #list(directory: string, seen: Seen): boolean {
    directoryStamp(this.path);
    const names = seen.stamp === undefined ? [] : listingOf(directory);
    const { stems, isPromisor } = packsAmong(names);
    if (stems.length > PACKS_MAX) throw new BeyondReach('there are too many packs');
    const gone = new Map(this.#byStem);
    const byStem = new Map<string, Pack>();
    let isChanged = stems.length !== this.#packs.length;
    for (const stem of stems) {
      const known = gone.get(stem);
      const isKept = known?.isGone === false && !this.#unread.has(known);
      byStem.set(stem, isKept ? known : new Pack(this.#ground, `${directory}/${stem}`, this.#format));
      if (isKept) gone.delete(stem);
      if (known === undefined) isChanged = true;
    }
    for (const pack of gone.values()) pack.close();
    this.#byStem = byStem;
    this.#packs = [...byStem.values()];
    this.#unread.clear();
    if (this.#lucky !== undefined && !this.#packs.includes(this.#lucky)) this.#lucky = undefined;
    this.#isPromisor = isPromisor;
    this.#seen = seen;
    return isChanged;
  }
}

/** A link could lead to another repository's objects: git, which is confined, has to follow it. @throws BeyondReach */
export function directoryStamp(path: string): Stamp | undefined {
  const stamp = stampWithin(path);
  if (stamp !== undefined && stamp.type !== 'directory') throw new BeyondReach('object directory is none itself');
  return stamp;
}

function stampWithin(path: string): Stamp | undefined {
  try {
    return stampOf(path);
  } catch (cause) {
    throw new BeyondReach('object directory cannot be read', { cause });
  }
}

/** Names without `.idx` of those that have a `.pack` too, in one pass: the list may be long, and is read after each push. */
function packsAmong(names: readonly string[]): { readonly stems: readonly string[]; readonly isPromisor: boolean } {
  const indexed: string[] = [];
  const packed = new Set<string>();
  let isPromisor = false;
  for (const name of names) {
    if (name.endsWith('.idx')) indexed.push(name.slice(0, -4));
    else if (name.endsWith('.pack')) packed.add(name.slice(0, -5));
    else if (name.endsWith('.promisor')) isPromisor = true;
  }
  return { stems: indexed.filter((stem) => packed.has(stem)), isPromisor };
}

function listingOf(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw new BeyondReach('object directory cannot be read', { cause });
  }
}

function readAlternates(path: string): string {
  try {
    const { size } = lstatSync(path);
    if (size > ALTERNATES_BYTES_MAX) throw new BeyondReach('there are too many alternates');
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new BeyondReach('alternates cannot be read', { cause });
  }
}

/** gitrepository-layout(5): a directory a line, relative ones to this one; a `#` makes a comment. @throws BeyondReach */
function parseAlternates(directory: string, text: string): readonly string[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.some((line) => line.startsWith('"') || line.includes('\0') || line.includes('\ufffd'))) {
    throw new BeyondReach('alternates are quoted');
  }
  return lines.map((line) => normalize(isAbsolute(line) ? line : join(directory, line)));
}
