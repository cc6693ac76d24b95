/**
 * A small pack taken in without a git process. Only what `git index-pack --strict --fix-thin` would take in silence, whatever
 * its settings, is taken: everything else throws `BeyondReach`, and git is asked, so that each refusal has git's own words.
 */
import { Stint } from '../../base/stint.ts';
import type { ObjectType } from '../objects.ts';
import { oidHexLength, type ObjectFormat, type Oid } from '../oid.ts';
import { isPlainAttributes, isPlainModules } from './fsck-files.ts';
import { isPlainObject } from './fsck-object.ts';
import { linksOf, type FsckDemands } from './fsck-tree.ts';
import { BeyondReach, type Odb, type RawObject } from './odb.ts';
import { writePack, type WrittenPack } from './pack-writer.ts';
import type { Recent } from './recent.ts';
import { Allowance, takeEntries, type TakeBounds } from './take-entries.ts';
import { digestOf } from './take-hash.ts';
import type { TakeInput, TakeRoom } from './take-input.ts';
import { resolveEntries, type Resolved } from './take-resolve.ts';

export interface TakeOptions {
  readonly input: TakeInput;
  readonly format: ObjectFormat;
  /** The repository that the pack goes to. */
  readonly odb: Odb;
  /** Its objects may be bases of deltas. */
  readonly mayComplete: boolean;
  readonly bounds: TakeBounds;
  /** Where memory for what is unpacked is asked for. */
  readonly room: TakeRoom;
  /** Blobs that were looked at, by what they are read as and their oid: the same bytes wherever they are. */
  readonly looked: Recent<string, true>;
}

export interface Taken extends WrittenPack {
  /** What was sent. */
  readonly objects: ReadonlyMap<Oid, RawObject>;
  /** Of the repository, appended to complete the pack. */
  readonly bases: ReadonlyMap<Oid, RawObject>;
  readonly sent: number;
}

/** @throws BeyondReach where the pack is git's to judge; all its bytes are in the input then. */
export async function takePack(options: TakeOptions): Promise<Taken> {
  const { input, format, odb, mayComplete, bounds, room } = options;
  const stint = new Stint();
  const allowance = new Allowance(bounds, room);
  const entries = await takeEntries({ input, format, bounds, allowance, stint });
  const body = input.offset;
  const checksum = await input.take(oidHexLength(format) / 2);
  if (!input.isSpent) throw new BeyondReach('more follows the pack');
  const sent = input.all;
  if (!(await digestOf([sent.subarray(0, body)], format, stint)).equals(checksum))
    throw new BeyondReach('checksum is wrong');
  const resolved = await resolveEntries({ entries, odb: mayComplete ? odb : undefined, format, allowance, stint });
  await new Inspection(options, resolved, allowance).run(stint);
  const packed = entries.map(({ crc, offset }, index) => ({ oid: nameAt(resolved, index), crc, offset }));
  const written = writePack({ format, sent, entries: packed, bases: resolved.bases });
  return { ...written, objects: resolved.objects, bases: resolved.bases, sent: entries.length };
}

function nameAt({ names }: Resolved, index: number): Oid {
  const name = names[index];
  if (name === undefined) throw new BeyondReach('an entry has no name');
  return name;
}

/** What names other objects is taken apart without a break: a longer one is git's. */
const NAMING_BYTES_MAX = 256 * 1024;
/** Sent again although they are there: reading one may cost far more than it is long. Who sends many is left to git. */
const RESENT_MAX = 64;

/** What `--strict` asks: each object well-formed, everything that it names there and of the right type, no collision. */
class Inspection implements FsckDemands {
  readonly #options: TakeOptions;
  readonly #resolved: Resolved;
  readonly #allowance: Allowance;
  readonly #needed = new Map<Oid, ObjectType>();
  readonly #looks = new Map<string, { readonly oid: Oid; readonly as: 'modules' | 'attributes' }>();

  constructor(options: TakeOptions, resolved: Resolved, allowance: Allowance) {
    this.#options = options;
    this.#resolved = resolved;
    this.#allowance = allowance;
  }

  need(oid: Oid, type: ObjectType): void {
    const known = this.#needed.get(oid);
    if (known === undefined) this.#needed.set(oid, type);
    else if (known !== type) throw new BeyondReach('one object is named as two types');
  }

  look(oid: Oid, as: 'modules' | 'attributes'): void {
    this.#looks.set(`${as} ${oid}`, { oid, as });
  }

  async run(stint: Stint): Promise<void> {
    const { format } = this.#options;
    for (const object of this.#resolved.objects.values()) {
      if (object.type !== 'blob' && object.bytes.length > NAMING_BYTES_MAX)
        throw new BeyondReach('a tree, commit or tag is large');
      if (!isPlainObject(object, format, this)) throw new BeyondReach('an object is unusual');
      if (stint.isOver) await stint.rest();
    }
    await this.#assertLinks(stint);
    await this.#assertContents(stint);
    await this.#assertNoCollision(stint);
  }

  async #assertLinks(stint: Stint): Promise<void> {
    const { odb } = this.#options;
    const known = await this.#knownLinks(stint);
    for (const [oid, type] of this.#needed) {
      const found = this.#resolved.objects.get(oid)?.type ?? known.get(oid) ?? (await odb.header(oid))?.type;
      if (found !== type) throw new BeyondReach('a named object is missing, or of another type');
      if (stint.isOver) await stint.rest();
    }
  }

  /** What trees of the repository name that the pack changes: the repository is complete, so it has that. */
  async #knownLinks(stint: Stint): Promise<ReadonlyMap<Oid, ObjectType>> {
    const known = new Map<Oid, ObjectType>();
    for (const { type, bytes } of this.#resolved.bases.values()) {
      if (type !== 'tree' || bytes.length > NAMING_BYTES_MAX) continue;
      if (stint.isOver) await stint.rest();
      for (const [oid, linked] of linksOf(bytes, this.#options.format) ?? []) known.set(oid, linked);
    }
    return known;
  }

  /** Blobs that git reads as its own files, also those that the repository has already. */
  async #assertContents(stint: Stint): Promise<void> {
    const { odb, looked } = this.#options;
    for (const [key, { oid, as }] of this.#looks) {
      if (looked.get(key) === true) continue;
      const object = this.#resolved.objects.get(oid) ?? (await odb.read(oid));
      if (object?.type !== 'blob') throw new BeyondReach('a file of git is no blob');
      const isPlain = as === 'modules' ? isPlainModules(object.bytes) : isPlainAttributes(object.bytes);
      if (!isPlain) throw new BeyondReach('a file of git is unusual');
      looked.set(key, true, key.length);
      if (stint.isOver) await stint.rest();
    }
  }

  /** Where the repository has an object of the same name, it is the same. */
  async #assertNoCollision(stint: Stint): Promise<void> {
    let resent = 0;
    for (const [oid, { type, bytes }] of this.#resolved.objects) {
      const existing = await this.#options.odb.read(oid);
      if (existing === undefined) continue;
      resent += 1;
      if (resent > RESENT_MAX) throw new BeyondReach('many objects are there already');
      this.#allowance.spend(existing.bytes.length);
      if (existing.type !== type || !existing.bytes.equals(bytes)) throw new BeyondReach('two objects have one name');
      if (stint.isOver) await stint.rest();
    }
  }
}
