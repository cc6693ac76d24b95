/** Values of the settings file as its readers want them. */
import type { RcValue } from './rc.ts';

export type RcHash = { readonly [key: string]: RcValue };

/** The text of a scalar; empty for anything else, as an unset one is. */
export function scalarOf(value: RcValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

export function listOf(value: RcValue | undefined): readonly RcValue[] {
  return Array.isArray(value) ? value : [];
}

export function isHash(value: RcValue | undefined): value is RcHash {
  return typeof value === 'object' && !Array.isArray(value);
}

/** Perl's truth. */
export function isTrue(value: RcValue | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0';
}

/** Perl's `split ' '`. */
export function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
