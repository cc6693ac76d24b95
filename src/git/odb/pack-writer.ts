/**
 * The pack and its index as `git index-pack --fix-thin` writes them (gitformat-pack, "Version 2 pack-*.idx files"). The one
 * difference: bases that complete a thin pack are compressed by this process' own zlib, which packs them otherwise.
 */
import { createHash } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';
import { oidHexLength, type ObjectFormat, type Oid } from '../oid.ts';
import { BeyondReach, type RawObject } from './odb.ts';

export interface PackedEntry {
  readonly oid: Oid;
  readonly crc: number;
  readonly offset: number;
}

export interface WrittenPack {
  /** The pack's checksum in hex: what it is called by. */
  readonly name: string;
  readonly pack: Buffer;
  readonly index: Buffer;
}

const TYPE_CODES = { commit: 1, tree: 2, blob: 3, tag: 4 } as const;
/** Bases go again with the next repack: speed counts, not size. */
const LEVEL = 1;
const FAN_OUT = 256;
const OFFSET_MAX = 0x7fff_ffff;

export interface PackParts {
  readonly format: ObjectFormat;
  /** As it came, its checksum at the end included. */
  readonly sent: Buffer;
  readonly entries: readonly PackedEntry[];
  /** What completes it, in this order. */
  readonly bases: ReadonlyMap<Oid, RawObject>;
}

export function writePack({ format, sent, entries, bases }: PackParts): WrittenPack {
  const checksumBytes = oidHexLength(format) / 2;
  if (bases.size === 0) {
    const checksum = sent.subarray(sent.length - checksumBytes);
    return { name: checksum.toString('hex'), pack: sent, index: writeIndex(entries, checksum, format) };
  }
  const body = Buffer.from(sent.subarray(0, sent.length - checksumBytes));
  body.writeUInt32BE(entries.length + bases.size, 8);
  const parts = [body];
  const all = [...entries];
  let offset = body.length;
  for (const [oid, object] of bases) {
    const entry = Buffer.concat([entryHeader(object), deflateSync(object.bytes, { level: LEVEL })]);
    all.push({ oid, crc: crc32(entry), offset });
    parts.push(entry);
    offset += entry.length;
  }
  const hash = createHash(format);
  for (const part of parts) hash.update(part);
  const checksum = hash.digest();
  return {
    name: checksum.toString('hex'),
    pack: Buffer.concat([...parts, checksum]),
    index: writeIndex(all, checksum, format),
  };
}

function entryHeader({ type, bytes }: RawObject): Buffer {
  const header: number[] = [];
  let byte = (TYPE_CODES[type] << 4) | (bytes.length % 16);
  for (let rest = Math.floor(bytes.length / 16); rest > 0; rest = Math.floor(rest / 128)) {
    header.push(byte | 0x80);
    byte = rest % 128;
  }
  return Buffer.from([...header, byte]);
}

function writeIndex(entries: readonly PackedEntry[], checksum: Buffer, format: ObjectFormat): Buffer {
  const sorted = entries.toSorted((one, other) => (one.oid < other.oid ? -1 : 1));
  const oidBytes = oidHexLength(format) / 2;
  const index = Buffer.alloc(8 + FAN_OUT * 4 + sorted.length * (oidBytes + 8) + 2 * oidBytes);
  index.writeUInt32BE(0xff744f63, 0);
  index.writeUInt32BE(2, 4);
  const counts = new Uint32Array(FAN_OUT);
  const namesAt = 8 + FAN_OUT * 4;
  const crcsAt = namesAt + sorted.length * oidBytes;
  const offsetsAt = crcsAt + sorted.length * 4;
  for (const [place, { oid, crc, offset }] of sorted.entries()) {
    if (offset > OFFSET_MAX) throw new BeyondReach('pack is not small');
    index.write(oid, namesAt + place * oidBytes, 'hex');
    index.writeUInt32BE(crc, crcsAt + place * 4);
    index.writeUInt32BE(offset, offsetsAt + place * 4);
    const first = index[namesAt + place * oidBytes] ?? 0;
    counts[first] = (counts[first] ?? 0) + 1;
  }
  let sum = 0;
  for (const [first, count] of counts.entries()) {
    sum += count;
    index.writeUInt32BE(sum, 8 + first * 4);
  }
  const end = offsetsAt + sorted.length * 4;
  checksum.copy(index, end);
  createHash(format)
    .update(index.subarray(0, end + oidBytes))
    .digest()
    .copy(index, end + oidBytes);
  return index;
}
