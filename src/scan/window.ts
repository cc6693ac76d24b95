/** Bytes as text: the stretch around a place that a match can fill, and offsets back from text to bytes. */
import { isAscii, isUtf8 } from 'node:buffer';
import type { Reach } from './regex/reach.ts';

/** A stretch of a buffer as text. */
export interface Window {
  readonly text: string;
  /** Offset in the buffer of the text's first character. */
  readonly offset: number;
  /** UTF-16 units of `text` before a byte, and bytes before a unit. */
  unitAt(offset: number): number;
  offsetAt(unit: number): number;
}

/** Where a match that begins at or before `from` must have ended; at most `max` bytes on, at most the buffer's length. */
export function reachEnd(
  bytes: Uint8Array,
  at: { readonly from: number; readonly reach: Reach; readonly max: number },
): number {
  const { from, reach, max } = at;
  const limit = Math.min(bytes.length, from + max);
  if (reach.loops === undefined) return Math.min(limit, from + reach.bytes + 1);
  let left = reach.bytes;
  let index = from;
  for (; index < limit; index += 1) {
    if (reach.loops[bytes[index] ?? 0] === 1) continue;
    left -= 1;
    if (left < 0) break;
  }
  return Math.min(limit, index + 1);
}

/** The first place where a match that contains the byte behind `from` can begin; not below 0, at most `max` back. */
export function reachStart(
  bytes: Uint8Array,
  at: { readonly from: number; readonly reach: Reach; readonly max: number },
): number {
  const { from, reach, max } = at;
  const limit = Math.max(0, from - max);
  if (reach.loops === undefined) return Math.max(limit, from - reach.bytes);
  let left = reach.bytes;
  let index = from;
  for (; index > limit; index -= 1) {
    if (reach.loops[bytes[index - 1] ?? 0] === 1) continue;
    left -= 1;
    if (left < 0) break;
  }
  return index;
}

/**
 * `bytes[from..to)` with a character to spare on either side, for `\b` and `^`. UTF-8 where it is that, else each byte
 * is a character.
 */
export function openWindow(bytes: Buffer, from: number, to: number): Window {
  const start = stepBack(bytes, Math.max(0, from - 4));
  const end = stepForward(bytes, Math.min(bytes.length, to + 4));
  const part = bytes.subarray(start, end);
  // A piece may end within a character: what is whole is UTF-8 all the same, and something follows it.
  if (isAscii(part) || !isUtf8(part.subarray(0, wholeLength(part)))) {
    return {
      text: part.toString('latin1'),
      offset: start,
      unitAt: (offset) => offset - start,
      offsetAt: (unit) => unit + start,
    };
  }
  const text = part.toString('utf8');
  return {
    text,
    offset: start,
    unitAt: (offset) => bytes.toString('utf8', start, stepBack(bytes, offset)).length,
    offsetAt: (unit) => Math.min(end, start + Buffer.byteLength(text.slice(0, unit))),
  };
}

/** Without the first bytes of a UTF-8 character whose others are not here. */
function wholeLength(part: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, part.length); back += 1) {
    const byte = part[part.length - back] ?? 0;
    if (isContinuation(byte)) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? part.length - back : part.length;
  }
  return part.length;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** Out of the middle of a UTF-8 character, to its start. */
function stepBack(bytes: Uint8Array, offset: number): number {
  const limit = Math.max(0, offset - 3);
  let index = offset;
  while (index > limit && isContinuation(bytes[index])) index -= 1;
  return isContinuation(bytes[index]) ? offset : index;
}

function stepForward(bytes: Uint8Array, offset: number): number {
  for (let index = offset; index < offset + 4; index += 1) {
    if (!isContinuation(bytes[index])) return index;
  }
  return offset;
}
