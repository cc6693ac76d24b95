/** Escapes that stand for one character, inside and outside of brackets. */
import { CODE_POINT_MAX } from './char-set.ts';
import type { Cursor } from './cursor.ts';

const CONTROL: ReadonlyMap<string, number> = new Map([
  ['a', 7],
  ['f', 12],
  ['t', 9],
  ['n', 10],
  ['r', 13],
  ['v', 11],
]);

/** Reads `\n`, `\x60`, `\x{1F600}`, `\123`, `\.`; the cursor stands on the backslash. */
export function readEscape(cursor: Cursor): number {
  const hex = cursor.match(/\\x(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{2}))/y);
  if (hex !== undefined) {
    const codePoint = Number.parseInt(hex[1] ?? hex[2] ?? '', 16);
    if (codePoint > CODE_POINT_MAX) cursor.fail('there is no such character');
    return codePoint;
  }
  // A single digit from 1 to 7 would be a backreference; with a second octal digit it is a character.
  const octal = cursor.match(/\\(0[0-7]{0,2}|[1-7][0-7]{1,2})/y);
  if (octal !== undefined) return Number.parseInt(octal[1] ?? '0', 8);
  if (cursor.match(/\\(?=[0-9])/y) !== undefined) cursor.fail('RE2 has no backreferences');
  const letter = cursor.match(/\\([aftnrv])/y);
  if (letter !== undefined) return CONTROL.get(letter[1] ?? '') ?? 0;
  const punctuation = cursor.match(/\\([\0-/:-@[-`{-\x7f])/y);
  if (punctuation !== undefined) return punctuation[1]?.codePointAt(0) ?? 0;
  return cursor.fail(`the escape ${cursor.ahead(2)} is unknown`);
}
