/** Loose objects: a zlib stream of `type size NUL bytes` each (gitformat-loose; the checks of git's object-file.c). */
import { closeSync, fstatSync, lstatSync } from 'node:fs';
import { OBJECT_TYPES, type ObjectType } from '../objects.ts';
import type { Oid } from '../oid.ts';
import { openFile, readAt } from './files.ts';
import { type Ground, LARGE_BYTES } from './ground.ts';
import { deflatedBytesMax, HEAD_INPUT_BYTES, inflateExactly, inflateHead } from './inflate.ts';
import { BeyondReach, type RawHeader, type RawObject } from './odb.ts';

/** git's own bound of the header (MAX_HEADER_LEN). */
const HEADER_BYTES_MAX = 32;

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
  const bytesMax = ground.readBytesMax;
  const { size } = await looseHeader(path);
  if (size > bytesMax) throw new BeyondReach('object is too large');
  const leave = size > LARGE_BYTES ? await ground.large.enter() : undefined;
  try {
    const object = await inflateLoose(await beginningOf(path, deflatedBytesMax(size + HEADER_BYTES_MAX)), size);
    ground.objects.set(path, object, size);
    return object;
  } finally {
    leave?.();
  }
}

async function inflateLoose(input: Buffer, expected: number): Promise<RawObject> {
  const { type, size, at } = parseHeader(inflateHead(input));
  if (size !== expected) throw new BeyondReach('loose object changes');
  const all = await inflateExactly(input, at + size);
  if (all === undefined) throw new BeyondReach('loose object ends too early');
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
