/** Flags inside regular expressions: `(?i)`, `(?^x-i:...)`. */
import { PatternProblem, type PatternCursor } from './pattern-cursor.ts';

export interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
  readonly x: boolean;
  /** Blanks say nothing in brackets either. */
  readonly xx: boolean;
  /** Letters by Unicode, if only where case does not matter. */
  readonly a: boolean;
}

export const NO_FLAGS: Flags = { i: false, m: false, s: false, x: false, xx: false, a: false };

interface Head {
  readonly flags: Flags;
  /** Closed already: they hold for what follows. */
  readonly isWhole: boolean;
}

/** Behind `(?`. @returns undefined where no flags stand there. */
export function readFlags(
  cursor: PatternCursor,
  { dialect, flags }: { readonly dialect: 'perl' | 'pcre'; readonly flags: Flags },
): Head | undefined {
  const found = cursor.match(/(\^?)([a-zJU]*)(?:(-)([a-zJU]*))?([:)])/y);
  if (found === undefined) return undefined;
  const [all, caret, on = '', hyphen, off = '', end] = found;
  const isTaken =
    dialect === 'perl'
      ? /^[imsxnpogcad]*$/.test(on) && /^[imsxnpogc]*$/.test(off) && isOneCharset(caret + on)
      : /^[imsxnJU]*$/.test(on + off);
  if (!isTaken || (caret !== '' && hyphen !== undefined))
    throw new PatternProblem(`the flags of (?${all} are not supported`);
  const start = caret === '' ? flags : NO_FLAGS;
  const next = unset(set(start, on), off);
  if (next.a && next.i) throw new PatternProblem('(?a) and (?i) together are not supported');
  return { flags: next, isWhole: end === ')' };
}

/** `a` once or twice, or `d` once if nothing else says so: for bytes they differ only in what folds to what. */
function isOneCharset(on: string): boolean {
  return /^(?:\^?a{0,2}|d)$/.test(on.replaceAll(/[^ad^]/g, ''));
}

function set(flags: Flags, on: string): Flags {
  const xs = on.replaceAll(/[^x]/g, '').length;
  return {
    i: flags.i || on.includes('i'),
    m: flags.m || on.includes('m'),
    s: flags.s || on.includes('s'),
    x: flags.x || xs > 0,
    xx: xs === 0 ? flags.xx : xs > 1,
    a: on.includes('a') || (flags.a && !on.includes('d')),
  };
}

function unset(flags: Flags, off: string): Flags {
  return {
    i: flags.i && !off.includes('i'),
    m: flags.m && !off.includes('m'),
    s: flags.s && !off.includes('s'),
    x: flags.x && !off.includes('x'),
    xx: flags.xx && !off.includes('x'),
    a: flags.a,
  };
}
