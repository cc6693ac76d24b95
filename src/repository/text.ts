/** One line of text from a person: what may stand in a record, a log line and a terminal. */
import { Buffer } from 'node:buffer';
import { ok, refuse, type Parsed } from '../base/fault.ts';

// Control characters, line and paragraph separators, and the marks that reverse the order of what follows: they make a
// terminal or a log show something else than what is there.
const UNFIT = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

/** The trimmed line in `text`, or why not. `what` names it in the refusal: `a description`. */
export function parseLine(text: string, bounds: { readonly what: string; readonly bytesMax: number }): Parsed<string> {
  const { what, bytesMax } = bounds;
  if (Buffer.byteLength(text) > bytesMax) return refuse(`${what} has at most ${bytesMax} bytes`);
  if (!text.isWellFormed() || UNFIT.test(text)) return refuse(`${what} is one line without control characters`);
  return ok(text.trim());
}
