/** One line of a conf on its way through the compiler: its text as cleaned so far, and where it stands. */

export interface ConfLine {
  readonly text: string;
  /** `gitolite.conf`, `teams/a.conf`: relative to the conf's directory. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** `master`, or the delegated part that the line belongs to. */
  readonly subconf: string;
}

export const MASTER = 'master';

/** Without comment, with blanks around the first `=`, and one blank wherever there were any. */
export function cleanLine(text: string): string {
  const comment = commentStart(text);
  return (comment === undefined ? text : text.slice(0, comment))
    .replace('=', ' = ')
    .replaceAll(/[ \t\n\r\f\v]+/g, ' ')
    .replace(/^ /, '')
    .replace(/ $/, '');
}

/**
 * Where the comment starts: at the first `#` outside quotes. A quoted string ends at the first quote that lets the rest
 * of the line have a comment; a quote that never ends hides every `#` behind it.
 */
function commentStart(text: string): number | undefined {
  if (!text.includes('#')) return undefined;
  const quotes = [...text.matchAll(/"/g)].map(({ index }) => index);
  // From the right: where the comment starts if a string ends at this quote, and at the next one that has an answer.
  let atNext: number | undefined; // a string ends at quote k + 1
  let after: number | undefined; // the nearest answer from quote k + 2 on
  for (const [k, quote] of [...quotes.entries()].toReversed()) {
    const answer = firstComment(text, quote + 1, quotes[k + 1], after);
    after = atNext ?? after;
    atNext = answer;
  }
  return firstComment(text, 0, quotes[0], after);
}

function firstComment(
  text: string,
  from: number,
  nextQuote: number | undefined,
  behindString: number | undefined,
): number | undefined {
  const at = text.indexOf('#', from);
  if (at === -1) return undefined;
  return nextQuote === undefined || at < nextQuote ? at : behindString;
}
