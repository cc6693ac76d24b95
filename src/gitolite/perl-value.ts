/** Values while a settings file is read: as the program in it would change them. */
import { Fault } from '../base/fault.ts';

export type PerlValue = string | undefined | PerlValue[] | PerlHash;
export interface PerlHash extends Map<string, PerlValue> {}

/** Something in the file that is Perl, but not of the part that settings need. */
export function unclear(line: number, what: string): Fault {
  return new Fault('bad-input', 'settings not understood', { context: { line, what } });
}

/** The file is broken for Perl too: it ends inside of something. */
export function broken(line: number, what: string): Fault {
  return new Fault('bad-input', 'settings are broken', { context: { line, what } });
}

export function isUnclear(error: unknown): error is Fault {
  return error instanceof Fault && error.message === 'settings not understood';
}

export function isBroken(error: unknown): error is Fault {
  return error instanceof Fault && error.message === 'settings are broken';
}

/** As Perl writes a number. */
export function numberText(value: number): string {
  return String(Number(value.toPrecision(15)));
}

/** What a scalar is in a text. @throws `unclear` for a reference. */
export function textOf(value: PerlValue, line: number): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  throw unclear(line, 'a list stands where a text is needed');
}

/** A list as a hash's keys and values. An odd one ends in a key without value. */
export function hashOf(items: readonly PerlValue[], line: number): PerlHash {
  const hash: PerlHash = new Map();
  for (let index = 0; index < items.length; index += 2) hash.set(textOf(items[index], line), items[index + 1]);
  return hash;
}
