/** Escapes of regular expressions that stand for a character or a set of them, inside and outside brackets. */
import { inverse, type CharSet } from './char-set.ts';
import { PatternProblem, type PatternCursor } from './pattern-cursor.ts';
import { SHORTHANDS } from './regex-parts.ts';

export interface Reading {
  /** `perl`: an expression in a variable, as Perl 5.34 and later have it; `pcre`: PCRE. */
  readonly dialect: 'perl' | 'pcre';
  /** Texts are bytes, so that no code is over 255. */
  readonly isBytes: boolean;
}

const CONTROLS: ReadonlyMap<string, number> = new Map([
  ['t', 9],
  ['n', 10],
  ['r', 13],
  ['f', 12],
  ['e', 27],
  ['a', 7],
]);

/** Letters that Perl reads as themselves behind a backslash. `\Q` and `\E` too: an expression in a variable does not quote. */
const OWN_LETTERS = /^[ijlmquyEFIJLMOQTUY]$/;
const OWN_LETTERS_IN_BRACKETS = /^[ijlmquyEFIJLMOQTUYABCGKRXZgkz]$/;

/** What `\c` stands for; the cursor stands behind `c`. */
export function escaped(
  cursor: PatternCursor,
  c: string,
  { inBrackets, ...reading }: Reading & { readonly inBrackets: boolean },
): number | CharSet {
  const lower = c.toLowerCase();
  const shorthand = SHORTHANDS.get(lower);
  if (shorthand !== undefined) return c === lower ? shorthand : inverse(shorthand);
  if (inBrackets && c === 'b') return 8;
  const control = CONTROLS.get(c);
  if (control !== undefined) return control;
  if (c === 'x') return bounded(hexadecimal(cursor, reading), reading);
  if (c === 'o') return bounded(bracedOctal(cursor, reading), reading);
  if (c === 'c') return controlled(cursor, reading);
  if (/[0-9]/.test(c)) return digits(cursor, { first: c, inBrackets, reading });
  if (reading.dialect === 'perl' && (inBrackets ? OWN_LETTERS_IN_BRACKETS : OWN_LETTERS).test(c))
    return c.charCodeAt(0);
  if (/[gk]/.test(c)) throw backReference();
  if (/[A-Za-z]/.test(c)) throw new PatternProblem(`\\${c} is not supported`);
  return c.charCodeAt(0);
}

function backReference(): PatternProblem {
  return new PatternProblem('back references are not supported: matching is in linear time');
}

function bounded(code: number, { isBytes }: Reading): number {
  if (code > (isBytes ? 0xff : 0xff_ff))
    throw new PatternProblem(isBytes ? 'a code over 255 matches no byte' : 'a code over ffff is not supported');
  return code;
}

function hexadecimal(cursor: PatternCursor, { dialect }: Reading): number {
  if (!cursor.peek('{')) return Number.parseInt(`0${cursor.match(/[0-9A-Fa-f]{0,2}/y)?.[0] ?? ''}`, 16);
  // Perl reads as far as the digits go.
  const found = cursor.match(dialect === 'perl' ? /\{[ \t]*([0-9A-Fa-f]*)[^}_]*\}/y : /\{([0-9A-Fa-f]+)\}/y);
  if (found === undefined) throw new PatternProblem('\\x wants hexadecimal digits');
  return Number.parseInt(`0${found[1] ?? ''}`, 16);
}

function bracedOctal(cursor: PatternCursor, { dialect }: Reading): number {
  const found = cursor.match(dialect === 'perl' ? /\{(?![ \t]*\})[ \t]*([0-7]*)(?![0-7])[^}_]*\}/y : /\{([0-7]+)\}/y);
  if (found === undefined) throw new PatternProblem('\\o wants octal digits in braces');
  return Number.parseInt(`0${found[1] ?? ''}`, 8);
}

function controlled(cursor: PatternCursor, { dialect }: Reading): number {
  const c = cursor.match(/[ -~]/y)?.[0];
  if (c === undefined || (dialect === 'perl' && c === '{'))
    throw new PatternProblem('\\c wants a printable character of ASCII');
  return c.toUpperCase().charCodeAt(0) ^ 0x40;
}

/** Octal, or a back reference. */
function digits(
  cursor: PatternCursor,
  { first, inBrackets, reading }: { readonly first: string; readonly inBrackets: boolean; readonly reading: Reading },
): number {
  if (first >= '8') {
    if (inBrackets) return first.charCodeAt(0);
    throw backReference();
  }
  // Two digits are a back reference where there are as many groups; whether there are is not worth counting.
  const isOctal =
    inBrackets || first === '0' || (cursor.look(/[0-9]/y) !== undefined && cursor.text.split('(').length <= 10);
  if (!isOctal) throw backReference();
  return bounded(Number.parseInt(first + (cursor.match(/[0-7]{0,2}/y)?.[0] ?? ''), 8), reading);
}
