/** Full refnames, checked as git-check-ref-format(1) says, and short ones for people. */
import { Buffer } from 'node:buffer';
import { BOUNDS } from '../base/bounds.ts';

declare const refnameBrand: unique symbol;
/** A full, well-formed refname: `refs/heads/main`. Never `HEAD`, never a pseudo-ref. */
export type Refname = string & { readonly [refnameBrand]: true };

// git-check-ref-format(1), rules 4, 5 and 10: control characters, space, and characters with a meaning of their own.
const FORBIDDEN = /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|\/$|\.$/;

/** The refname in `text`, or undefined where git-check-ref-format would refuse it or it is not below `refs/`. */
export function parseRefname(text: string): Refname | undefined {
  if (!text.startsWith('refs/') || FORBIDDEN.test(text)) return undefined;
  if (Buffer.byteLength(text) > BOUNDS.refnameBytesMax) return undefined;
  const components = text.split('/');
  if (components.length < 3) return undefined;
  const isBad = (part: string): boolean => part === '' || part.startsWith('.') || part.endsWith('.lock');
  return components.some(isBad) ? undefined : (text as Refname);
}

/** Refs of the gate's own, that no client sees or updates. */
export function isInternalRefname(refname: string): boolean {
  return refname.startsWith('refs/gatehouse/');
}
