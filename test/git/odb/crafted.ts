/** Packs and their indexes made by hand, so that they can be wrong in every way that git would not write. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import type { Oid } from '../../../src/git/oid.ts';

export interface CraftedEntry {
  readonly oid: Oid;
  readonly bytes: Buffer;
  /** Where the index says that it is; default: where it is. */
  readonly offset?: number;
}

const TYPES = { commit: 1, tree: 2, blob: 3, tag: 4, ofs: 6, ref: 7 } as const;

export function oidOf(type: string, bytes: Buffer): Oid {
  return createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex') as Oid;
}

/** An entry: `size` and the stream may say other things than `data`. */
export function entry(
  type: keyof typeof TYPES,
  data: Buffer,
  options: { readonly size?: number; readonly stream?: Buffer; readonly base?: Buffer } = {},
): Buffer {
  let size = options.size ?? data.length;
  const head = [(TYPES[type] << 4) | (size & 0x0f)];
  size = Math.floor(size / 16);
  while (size > 0) {
    head[head.length - 1] = (head.at(-1) ?? 0) | 0x80;
    head.push(size & 0x7f);
    size = Math.floor(size / 128);
  }
  return Buffer.concat([Buffer.from(head), options.base ?? Buffer.alloc(0), options.stream ?? deflateSync(data)]);
}

/** gitformat-pack, "offset encoding". */
export function distance(value: number): Buffer {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    rest -= 1;
    bytes.unshift(0x80 | (rest & 0x7f));
  }
  return Buffer.from(bytes);
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(0x80 | (rest & 0x7f));
  return Buffer.from([...bytes, rest]);
}

/** A delta of base and result size, and instructions. */
export function delta(base: number, result: number, ...instructions: readonly (Buffer | readonly number[])[]): Buffer {
  return Buffer.concat([varint(base), varint(result), ...instructions.map((part) => Buffer.from(part))]);
}

/** Writes pack and index below `gitDir`; the path without an ending. */
export async function writePack(gitDir: string, entries: readonly CraftedEntry[]): Promise<string> {
  const pack = packOf(entries);
  const path = join(gitDir, 'objects/pack', `pack-${pack.subarray(-20).toString('hex')}`);
  await mkdir(join(gitDir, 'objects/pack'), { recursive: true });
  await writeFile(`${path}.pack`, pack);
  await writeFile(`${path}.idx`, indexOf(entries, pack.subarray(-20)));
  return path;
}

export function packOf(entries: readonly CraftedEntry[]): Buffer {
  const head = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
  head.writeUInt32BE(entries.length, 8);
  return sealed(Buffer.concat([head, ...entries.map(({ bytes }) => bytes)]));
}

export function indexOf(entries: readonly CraftedEntry[], packChecksum: Buffer): Buffer {
  let at = 12;
  const rows = entries.map(({ oid, bytes, offset }) => {
    const row = { key: Buffer.from(oid, 'hex'), crc: crc32(bytes), offset: offset ?? at };
    at += bytes.length;
    return row;
  });
  rows.sort((a, b) => a.key.compare(b.key));
  const fanOut = Array.from({ length: 256 }, (_, byte) => rows.filter(({ key }) => (key[0] ?? 0) <= byte).length);
  const numbers = (values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(4 * values.length);
    for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * index);
    return bytes;
  };
  return sealed(
    Buffer.concat([
      numbers([0xff_74_4f_63, 2, ...fanOut]),
      ...rows.map(({ key }) => key),
      numbers(rows.map(({ crc }) => crc)),
      numbers(rows.map(({ offset }) => offset)),
      packChecksum,
    ]),
  );
}

export function sealed(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, createHash('sha1').update(bytes).digest()]);
}
