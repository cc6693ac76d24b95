/** Packs made by hand: of any entry, with any claim, trees and commits included (gitformat-pack). */
import { createHash } from 'node:crypto';
import { constants, deflateSync } from 'node:zlib';

export const COMMIT = 1;
export const TREE = 2;
export const BLOB = 3;
export const REF_DELTA = 7;

const KINDS = new Map([
  [COMMIT, 'commit'],
  [TREE, 'tree'],
  [BLOB, 'blob'],
]);

/** An object and its entry in a pack. */
export interface Packed {
  readonly oid: string;
  readonly entry: Buffer;
}

/** A pack of these entries that says it has `count` objects. */
export function packOf(entries: readonly Buffer[], count = entries.length): Buffer {
  const header = Buffer.alloc(12);
  header.write('PACK', 'latin1');
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(count, 8);
  const body = Buffer.concat([header, ...entries]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

/** An entry's type and the size it claims. */
export function entryHeader(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size % 16)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 0x80;
    bytes.push(rest % 128);
  }
  return Buffer.from(bytes);
}

export function packed(type: number, content: Buffer): Packed {
  const oid = createHash('sha1')
    .update(`${KINDS.get(type) ?? ''} ${content.length}\0`)
    .update(content)
    .digest('hex');
  const small = deflateSync(content, { level: constants.Z_BEST_SPEED });
  return { oid, entry: Buffer.concat([entryHeader(type, content.length), small]) };
}

/** A commit of a tree with these entries, as they are, and all that it needs. */
export function hostileCommit(names: readonly (readonly [mode: string, name: string | Buffer])[]): {
  readonly oid: string;
  readonly pack: Buffer;
} {
  const blob = packed(BLOB, Buffer.from('[core]\n\tfsmonitor = evil\n'));
  const empty = packed(TREE, Buffer.alloc(0));
  const tree = packed(
    TREE,
    Buffer.concat(
      names.flatMap(([mode, name]) => [
        Buffer.from(`${mode} `),
        Buffer.from(name),
        Buffer.from([0]),
        Buffer.from(mode === '40000' ? empty.oid : blob.oid, 'hex'),
      ]),
    ),
  );
  const who = 'Mallory <m@example.org> 1700000000 +0000';
  const commit = packed(COMMIT, Buffer.from(`tree ${tree.oid}\nauthor ${who}\ncommitter ${who}\n\nx\n`));
  return { oid: commit.oid, pack: packOf([blob.entry, empty.entry, tree.entry, commit.entry]) };
}

/** A delta against `base` that copies 16 MiB of it `copies` times over. */
export function deltaBomb(base: Packed, baseBytes: number, copies: number): Buffer {
  const span = 0xff_ffff;
  const copy = Buffer.from([0xf0, 0xff, 0xff, 0xff]);
  const delta = Buffer.concat([varint(baseBytes), varint(copies * span), ...Array<Buffer>(copies).fill(copy)]);
  return Buffer.concat([entryHeader(REF_DELTA, delta.length), Buffer.from(base.oid, 'hex'), deflateSync(delta)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    if (rest < 128) return Buffer.from(bytes);
  }
}
