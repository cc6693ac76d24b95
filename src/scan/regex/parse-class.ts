/** Character classes: `[...]` with all that may stand in it, and `\d`, `\pL` and the like outside of it. */
import {
  DIGIT,
  fold,
  negate,
  normalize,
  POSIX_CLASSES,
  SPACE,
  unicodeProperty,
  WORD,
  type CharSet,
} from './char-set.ts';
import type { Cursor } from './cursor.ts';
import { readEscape } from './parse-escape.ts';

const PERL_CLASSES: ReadonlyMap<string, CharSet> = new Map([
  ['d', DIGIT],
  ['s', SPACE],
  ['w', WORD],
]);

/** Reads `[...]`; the cursor stands on the bracket. A `]` right behind it is a character. */
export function readBracket(cursor: Cursor, folded: boolean): CharSet {
  cursor.take('[');
  const negated = cursor.take('^');
  const pairs: number[] = [];
  let first = true;
  while (first || !cursor.sees(']')) {
    if (cursor.done) cursor.fail('a bracket is not closed');
    const group = readPosixClass(cursor, folded) ?? readClassEscape(cursor, folded);
    if (group !== undefined) pairs.push(...group);
    else pairs.push(...readRange(cursor));
    first = false;
  }
  cursor.take(']');
  const plain = normalize(pairs);
  const set = folded ? fold(plain) : plain;
  return negated ? negate(set) : set;
}

/** Reads `\d`, `\D`, `\pL`, `\p{Greek}`, `\P{^Greek}`. @returns undefined where none stands there. */
export function readClassEscape(cursor: Cursor, folded: boolean): CharSet | undefined {
  const perl = cursor.match(/\\([dDsSwW])/y);
  if (perl !== undefined) {
    const letter = perl[1] ?? '';
    const set = PERL_CLASSES.get(letter.toLowerCase()) ?? [];
    return signed(folded ? fold(set) : set, letter !== letter.toLowerCase());
  }
  const property = cursor.match(/\\([pP])(?:\{(\^?)([^}]*)\}|([A-Za-z]))/y);
  if (property === undefined) return undefined;
  const name = property[3] ?? property[4] ?? '';
  const set = unicodeProperty(name);
  if (set === undefined) cursor.fail(`there is no class of characters ${name}`);
  return signed(folded ? fold(set) : set, (property[1] === 'P') !== (property[2] === '^'));
}

function readPosixClass(cursor: Cursor, folded: boolean): CharSet | undefined {
  const found = cursor.match(/\[:(\^?)([^:\]]*):\]/y);
  if (found === undefined) return undefined;
  const set = POSIX_CLASSES.get(found[2] ?? '');
  if (set === undefined) cursor.fail(`there is no class of characters [:${found[2]}:]`);
  return signed(folded ? fold(set) : set, found[1] === '^');
}

/** One character, or two with a hyphen between them. */
function readRange(cursor: Cursor): readonly [number, number] {
  const low = readCharacter(cursor);
  if (!cursor.sees('-') || cursor.sees('-]')) return [low, low];
  cursor.take('-');
  if (cursor.done) cursor.fail('a bracket is not closed');
  const high = readCharacter(cursor);
  if (high < low) cursor.fail('a range runs backwards');
  return [low, high];
}

function readCharacter(cursor: Cursor): number {
  return cursor.sees('\\') ? readEscape(cursor) : cursor.next();
}

function signed(set: CharSet, negative: boolean): CharSet {
  return negative ? negate(set) : set;
}
