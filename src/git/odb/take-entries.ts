/** The entries of a pack, cut out of its bytes (gitformat-pack, "pack-*.pack files"). Nothing is believed but what fits. */
import { crc32 } from 'node:zlib';
import { OBJECT_TYPES, type ObjectType } from '../objects.ts';
import type { Oid, ObjectFormat } from '../oid.ts';
import { oidHexLength } from '../oid.ts';
import type { Stint } from '../../base/stint.ts';
import { BeyondReach } from './odb.ts';
import type { TakeInput, TakeRoom } from './take-input.ts';

export interface TakeBounds {
  /** Of the pack as it comes. */
  readonly packBytes: number;
  readonly objects: number;
  /** Of one object, and of everything unpacked, deltas and bases included. */
  readonly objectBytes: number;
  readonly unpackedBytes: number;
}

/** What an entry is: an object, or a change of another that is named by its place or by its oid. */
export type EntryForm =
  | { readonly kind: 'whole'; readonly type: ObjectType }
  | { readonly kind: 'offset'; readonly base: number }
  | { readonly kind: 'named'; readonly base: Oid };

export interface Entry {
  readonly form: EntryForm;
  /** Where it begins in the pack. */
  readonly offset: number;
  /** Inflated: the object, or the delta. */
  readonly data: Buffer;
  readonly crc: number;
}

const HEADER_BYTES = 12;
const TYPES: Readonly<Record<number, ObjectType>> = { 1: 'commit', 2: 'tree', 3: 'blob', 4: 'tag' };
const OFFSET_DELTA = 6;
const NAMED_DELTA = 7;
/** git applies no shorter one. */
const DELTA_BYTES_MIN = 4;

/** How much may still be unpacked. */
export class Allowance {
  readonly #room: TakeRoom;
  readonly #objectMax: number;
  #left: number;

  constructor({ unpackedBytes, objectBytes }: TakeBounds, room: TakeRoom) {
    this.#left = unpackedBytes;
    this.#objectMax = objectBytes;
    this.#room = room;
  }

  /** @throws BeyondReach where the bytes are too many. */
  spend(bytes: number): void {
    this.#left -= bytes;
    if (bytes > this.#objectMax || this.#left < 0) throw new BeyondReach('pack unpacks to too much');
    if (!this.#room.reserve(bytes)) throw new BeyondReach('small packs take too much memory now');
  }

  /** What one object may have yet. */
  get left(): number {
    return Math.max(0, Math.min(this.#left, this.#objectMax));
  }
}

export interface TakeEntries {
  readonly input: TakeInput;
  readonly format: ObjectFormat;
  readonly bounds: TakeBounds;
  readonly allowance: Allowance;
  readonly stint: Stint;
}

/** All entries; the input stands before the pack's checksum then. @throws BeyondReach */
export async function takeEntries(options: TakeEntries): Promise<readonly Entry[]> {
  const { input, bounds, stint } = options;
  const header = await input.take(HEADER_BYTES);
  const count = header.readUInt32BE(8);
  if (header.toString('latin1', 0, 4) !== 'PACK' || header.readUInt32BE(4) !== 2)
    throw new BeyondReach('no plain pack');
  if (count === 0 || count > bounds.objects) throw new BeyondReach('pack has too many objects');
  const entries: Entry[] = [];
  while (entries.length < count) {
    entries.push(await takeEntry(options));
    if (stint.isOver) await stint.rest();
  }
  return entries;
}

async function takeEntry({ input, format, allowance }: TakeEntries): Promise<Entry> {
  const { offset } = input;
  const { code, size } = await takeTypeAndSize(input);
  const form = await takeForm(input, { code, offset, format });
  if (form.kind !== 'whole' && size < DELTA_BYTES_MIN) throw new BeyondReach('delta is too short');
  // Before anything is inflated: what a stream says of itself bounds what it may become.
  allowance.spend(size);
  const data = await input.inflate(size);
  return { form, offset, data, crc: crc32(input.all.subarray(offset, input.offset)) };
}

async function takeTypeAndSize(input: TakeInput): Promise<{ readonly code: number; readonly size: number }> {
  let byte = await input.takeByte();
  const code = (byte >> 4) & 7;
  let size = byte & 15;
  for (let factor = 16; byte >= 0x80; factor *= 128) {
    if (factor > 2 ** 32) throw new BeyondReach('entry says an absurd size');
    byte = await input.takeByte();
    size += (byte & 0x7f) * factor;
  }
  return { code, size };
}

interface FormOptions {
  readonly code: number;
  readonly offset: number;
  readonly format: ObjectFormat;
}

async function takeForm(input: TakeInput, { code, offset, format }: FormOptions): Promise<EntryForm> {
  if (code === OFFSET_DELTA) {
    const base = offset - (await takeDistance(input));
    if (base < HEADER_BYTES || base >= offset) throw new BeyondReach('base is out of the pack');
    return { kind: 'offset', base };
  }
  if (code === NAMED_DELTA) {
    const bytes = await input.take(oidHexLength(format) / 2);
    return { kind: 'named', base: bytes.toString('hex') as Oid }; // so many bytes, in hex
  }
  const type = TYPES[code];
  if (type === undefined || !OBJECT_TYPES.includes(type)) throw new BeyondReach('entry has no known type');
  return { kind: 'whole', type };
}

/** Seven bits a byte, the highest first, each further byte one more than it says. */
async function takeDistance(input: TakeInput): Promise<number> {
  let byte = await input.takeByte();
  let distance = byte & 0x7f;
  while (byte >= 0x80) {
    if (distance > 2 ** 40) throw new BeyondReach('base is out of the pack');
    byte = await input.takeByte();
    distance = (distance + 1) * 128 + (byte & 0x7f);
  }
  return distance;
}
