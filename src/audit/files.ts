/** The files of a journal directory: numbered line files, and `head`, which says where the chain ended. */
import { closeSync, constants, fsyncSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { isJsonObject } from '../base/json.ts';
import { canonicalJson, LINE_BYTES_MAX, type ChainEnd } from './line.ts';

const FILE_NAME = /^(\d{6,12})\.jsonl$/;
const HEAD_NAME = 'head';
/** A `head` is written over in place; one length, one block, so that a write is whole or absent. */
const HEAD_BYTES = 256;
const CHUNK_BYTES = 256 * 1024;
const LF = 0x0a;

/** A place between two lines. */
export interface Place {
  /** 1 for `000001.jsonl`. */
  readonly file: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
}

/** The last line known to be on disk. */
export interface Head extends ChainEnd, Place {}

export type HeadFound =
  | { readonly kind: 'found'; readonly head: Head }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable' };

export function fileName(file: number): string {
  return `${String(file).padStart(6, '0')}.jsonl`;
}

/** The numbers of the line files, ascending. */
export function listFiles(directory: string): readonly number[] {
  const numbers = readdirSync(directory).flatMap((name) => {
    const digits = FILE_NAME.exec(name)?.[1];
    return digits !== undefined && fileName(Number(digits)) === name ? [Number(digits)] : [];
  });
  return numbers.sort((a, b) => a - b);
}

export function readHead(directory: string): HeadFound {
  // Another process may be writing it over: what is torn now is whole a moment later.
  for (let attempt = 1; ; attempt += 1) {
    let text: string;
    try {
      text = readFileSync(join(directory, HEAD_NAME), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { kind: 'missing' };
      throw error;
    }
    const head = parseHead(text);
    if (head !== undefined) return { kind: 'found', head };
    if (attempt === 3) return { kind: 'unreadable' };
  }
}

/** Opened once and written over in place: one call for each batch, no sync of its own (see docs/audit.md). */
export class HeadFile {
  readonly #descriptor: number;

  constructor(directory: string) {
    this.#descriptor = openSync(join(directory, HEAD_NAME), constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  write(head: Head): void {
    writeSync(this.#descriptor, Buffer.from(encodeHead(head)), 0, HEAD_BYTES, 0);
  }

  sync(): void {
    fsyncSync(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

export interface RawLine {
  /** Without the newline. Empty where the line is longer than any line may be. */
  readonly bytes: Buffer;
  readonly start: number;
  /** Behind the newline. */
  readonly end: number;
  /** False for bytes at the end of the file that no newline ends. */
  readonly whole: boolean;
}

/** The lines of a file between two offsets, many at a time; memory is bounded by one line and one chunk. */
export async function* rawLines(
  path: string,
  range: { readonly from?: number; readonly to?: number | undefined } = {},
): AsyncGenerator<readonly RawLine[]> {
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = range;
  await using file = await open(path, 'r');
  let position = from;
  let start = from;
  let pieces: Buffer[] = [];
  while (position < to) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - position));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    const lines: RawLine[] = [];
    let cut = 0;
    for (let at = chunk.indexOf(LF); at !== -1 && at < bytesRead; at = chunk.indexOf(LF, cut)) {
      pieces.push(chunk.subarray(cut, at));
      const end = position + at + 1;
      lines.push({ bytes: joined(pieces, end - start), start, end, whole: true });
      pieces = [];
      start = end;
      cut = at + 1;
    }
    position += bytesRead;
    // A line that is too long is skipped over, not collected.
    if (position - start <= LINE_BYTES_MAX) pieces.push(chunk.subarray(cut, bytesRead));
    else pieces = [];
    if (lines.length > 0) yield lines;
  }
  if (position > start) yield [{ bytes: joined(pieces, position - start), start, end: position, whole: false }];
}

function joined(pieces: readonly Buffer[], bytes: number): Buffer {
  const [only] = pieces;
  if (bytes > LINE_BYTES_MAX || only === undefined) return Buffer.alloc(0);
  return pieces.length === 1 ? only : Buffer.concat(pieces);
}

function encodeHead(head: Head): string {
  const text = canonicalJson({ file: fileName(head.file), hash: head.hash, offset: head.offset, seq: head.seq });
  return `${text.padEnd(HEAD_BYTES - 1)}\n`;
}

function parseHead(text: string): Head | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const { file, hash, offset, seq } = value;
  const digits = typeof file === 'string' ? FILE_NAME.exec(file)?.[1] : undefined;
  if (digits === undefined || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
  if (!isCount(offset) || !isCount(seq)) return undefined;
  const head = { file: Number(digits), hash, offset, seq };
  // To the byte, so that no edit passes for another way to write the same.
  return encodeHead(head) === text ? head : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
