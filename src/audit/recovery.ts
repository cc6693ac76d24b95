/**
 * Finds where a journal goes on when it is opened. Only the end is read: from the place that `head` names,
 * which is a batch behind at most (some seconds after a power cut).
 *
 * A half-written line that nobody was told of is cut. Anything else that does not fit is damage or
 * tampering: the gate must still start, so the chain goes on in a new file, the files as they were found
 * stay as evidence, and a `recover` entry that `verify` reports for ever says what was found.
 */
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { JournalOutcome } from './entry.ts';
import { fileName, listFiles, rawLines, readHead, type Head, type Place } from './files.ts';
import { isSound, LINE_BYTES_MAX, parseLink, ZERO_HASH, type ChainEnd } from './line.ts';

/** Becomes a `recover` entry; `faulted` where something is wrong that an auditor must hear of. */
export interface RecoveryNote {
  readonly outcome: JournalOutcome;
  readonly reason: string;
}

export interface JournalEnd {
  /** The file to go on in, and its sound bytes. What lies behind `offset` is cut. */
  readonly place: Place;
  /** The file does not exist yet. */
  readonly fresh: boolean;
  readonly chain: ChainEnd;
  /** Lines from here to `place` may never have reached the disk: they are written again, then synced. */
  readonly rewriteFrom: number;
  readonly notes: readonly RecoveryNote[];
}

const START: ChainEnd = { seq: 0, hash: ZERO_HASH };

/** @param expected whether an earlier run is known to have made a journal here. */
export async function findEnd(directory: string, expected: boolean): Promise<JournalEnd> {
  const files = listFiles(directory);
  const found = readHead(directory);
  if (found.kind === 'found') return await fromHead(directory, files, found.head);
  const [last] = files.filter((file) => sizeOf(directory, file) > 0).slice(-1);
  if (last === undefined) {
    // `head` is made before the first file: a crash between the two leaves it alone, empty or not.
    const lost = expected || files.length > 0;
    const notes = lost ? [faulted('the journal was gone at start: a new one begins')] : [];
    return newFile(files, START, notes);
  }
  const note = faulted(`head is ${found.kind}: lines at the end may be missing`);
  return await walk({ directory, files, from: { file: last, offset: 0 }, chain: undefined, notes: [note] });
}

async function fromHead(directory: string, files: readonly number[], head: Head): Promise<JournalEnd> {
  const all = files.includes(head.file) ? files : [...files, head.file].sort((a, b) => a - b);
  if (head.seq === 0 && files.length === 0) return newFile([], START, []);
  const wrong = !files.includes(head.file) ? `${fileName(head.file)} is missing` : await checkHead(directory, head);
  if (wrong !== undefined) {
    return newFile(all, head, [faulted(`${wrong}; head names line ${head.seq} as the last`)]);
  }
  return await walk({ directory, files, from: head, chain: head, notes: [] });
}

/** Why the line that `head` names is not there; `undefined` where it is. */
async function checkHead(directory: string, head: Head): Promise<string | undefined> {
  const name = fileName(head.file);
  if (sizeOf(directory, head.file) < head.offset) return `${name} was cut short`;
  // A fresh file has no line yet: then `head` names the last line of the file before it.
  if (head.seq === 0) return head.offset === 0 && head.hash === ZERO_HASH ? undefined : 'head is not of this journal';
  const bytes = await lineBefore(join(directory, name), head.offset);
  const link = bytes === undefined ? undefined : parseLink(bytes);
  if (bytes === undefined || link === undefined) return `the last line of ${name} is not a line`;
  if (link.seq !== head.seq || link.hash !== head.hash || !isSound(bytes, link)) {
    return `the last line of ${name} was changed`;
  }
  return undefined;
}

/** The line that ends at `offset`, without its newline. */
async function lineBefore(path: string, offset: number): Promise<Buffer | undefined> {
  await using file = await open(path, 'r');
  for (let size = 4096; ; size *= 4) {
    const length = Math.min(size, offset);
    const window = Buffer.alloc(length);
    await file.read(window, 0, length, offset - length);
    if (length === 0 || window.at(-1) !== 0x0a) return undefined;
    const before = length < 2 ? -1 : window.lastIndexOf(0x0a, length - 2);
    if (before !== -1 || length === offset) return window.subarray(before + 1, length - 1);
    if (length > LINE_BYTES_MAX) return undefined;
  }
}

interface WalkOptions {
  readonly directory: string;
  readonly files: readonly number[];
  readonly from: Place;
  /** Undefined: no head to go by, so that the first line's own word on what came before is taken. */
  readonly chain: ChainEnd | undefined;
  readonly notes: readonly RecoveryNote[];
}

/** Follows the chain from a place to the end of the last file. */
async function walk(options: WalkOptions): Promise<JournalEnd> {
  const { directory, files, from } = options;
  const notes = [...options.notes];
  let { chain } = options;
  let place = from;
  const later = files.filter((file) => file >= from.file);
  for (const file of later) {
    let offset = file === from.file ? from.offset : 0;
    for await (const lines of rawLines(join(directory, fileName(file)), { from: offset })) {
      for (const line of lines) {
        const link = parseLink(line.bytes);
        const fits = link !== undefined && isSound(line.bytes, link) && (chain === undefined || follows(link, chain));
        if (line.whole && fits) {
          chain = link;
          offset = line.end;
          continue;
        }
        const end = chain ?? START;
        const bytes = sizeOf(directory, file) - line.start;
        if (line.whole || file !== files.at(-1)) {
          notes.push(faulted(`${fileName(file)} is damaged from byte ${line.start} on, behind line ${end.seq}`));
          return newFile(files, end, notes);
        }
        notes.push({
          outcome: 'served',
          reason: `cut ${bytes} bytes of an unfinished line behind line ${end.seq}; nobody was told that it was written`,
        });
      }
    }
    place = { file, offset };
  }
  const rewriteFrom = place.file === from.file ? from.offset : 0;
  return { place, fresh: false, chain: chain ?? START, rewriteFrom, notes };
}

function follows(link: { readonly seq: number; readonly prev: string }, chain: ChainEnd): boolean {
  return link.seq === chain.seq + 1 && link.prev === chain.hash;
}

function newFile(files: readonly number[], chain: ChainEnd, notes: readonly RecoveryNote[]): JournalEnd {
  const place = { file: (files.at(-1) ?? 0) + 1, offset: 0 };
  return { place, fresh: true, chain: { seq: chain.seq, hash: chain.hash }, rewriteFrom: 0, notes };
}

function faulted(reason: string): RecoveryNote {
  return { outcome: 'faulted', reason };
}

function sizeOf(directory: string, file: number): number {
  return statSync(join(directory, fileName(file))).size;
}
