/** Loose objects: a zlib stream of `type size NUL bytes` each (gitformat-loose; the checks of git's object-file.c). */
import { closeSync, fstatSync, lstatSync } from 'node:fs';
import { OBJECT_TYPES, type ObjectType } from '../objects.ts';
import type { Oid } from '../oid.ts';
import { openFile, readAt } from './files.ts';
import { type Ground, LARGE_BYTES } from './ground.ts';
import { deflatedBytesMax, HEAD_INPUT_BYTES, inflateExactly, inflateHead, inflateWhole } from './inflate.ts';
import { BeyondReach, type RawHeader, type RawObject } from './odb.ts';

/** git's own bound of the header (MAX_HEADER_LEN). */
const HEADER_BYTES_MAX = 32;
/** A file of so many bytes is read and inflated in one go, where no more than that comes out of it. */
const SMALL_FILE_BYTES = 16 * 1024;
const SMALL_BYTES = 128 * 1024;

interface LooseHeader extends RawHeader {
  /** Where the object's bytes begin. */
  readonly at: number;
}

/** Path of the object below an object directory, if it is there now. @throws BeyondReach */
export function looseFile(directory: string, oid: Oid): string | undefined {
  const path = `${directory}/${oid.slice(0, 2)}/${oid.slice(2)}`;
  try {
    return lstatSync(path, { throwIfNoEntry: false }) === undefined ? undefined : path;
  } catch (cause) {
    throw new BeyondReach('object directory cannot be read', { cause });
  }
}

/** @throws Vanished, BeyondReach */
export async function looseHeader(path: string): Promise<RawHeader> {
  const { type, size } = parseHeader(inflateHead(await beginningOf(path, HEAD_INPUT_BYTES)));
  return { type, size };
}

/** @throws Vanished, BeyondReach */
export async function readLoose(ground: Ground, path: string): Promise<RawObject> {
  const held = ground.objects.get(path);
  if (held !== undefined) return held;
  const beginning = await beginningOf(path, SMALL_FILE_BYTES + 1);
  const object = readSmall(beginning, ground.readBytesMax) ?? (await readLarge(ground, path, beginning));
  if (object.bytes.length <= LARGE_BYTES) ground.objects.set(path, object, object.bytes.length);
  return object;
}

/** Undefined: it is not small. */
function readSmall(file: Buffer, bytesMax: number): RawObject | undefined {
  if (file.length > SMALL_FILE_BYTES) return undefined;
  const all = inflateWhole(file, SMALL_BYTES);
  return all && objectOf(all, bytesMax);
}

async function readLarge(ground: Ground, path: string, beginning: Buffer): Promise<RawObject> {
  const { size, at } = parseHeader(inflateHead(beginning));
  if (size > ground.readBytesMax) throw new BeyondReach('object is too large');
  const leave = size > LARGE_BYTES ? await ground.large.enter() : undefined;
  try {
    const bytesMax = deflatedBytesMax(at + size);
    const input = await beginningOf(path, bytesMax + 1);
    const all = input.length > bytesMax ? undefined : await inflateExactly(input, at + size, false);
    if (all === undefined) throw new BeyondReach('loose object has another length than it may');
    return objectOf(all, ground.readBytesMax);
  } finally {
    leave?.();
  }
}

function objectOf(all: Buffer, bytesMax: number): RawObject {
  const { type, size, at } = parseHeader(all);
  if (size > bytesMax) throw new BeyondReach('object is too large');
  if (all.length !== at + size) throw new BeyondReach('object has another size than it says');
  return { type, bytes: all.subarray(at) };
}

/** At most `length` bytes. */
async function beginningOf(path: string, length: number): Promise<Buffer> {
  const fd = openFile(path);
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.allocUnsafeSlow(Math.min(size, length));
    const count = await readAt(fd, bytes, 0);
    return bytes.subarray(0, count);
  } finally {
    closeSync(fd);
  }
}

/** No more than git takes: a known type, one space, digits without a leading zero. */
function parseHeader(head: Buffer): LooseHeader {
  const end = head.subarray(0, HEADER_BYTES_MAX).indexOf(0);
  const match = /^([a-z]+) (0|[1-9]\d{0,15})$/.exec(head.toString('latin1', 0, Math.max(0, end)));
  const [, type = '', size] = match ?? [];
  if (!isObjectType(type)) throw new BeyondReach('loose object begins strangely');
  return { type, size: Number(size), at: end + 1 };
}

function isObjectType(text: string): text is ObjectType {
  return (OBJECT_TYPES as readonly string[]).includes(text);
}
