/** Sets of code points as sorted, disjoint ranges: what every single-character part of a pattern comes down to. */

/** Flat pairs: low, high, low, high, ... both ends included. */
export type CharSet = readonly number[];

export const CODE_POINT_MAX = 0x10_ff_ff;

export const ANY: CharSet = [0, CODE_POINT_MAX];
export const NOT_NEWLINE: CharSet = [0, 9, 11, CODE_POINT_MAX];
export const DIGIT: CharSet = [0x30, 0x39];
/** `\s` of RE2: tab, newline, form feed, carriage return, space; not vertical tab. */
export const SPACE: CharSet = [9, 10, 12, 13, 32, 32];
export const WORD: CharSet = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];

/** RE2, "ASCII character classes". */
export const POSIX_CLASSES: ReadonlyMap<string, CharSet> = new Map<string, CharSet>([
  ['alnum', [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a]],
  ['alpha', [0x41, 0x5a, 0x61, 0x7a]],
  ['ascii', [0, 0x7f]],
  ['blank', [9, 9, 32, 32]],
  ['cntrl', [0, 0x1f, 0x7f, 0x7f]],
  ['digit', DIGIT],
  ['graph', [0x21, 0x7e]],
  ['lower', [0x61, 0x7a]],
  ['print', [0x20, 0x7e]],
  ['punct', [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e]],
  ['space', [9, 13, 32, 32]],
  ['upper', [0x41, 0x5a]],
  ['word', WORD],
  ['xdigit', [0x30, 0x39, 0x41, 0x46, 0x61, 0x66]],
]);

/** Sorts, and joins what touches. */
export function normalize(pairs: readonly number[]): CharSet {
  const ranges: [number, number][] = [];
  for (let at = 0; at + 1 < pairs.length; at += 2) ranges.push([pairs[at] ?? 0, pairs[at + 1] ?? 0]);
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const joined: [number, number][] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && range[0] <= last[1] + 1) last[1] = Math.max(last[1], range[1]);
    else joined.push(range);
  }
  return joined.flat();
}

export function negate(set: CharSet): CharSet {
  const out: number[] = [];
  let next = 0;
  for (let at = 0; at + 1 < set.length; at += 2) {
    const low = set[at] ?? 0;
    if (low > next) out.push(next, low - 1);
    next = (set[at + 1] ?? 0) + 1;
  }
  if (next <= CODE_POINT_MAX) out.push(next, CODE_POINT_MAX);
  return out;
}

export function contains(set: CharSet, codePoint: number): boolean {
  let low = 0;
  let high = set.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (codePoint < (set[2 * middle] ?? 0)) high = middle - 1;
    else if (codePoint > (set[2 * middle + 1] ?? 0)) low = middle + 1;
    else return true;
  }
  return false;
}

/** How many code points it has. */
export function sizeOf(set: CharSet): number {
  let size = 0;
  for (let at = 0; at + 1 < set.length; at += 2) size += (set[at + 1] ?? 0) - (set[at] ?? 0) + 1;
  return size;
}

/** The set and all that differs from one of its members only in case (Unicode simple folding, as RE2 does). */
export function fold(set: CharSet): CharSet {
  if ((set.at(-1) ?? 0) <= 0x7f) return foldAscii(set);
  const added = foldOrbits().flatMap((orbit) =>
    orbit.some((codePoint) => contains(set, codePoint)) ? orbit.flatMap((one) => [one, one]) : [],
  );
  // Last, since an orbit may bring a letter: the Kelvin sign brings k, and k brings K.
  return foldAscii(normalize([...set, ...added]));
}

function foldAscii(set: CharSet): CharSet {
  // Letters by themselves are most of what is folded.
  const single = set.length === 2 && set[0] === set[1] ? set[0] : undefined;
  const known = single === undefined ? undefined : letters.get(single);
  if (known !== undefined) return known;
  const folded = foldLetters(set);
  if (single !== undefined && single <= 0x7f) letters.set(single, folded);
  return folded;
}

const letters = new Map<number, CharSet>();

function foldLetters(set: CharSet): CharSet {
  const added: number[] = [];
  for (let upper = 0x41; upper <= 0x5a; upper += 1) {
    const lower = upper + 32;
    if (!contains(set, upper) && !contains(set, lower)) continue;
    added.push(upper, upper, lower, lower);
    // The Kelvin sign and the long s.
    if (upper === 0x4b) added.push(0x21_2a, 0x21_2a);
    if (upper === 0x53) added.push(0x1_7f, 0x1_7f);
  }
  return added.length === 0 ? set : normalize([...set, ...added]);
}

let orbits: readonly (readonly number[])[] | undefined;

/** Groups of code points that fold to one another and have a member beyond ASCII; made at the first need (about 30 ms). */
function foldOrbits(): readonly (readonly number[])[] {
  if (orbits !== undefined) return orbits;
  const groups = new Map<number, Set<number>>();
  for (let codePoint = 0x80; codePoint < 0x1_f0_00; codePoint += 1) {
    if (codePoint >= 0xd8_00 && codePoint <= 0xdf_ff) continue;
    const text = String.fromCodePoint(codePoint);
    for (const other of [text.toLowerCase(), text.toUpperCase()]) {
      const target = other.codePointAt(0) ?? codePoint;
      if (target === codePoint || String.fromCodePoint(target) !== other || !foldsTo(codePoint, other)) continue;
      const merged = new Set([codePoint, target, ...(groups.get(codePoint) ?? []), ...(groups.get(target) ?? [])]);
      for (const member of merged) groups.set(member, merged);
    }
  }
  orbits = [...new Set(groups.values())].map((group) => [...group]);
  return orbits;
}

function foldsTo(codePoint: number, other: string): boolean {
  return new RegExp(`^\\u{${codePoint.toString(16)}}$`, 'iu').test(other);
}

const properties = new Map<string, CharSet | undefined>();

/**
 * `\p{name}`: a general category or a script, as this V8's Unicode has them.
 * @returns undefined where there is none of that name.
 */
export function unicodeProperty(name: string): CharSet | undefined {
  if (name === 'Any') return ANY;
  if (!properties.has(name)) properties.set(name, enumerate(name));
  return properties.get(name);
}

function enumerate(name: string): CharSet | undefined {
  if (!/^[A-Z][A-Za-z_]{0,63}$/.test(name)) return undefined;
  const tests = [`\\p{gc=${name}}`, `\\p{Script=${name}}`].flatMap((source) => {
    try {
      return [new RegExp(source, 'u')];
    } catch {
      return [];
    }
  });
  const test = tests[0];
  if (test === undefined) return undefined;
  const out: number[] = [];
  for (let codePoint = 0; codePoint <= CODE_POINT_MAX; codePoint += 1) {
    if (!test.test(String.fromCodePoint(codePoint))) continue;
    if (out.at(-1) === codePoint - 1) out[out.length - 1] = codePoint;
    else out.push(codePoint, codePoint);
  }
  return out;
}
