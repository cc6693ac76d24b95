/** What a pushed pack holds, read from its index and from `git cat-file --batch-check`: names, sizes, the largest object. */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { oidHexLength, parseOid, type ObjectFormat } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import { writeAll } from '../git/stream.ts';
import type { Repository } from '../repository/repository.ts';
import { eachLine, wholeLines } from './lines.ts';
import type { SmallPack } from './small-pack.ts';
import type { PushContents } from './step.ts';

export const NO_CONTENTS: PushContents = {
  objects: 0,
  unpackedBytes: 0,
  largest: undefined,
  longestPath: '',
  longestName: '',
};

const HEADER_BYTES = 8;
const FANOUT_BYTES = 256 * 4;
const NAMES_AT = HEADER_BYTES + FANOUT_BYTES;
const SLICE_OBJECTS = 32_768;
const SPACE = 0x20;

/** The names in a version 2 index, in order, in slices (gitformat-pack, "Version 2 pack-*.idx files"). */
async function* readNames(file: FileHandle, format: ObjectFormat): AsyncGenerator<Buffer> {
  const nameBytes = oidHexLength(format) / 2;
  const head = await readAt(file, 0, NAMES_AT);
  const count = head.readUInt32BE(NAMES_AT - 4);
  for (let first = 0; first < count; first += SLICE_OBJECTS) {
    const slice = Math.min(SLICE_OBJECTS, count - first);
    yield await readAt(file, NAMES_AT + first * nameBytes, slice * nameBytes);
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new Fault('corrupt', 'pack index is truncated');
    filled += bytesRead;
  }
  return bytes;
}

export type PackSizes = Omit<PushContents, 'longestPath' | 'longestName'>;

export interface InspectOptions {
  readonly processes: GitProcesses;
  readonly repository: Repository;
  readonly objectDirectory: string;
  readonly pack: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

/**
 * Sizes of everything in the pack. Bases that `--fix-thin` added are the repository's own and are counted too: the
 * client sent a change of them. @throws Fault `process`, `corrupt`, `aborted`.
 */
export async function inspectPack(options: InspectOptions): Promise<PackSizes> {
  const { processes, repository, objectDirectory, pack, deadlineMs, signal, requestId } = options;
  await using file = await openIndex(objectDirectory, pack);
  await using git = await processes.start({
    subcommand: 'cat-file',
    options: ['--batch-check=%(objectname) %(objecttype) %(objectsize)', '--buffer'],
    gitDir: repository.path,
    objectDirectory,
    deadlineMs,
    signal,
    requestId,
  });
  git.stdin.on('error', () => {}); // its exit code says what happened
  const asking = (async (): Promise<void> => {
    for await (const slice of readNames(file.handle, repository.objectFormat)) {
      await writeAll(git.stdin, hexLines(slice, repository.objectFormat), signal);
    }
    git.stdin.end();
  })();
  asking.catch(() => {});
  const sum = await readSizes(git.stdout, repository.objectFormat);
  const exit = await git.exit;
  if (exit.code !== 0)
    throw new Fault('process', 'cat-file failed', { context: { stderr: exit.stderr, code: exit.code } });
  await asking;
  return sum;
}

/** The same of a pack that is in memory. */
export function inspectSmall({ objects, bases }: SmallPack): PackSizes {
  const all = [...objects, ...bases].sort(([one], [other]) => (one < other ? -1 : 1));
  let unpackedBytes = 0;
  let largest: PushContents['largest'];
  for (const [oid, { type, bytes }] of all) {
    unpackedBytes += bytes.length;
    if (largest === undefined || bytes.length > largest.bytes) largest = { oid, type, bytes: bytes.length };
  }
  return { objects: all.length, unpackedBytes, largest };
}

/** Lines of `OID TYPE SIZE`. */
async function readSizes(output: AsyncIterable<unknown>, format: ObjectFormat): Promise<PackSizes> {
  const digits = oidHexLength(format);
  let objects = 0;
  let unpackedBytes = 0;
  let largest: PushContents['largest'];
  for await (const lines of wholeLines(output)) {
    eachLine(lines, (start, end) => {
      const space = lines.indexOf(SPACE, start + digits + 1);
      const bytes = space > 0 && space < end ? Number(lines.toString('latin1', space + 1, end)) : Number.NaN;
      if (!Number.isSafeInteger(bytes)) {
        const line = lines.toString('utf8', start, Math.min(end, start + 200));
        throw new Fault('process', 'cat-file answered something else', { context: { line } });
      }
      objects += 1;
      unpackedBytes += bytes;
      if (largest !== undefined && bytes <= largest.bytes) return;
      const oid = parseOid(lines.toString('latin1', start, start + digits), format);
      const type = lines.toString('latin1', start + digits + 1, space);
      if (oid !== undefined) largest = { oid, type, bytes };
    });
  }
  return { objects, unpackedBytes, largest };
}

async function openIndex(objectDirectory: string, pack: string): Promise<{ handle: FileHandle } & AsyncDisposable> {
  const handle = await open(join(objectDirectory, 'pack', `${pack}.idx`), 'r');
  return { handle, [Symbol.asyncDispose]: () => handle.close() };
}

function hexLines(names: Buffer, format: ObjectFormat): Buffer {
  const nameBytes = oidHexLength(format) / 2;
  const lines: string[] = [];
  for (let at = 0; at < names.length; at += nameBytes) lines.push(names.toString('hex', at, at + nameBytes));
  return Buffer.from(`${lines.join('\n')}\n`);
}

/**
 * The oids that the client itself sent: those of the index but for the last entries of the pack, which `--fix-thin` copied from
 * the repository (`bases`). An oid that is among both counts as not sent.
 */
export async function sentOids(options: {
  readonly objectDirectory: string;
  readonly pack: string;
  readonly format: ObjectFormat;
  /** Objects in the pack as it came over the wire. */
  readonly sent: number;
}): Promise<{ readonly sent: ReadonlySet<string>; readonly bases: ReadonlySet<string> }> {
  await using file = await openIndex(options.objectDirectory, options.pack);
  const nameBytes = oidHexLength(options.format) / 2;
  const names: string[] = [];
  for await (const slice of readNames(file.handle, options.format)) {
    for (let at = 0; at < slice.length; at += nameBytes) names.push(slice.toString('hex', at, at + nameBytes));
  }
  if (names.length <= options.sent) return { sent: new Set(names), bases: new Set() };
  const offsets = await readOffsets(file.handle, NAMES_AT + names.length * (nameBytes + 4), names.length);
  const border = Float64Array.from(offsets).sort()[options.sent] ?? Infinity;
  const sent = new Set<string>();
  const bases = new Set<string>();
  for (const [index, name] of names.entries()) {
    if ((offsets[index] ?? Infinity) < border) sent.add(name);
    else bases.add(name);
  }
  for (const name of bases) sent.delete(name);
  return { sent, bases };
}

async function readOffsets(file: FileHandle, position: number, count: number): Promise<Float64Array> {
  const small = await readAt(file, position, count * 4);
  const offsets = new Float64Array(count);
  const isLarge = (value: number): boolean => value >= 0x8000_0000;
  let largeCount = 0;
  for (let index = 0; index < count; index += 1) {
    if (isLarge(small.readUInt32BE(index * 4))) largeCount += 1;
  }
  const large = await readAt(file, position + count * 4, largeCount * 8);
  for (let index = 0; index < count; index += 1) {
    const value = small.readUInt32BE(index * 4);
    const at = (value - 0x8000_0000) * 8;
    if (!isLarge(value)) offsets[index] = value;
    else if (at + 8 <= large.length) offsets[index] = Number(large.readBigUInt64BE(at));
    else throw new Fault('corrupt', 'pack index has a bad offset');
  }
  return offsets;
}
