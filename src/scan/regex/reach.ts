/**
 * How far a match can stretch, in bytes of UTF-8: so many bytes in all, but for bytes of `loops`, of which unbounded
 * repetitions take any number. A match thus ends before the text shows more than `bytes` bytes that are not in `loops`.
 */
import { contains, type CharSet } from './char-set.ts';
import type { Pattern } from './pattern.ts';

export interface Reach {
  readonly bytes: number;
  /** The same in characters: bytes where all is ASCII. */
  readonly chars: number;
  /** 256 flags; undefined: nothing repeats without bound. */
  readonly loops: Uint8Array | undefined;
}

export const NO_REACH: Reach = { bytes: 0, chars: 0, loops: undefined };

export function reachOf(pattern: Pattern): Reach {
  switch (pattern.kind) {
    case 'set':
      return { bytes: widthOf(pattern.set), chars: 1, loops: undefined };
    case 'assertion':
      return NO_REACH;
    case 'sequence':
      return pattern.parts.map(reachOf).reduce(addReach, NO_REACH);
    case 'choice':
      return pattern.parts.map(reachOf).reduce(widerReach, NO_REACH);
    case 'group':
      return reachOf(pattern.body);
    case 'repeat': {
      if (pattern.max === Infinity) return { ...NO_REACH, loops: bytesOf(pattern.body) };
      const body = reachOf(pattern.body);
      const loops = pattern.max === 0 ? undefined : body.loops;
      return { bytes: body.bytes * pattern.max, chars: body.chars * pattern.max, loops };
    }
    default:
      return pattern satisfies never;
  }
}

/** One behind the other. */
export function addReach(one: Reach, other: Reach): Reach {
  return {
    bytes: one.bytes + other.bytes,
    chars: one.chars + other.chars,
    loops: union(one.loops, other.loops),
  };
}

/** One or the other. */
export function widerReach(one: Reach, other: Reach): Reach {
  return {
    bytes: Math.max(one.bytes, other.bytes),
    chars: Math.max(one.chars, other.chars),
    loops: union(one.loops, other.loops),
  };
}

/** Every byte that it can take; beyond ASCII all or none. */
function bytesOf(pattern: Pattern): Uint8Array | undefined {
  switch (pattern.kind) {
    case 'set': {
      const flags = new Uint8Array(256);
      for (let byte = 0; byte < 0x80; byte += 1) flags[byte] = contains(pattern.set, byte) ? 1 : 0;
      if ((pattern.set.at(-1) ?? 0) >= 0x80) flags.fill(1, 0x80);
      return flags;
    }
    case 'assertion':
      return undefined;
    case 'sequence':
    case 'choice':
      return pattern.parts.map(bytesOf).reduce(union, undefined);
    case 'group':
    case 'repeat':
      return bytesOf(pattern.body);
    default:
      return pattern satisfies never;
  }
}

function union(one: Uint8Array | undefined, other: Uint8Array | undefined): Uint8Array | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.map((flag, byte) => flag | (other[byte] ?? 0));
}

function widthOf(set: CharSet): number {
  const high = set.at(-1) ?? 0;
  if (high <= 0x7f) return 1;
  if (high <= 0x7_ff) return 2;
  return high <= 0xff_ff ? 3 : 4;
}
