/** Sets of bytes or of UTF-16 code units, as the pattern languages write them. */

import { otherCases } from './letter-case.ts';

export type CharSet = (code: number) => boolean;

export const ANY: CharSet = () => true;

export function single(code: number): CharSet {
  return (other) => other === code;
}

export function range(first: number, last: number): CharSet {
  return (code) => code >= first && code <= last;
}

export function union(sets: readonly CharSet[]): CharSet {
  return (code) => sets.some((has) => has(code));
}

export function inverse(has: CharSet): CharSet {
  return (code) => !has(code);
}

/** The set with letters of either case; of bytes only those of ASCII have one. */
export function foldCase(has: CharSet, { isBytes }: { readonly isBytes: boolean }): CharSet {
  const isAscii: CharSet = (code) => has(code) || (isLetter(code) && has(code ^ 0x20));
  return isBytes ? isAscii : (code) => isAscii(code) || otherCases(code).some(has);
}

const isLetter = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
const isDigit = range(48, 57);
const isSpace: CharSet = (code) => code === 32 || (code >= 9 && code <= 13);
const isGraph = range(33, 126);
const isAlnum = union([isLetter, isDigit]);
const isPunct: CharSet = (code) => isGraph(code) && !isAlnum(code);

/** The POSIX classes, ASCII as in the C locale. */
export const CLASSES = {
  alpha: isLetter,
  digit: isDigit,
  alnum: isAlnum,
  upper: range(65, 90),
  lower: range(97, 122),
  space: isSpace,
  blank: union([single(32), single(9)]),
  punct: isPunct,
  cntrl: union([range(0, 31), single(127)]),
  graph: isGraph,
  print: range(32, 126),
  xdigit: union([isDigit, range(65, 70), range(97, 102)]),
  word: union([isAlnum, single(95)]),
  ascii: range(0, 127),
} as const satisfies Record<string, CharSet>;

/** A set as a table for ASCII, so that matching does not walk closures. */
export function tabulate(has: CharSet): CharSet {
  const table = new Uint8Array(128);
  for (let code = 0; code < 128; code += 1) table[code] = has(code) ? 1 : 0;
  return (code) => (code < 128 ? table[code] === 1 : has(code));
}
