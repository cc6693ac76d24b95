/** One pack (gitformat-pack): objects at offsets, whole or as chains of deltas, read within bounds of depth, bytes and work. */
import { Stint } from '../../base/stint.ts';
import { OBJECT_TYPES, type ObjectType } from '../objects.ts';
import type { ObjectFormat } from '../oid.ts';
import { applyDelta, parseDeltaSizes } from './delta.ts';
import type { OpenFile } from './files.ts';
import { type Ground, LARGE_BYTES } from './ground.ts';
import { deflatedBytesMax, HEAD_INPUT_BYTES, inflateExactly, inflateHead } from './inflate.ts';
import { BeyondReach, type RawHeader, type RawObject } from './odb.ts';
import { ABSENT, PackIndex } from './pack-index.ts';

/** Links of a chain: git writes at most 4,095 (pack.depth), and fifty where nothing is said. */
const DEPTH_MAX = 4_095;
/** Bytes made on the way to one object, as a multiple of what one may have. */
const WORK_FACTOR = 8;
const HEADER_BYTES = 12;
/** Type and size of an entry, then an offset or an oid: longer ones hold no number that we could use. */
const ENTRY_HEAD_BYTES = 48;
const OFS_DELTA = 6;
const REF_DELTA = 7;

interface Entry {
  readonly offset: number;
  /** Of the object, or of the delta. */
  readonly size: number;
  readonly dataAt: number;
  readonly kind: { readonly type: ObjectType } | { readonly baseAt: number };
}

/** A number of variable length, and where it ends. */
interface Varint {
  readonly value: number;
  readonly at: number;
}

export class Pack {
  /** Path without `.pack`. */
  readonly path: string;
  readonly #ground: Ground;
  readonly #format: ObjectFormat;
  readonly #oidBytes: number;
  readonly #packFile: OpenFile;
  readonly #indexFile: OpenFile;
  #index: PackIndex | Promise<PackIndex> | undefined;
  /** Where the last entry ends, once the pack was found to be the one of its index. */
  #end: number | undefined;

  constructor(ground: Ground, path: string, format: ObjectFormat) {
    this.path = path;
    this.#ground = ground;
    this.#format = format;
    this.#oidBytes = format === 'sha1' ? 20 : 32;
    this.#packFile = ground.files.file(`${path}.pack`);
    this.#indexFile = ground.files.file(`${path}.idx`);
  }

  /** It was not there any more when it was opened. */
  get isGone(): boolean {
    return this.#packFile.isGone || this.#indexFile.isGone;
  }

  /** Where the object is, or `ABSENT`; undefined where the index has to be read for it. @throws BeyondReach */
  findNow(key: Buffer): number | undefined {
    return this.#index instanceof PackIndex ? this.#index.findNow(key) : undefined;
  }

  /** @throws Vanished, BeyondReach */
  async find(key: Buffer): Promise<number> {
    this.#index ??= PackIndex.open(this.#indexFile, this.#format);
    const opening = this.#index;
    try {
      const index = await opening;
      this.#index = index;
      return await index.find(key);
    } catch (error) {
      if (this.#index === opening) this.#index = undefined;
      throw error;
    }
  }

  /** The pack that was opened lies there still. @throws Vanished, BeyondReach */
  assertThere(): void {
    this.#packFile.assertThere();
  }

  close(): void {
    this.#packFile.close();
    this.#indexFile.close();
  }

  /** @throws Vanished, BeyondReach */
  async header(offset: number): Promise<RawHeader> {
    const held = this.#held(offset);
    if (held !== undefined) return { type: held.type, size: held.bytes.length };
    const entry = await this.#entry(offset);
    if ('type' in entry.kind) return { type: entry.kind.type, size: entry.size };
    const input = await this.#input(entry, HEAD_INPUT_BYTES);
    const sizes = parseDeltaSizes(inflateHead(input));
    if (sizes === undefined) throw new BeyondReach('delta begins strangely');
    return { type: await this.#typeOf(entry.kind.baseAt), size: sizes.result };
  }

  /** @throws Vanished, BeyondReach */
  async read(offset: number): Promise<RawObject> {
    const held = this.#held(offset);
    if (held !== undefined) return held;
    const work = new Work(this.#ground);
    try {
      return await this.#build(offset, work);
    } finally {
      work.end();
    }
  }

  /** Down the chain to what is whole or known, then up again. */
  async #build(offset: number, work: Work): Promise<RawObject> {
    const chain: Entry[] = [];
    let object = this.#held(offset);
    for (let at = offset; object === undefined;) {
      const entry = await this.#entry(at);
      await work.take(entry.size);
      if ('type' in entry.kind) {
        object = this.#keep(at, { type: entry.kind.type, bytes: await this.#inflate(entry) });
      } else {
        chain.push(entry);
        if (chain.length > DEPTH_MAX) throw new BeyondReach('chain of deltas is too long');
        at = entry.kind.baseAt;
        object = this.#held(at);
      }
    }
    for (let entry = chain.pop(); entry !== undefined; entry = chain.pop()) {
      const delta = await this.#inflate(entry);
      await work.take(parseDeltaSizes(delta)?.result ?? 0);
      object = this.#keep(entry.offset, {
        type: object.type,
        bytes: await applyDelta({ base: object.bytes, delta, bytesMax: this.#ground.readBytesMax }, work.stint),
      });
    }
    return object;
  }

  #held(offset: number): RawObject | undefined {
    return this.#ground.objects.get(this.#packFile.keyOf(offset));
  }

  #keep(offset: number, object: RawObject): RawObject {
    const size = object.bytes.length;
    if (size <= LARGE_BYTES) this.#ground.objects.set(this.#packFile.keyOf(offset), object, size);
    return object;
  }

  async #typeOf(start: number): Promise<ObjectType> {
    const stint = new Stint();
    let at = start;
    for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
      const held = this.#held(at);
      if (held !== undefined) return held.type;
      const { kind } = await this.#entry(at);
      if ('type' in kind) return kind.type;
      at = kind.baseAt;
      if (stint.isOver) await stint.rest();
    }
    throw new BeyondReach('chain of deltas is too long');
  }

  async #entry(offset: number): Promise<Entry> {
    const end = this.#end ?? (await this.#verify());
    if (offset < HEADER_BYTES || offset >= end) throw new BeyondReach('object lies beyond its pack');
    const length = Math.min(ENTRY_HEAD_BYTES, end - offset);
    const head = this.#packFile.now(offset, length) ?? (await this.#packFile.bytes(offset, length));
    const { number, value: size, at } = parseEntryHead(head);
    const entry = { offset, size };
    const type = OBJECT_TYPES[number - 1];
    if (type !== undefined) return { ...entry, dataAt: offset + at, kind: { type } };
    if (number === OFS_DELTA) {
      const { value: distance, at: dataAt } = parseDistance(head, at);
      // Towards the beginning only: such chains have an end.
      if (distance <= 0 || offset - distance < HEADER_BYTES) throw new BeyondReach('delta has no base');
      return { ...entry, dataAt: offset + dataAt, kind: { baseAt: offset - distance } };
    }
    if (number !== REF_DELTA || at + this.#oidBytes > head.length) throw new BeyondReach('object is of no type');
    const base = head.subarray(at, at + this.#oidBytes);
    const baseAt = this.findNow(base) ?? (await this.find(base));
    if (baseAt === ABSENT) throw new BeyondReach('base of a delta is not in its pack');
    return { ...entry, dataAt: offset + at + this.#oidBytes, kind: { baseAt } };
  }

  async #inflate(entry: Entry): Promise<Buffer> {
    const likely = await inflateExactly(await this.#input(entry, deflatedBytesMax(entry.size)), entry.size);
    if (likely !== undefined) return likely;
    // Zlib never needs so much, but somebody may have written it.
    const bytes = await inflateExactly(await this.#input(entry, 2 * entry.size + 64 * 1024), entry.size);
    if (bytes === undefined) throw new BeyondReach('object takes more room than it may');
    return bytes;
  }

  async #input({ dataAt }: Entry, length: number): Promise<Buffer> {
    const end = this.#end ?? (await this.#verify());
    const all = Math.min(length, end - dataAt);
    if (all <= 0) throw new BeyondReach('object lies beyond its pack');
    return this.#packFile.now(dataAt, all) ?? this.#packFile.bytes(dataAt, all);
  }

  /** As git at the first use of a pack: it is of a version that we read, and the one that its index speaks of. */
  async #verify(): Promise<number> {
    const index = await this.#index;
    const end = this.#packFile.size() - this.#oidBytes;
    if (index === undefined || end < HEADER_BYTES) throw new BeyondReach('pack is too short');
    const head = await this.#packFile.bytes(0, HEADER_BYTES);
    const version = head.readUInt32BE(4);
    if (head.toString('latin1', 0, 4) !== 'PACK' || (version !== 2 && version !== 3)) {
      throw new BeyondReach('pack is of another version');
    }
    const checksum = await this.#packFile.bytes(end, this.#oidBytes);
    if (head.readUInt32BE(8) !== index.objectCount || !checksum.equals(index.packChecksum)) {
      throw new BeyondReach('pack is not the one of its index');
    }
    this.#end = end;
    return end;
  }
}

/** What one object costs on the way to it, in turns and within bounds. */
class Work {
  readonly stint = new Stint();
  readonly #ground: Ground;
  #bytes = 0;
  #leave: (() => void) | undefined;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** Before so many bytes more are made. @throws BeyondReach */
  async take(size: number): Promise<void> {
    const { readBytesMax, large } = this.#ground;
    this.#bytes += size;
    if (size > readBytesMax) throw new BeyondReach('object is too large');
    if (this.#bytes > readBytesMax * WORK_FACTOR) throw new BeyondReach('object takes too much work');
    if (size > LARGE_BYTES) this.#leave ??= await large.enter();
    if (this.stint.isOver) await this.stint.rest();
  }

  end(): void {
    this.#leave?.();
  }
}

/** gitformat-pack: three bits of type and four of size, then seven bits of size a byte, the lowest first. */
function parseEntryHead(head: Buffer): Varint & { readonly number: number } {
  const first = head[0] ?? 0;
  let value = first & 0x0f;
  let at = 1;
  let factor = 16;
  for (let byte = first; byte >= 0x80; at += 1) {
    const next = head[at];
    if (next === undefined || factor > 2 ** 52) throw new BeyondReach('object begins strangely');
    value += (next & 0x7f) * factor;
    factor *= 128;
    byte = next;
  }
  if (value > Number.MAX_SAFE_INTEGER) throw new BeyondReach('object begins strangely');
  return { number: (first >> 4) & 7, value, at };
}

/** gitformat-pack, "offset encoding": seven bits a byte, the highest first, one added at each further byte. */
function parseDistance(head: Buffer, start: number): Varint {
  let at = start;
  let byte = head[at] ?? 0;
  let value = byte & 0x7f;
  at += 1;
  while (byte >= 0x80) {
    const next = head[at];
    if (next === undefined || value > 2 ** 45) throw new BeyondReach('object begins strangely');
    byte = next;
    value = (value + 1) * 128 + (byte & 0x7f);
    at += 1;
  }
  if (at > head.length) throw new BeyondReach('object begins strangely');
  return { value, at };
}
