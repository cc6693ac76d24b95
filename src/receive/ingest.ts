/** Takes the pack into the quarantine: a small one by the gate itself, others by `git index-pack`. */
import { createHash } from 'node:crypto';
import { refuse, type Refusal } from '../base/fault.ts';
import type { Odb } from '../git/odb/odb.ts';
import type { ObjectFormat } from '../git/oid.ts';
import { takeLarge, type LargePackOptions } from './large-pack.ts';
import type { PackInput } from './pack-input.ts';
import type { SmallPackDesk } from './small-pack-desk.ts';
import type { SmallPack } from './small-pack.ts';

export interface IngestOptions extends LargePackOptions {
  /** Both: small packs are taken in without git. Else git takes every pack. */
  readonly small?: SmallPackDesk | undefined;
  readonly odb?: { of(gitDir: string, format: ObjectFormat): Odb } | undefined;
}

export type Ingested =
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'indexed';
      readonly pack: string;
      /** Objects as they came over the wire. */
      readonly sent: number;
      /** Where the gate took the pack in by itself. */
      readonly small?: SmallPack;
    };

const HEADER_BYTES = 12;

/** The pack in the quarantine, or why it cannot be taken. @throws Fault `aborted`, `timeout`, `busy`. */
export async function ingestPack(options: IngestOptions): Promise<Ingested | Refusal> {
  const { input, limits } = options;
  const header = await takeBytes(input, HEADER_BYTES);
  if (header === undefined) return refuse('the pack is truncated');
  if (header.toString('latin1', 0, 4) !== 'PACK') return refuse('this is not a pack');
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) return refuse(`pack version ${version} is not supported`);
  const objects = header.readUInt32BE(8);
  if (objects > limits.packObjectsMax) {
    return refuse(`the pack says that it has ${objects} objects; at most ${limits.packObjectsMax} are taken`);
  }
  if (objects === 0) return takeEmptyPack(options, header);
  input.unread(header);
  return (await takeSmall(options)) ?? takeLarge(options, objects);
}

/** Undefined where git is to take the pack. */
async function takeSmall(options: IngestOptions): Promise<Ingested | undefined> {
  const { small, odb, repository } = options;
  if (small === undefined || odb === undefined) return undefined;
  return small.take({ ...options, odb: odb.of(repository.path, repository.objectFormat) });
}

/** A push that brings no object still sends a pack: a header and its checksum. */
async function takeEmptyPack({ input, repository }: IngestOptions, header: Buffer): Promise<Ingested | Refusal> {
  const digest = createHash(repository.objectFormat).update(header).digest();
  const trailer = await takeBytes(input, digest.length);
  if (trailer === undefined) return refuse('the pack is truncated');
  return trailer.equals(digest) ? { kind: 'empty' } : refuse('the pack is corrupt: its checksum does not match');
}

/** Exactly `count` bytes; undefined where the input ends before. */
async function takeBytes(input: PackInput, count: number): Promise<Buffer | undefined> {
  let taken = Buffer.alloc(0);
  while (taken.length < count) {
    const chunk = await input.next();
    if (chunk === undefined) return undefined;
    taken = Buffer.concat([taken, chunk]);
  }
  input.unread(taken.subarray(count));
  return taken.subarray(0, count);
}
