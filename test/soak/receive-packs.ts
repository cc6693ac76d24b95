/** Packs made by hand: whole objects and deltas of either kind, forward and backward, within the pack or out of it. */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import type { RawObject } from '../../src/git/odb/odb.ts';
import type { ObjectFormat, Oid } from '../../src/git/oid.ts';
import type { Chance } from './receive-random.ts';

const CODES = { commit: 1, tree: 2, blob: 3, tag: 4 } as const;

export interface PackPlan {
  readonly format: ObjectFormat;
  readonly chance: Chance;
  readonly objects: ReadonlyMap<Oid, RawObject>;
  /** Objects of the repository that deltas may be made of; empty: a pack that stands alone. */
  readonly outside: ReadonlyMap<Oid, RawObject>;
  /** How many become deltas, where they can. */
  readonly deltas: number;
}

/** Deltas never lead in a circle: a base is whole, or comes before the delta in the order of making. */
export function makePack({ format, chance, objects, outside, deltas }: PackPlan): Buffer {
  const order = chance.shuffled([...objects]);
  const offsets = new Map<Oid, number>();
  /** Bases of deltas that come before them stay whole. */
  const whole = new Set<Oid>();
  const entries: Buffer[] = [];
  let offset = 12;
  for (const [index, [oid, object]] of order.entries()) {
    const before = order.slice(0, index);
    const ahead = order.slice(index + 1);
    // git indexes a delta that makes nothing, and cannot read it afterwards.
    const base =
      chance.is(deltas) && object.bytes.length > 0 ? baseFor(object, { chance, outside, before, ahead }) : undefined;
    if (ahead.some(([other]) => other === base?.oid) && base !== undefined && !whole.has(oid)) whole.add(base.oid);
    let entry: Buffer;
    if (base === undefined || whole.has(oid)) entry = wholeEntry(object, chance);
    else {
      const delta = makeDelta(base.object.bytes, object.bytes);
      const near = offsets.get(base.oid);
      const isNear = near !== undefined && chance.is(0.6);
      const name = isNear ? distance(offset - near) : Buffer.from(base.oid, 'hex');
      entry = Buffer.concat([entryHead(isNear ? 6 : 7, delta.length), name, deflate(delta, chance)]);
    }
    offsets.set(oid, offset);
    entries.push(entry);
    offset += entry.length;
  }
  return sealed(format, entries);
}

type Named = readonly [Oid, RawObject];

function baseFor(
  object: RawObject,
  from: {
    readonly chance: Chance;
    readonly outside: ReadonlyMap<Oid, RawObject>;
    readonly before: readonly Named[];
    readonly ahead: readonly Named[];
  },
): { readonly oid: Oid; readonly object: RawObject } | undefined {
  const { chance, outside, before, ahead } = from;
  const isFit = ([, { type }]: Named): boolean => type === object.type;
  const pool = chance.is(0.5)
    ? [...outside].filter(isFit)
    : chance.is(0.8)
      ? before.filter(isFit)
      : ahead.filter(isFit);
  if (pool.length === 0) return undefined;
  const [oid, base] = chance.of(pool);
  return { oid, object: base };
}

export function sealed(format: ObjectFormat, entries: readonly Buffer[], count = entries.length): Buffer {
  const header = Buffer.from('PACK\x00\x00\x00\x02\x00\x00\x00\x00', 'latin1');
  header.writeUInt32BE(count, 8);
  return withChecksum(format, Buffer.concat([header, ...entries]));
}

export function withChecksum(format: ObjectFormat, body: Buffer): Buffer {
  return Buffer.concat([body, createHash(format).update(body).digest()]);
}

export function wholeEntry({ type, bytes }: RawObject, chance: Chance): Buffer {
  return Buffer.concat([entryHead(CODES[type], bytes.length), deflate(bytes, chance)]);
}

function deflate(bytes: Buffer, chance: Chance): Buffer {
  return deflateSync(bytes, { level: chance.of([0, 1, 6, 9]) });
}

export function entryHead(code: number, size: number): Buffer {
  const bytes: number[] = [];
  let byte = (code << 4) | (size % 16);
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push(byte | 0x80);
    byte = rest % 128;
  }
  return Buffer.from([...bytes, byte]);
}

export function distance(value: number): Buffer {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    rest -= 1;
    bytes.unshift((rest & 0x7f) | 0x80);
  }
  return Buffer.from(bytes);
}

export function deltaSize(size: number): Buffer {
  const bytes: number[] = [];
  for (let rest = size; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** The common beginning and end are copied, the rest is sent. */
export function makeDelta(base: Buffer, result: Buffer): Buffer {
  const most = Math.min(base.length, result.length);
  let start = 0;
  while (start < most && base[start] === result[start]) start += 1;
  let end = 0;
  while (end < most - start && base[base.length - 1 - end] === result[result.length - 1 - end]) end += 1;
  const parts = [deltaSize(base.length), deltaSize(result.length), ...copies(0, start)];
  const middle = result.subarray(start, result.length - end);
  for (let at = 0; at < middle.length; at += 127) {
    const piece = middle.subarray(at, at + 127);
    parts.push(Buffer.from([piece.length]), piece);
  }
  return Buffer.concat([...parts, ...copies(base.length - end, end)]);
}

function copies(offset: number, length: number): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let done = 0; done < length; done += 0xffff) {
    const size = Math.min(0xffff, length - done);
    const at = offset + done;
    parts.push(
      Buffer.from([0xff & 0xbf, at & 0xff, (at >> 8) & 0xff, (at >> 16) & 0xff, at >>> 24, size & 0xff, size >> 8]),
    );
  }
  return parts;
}
