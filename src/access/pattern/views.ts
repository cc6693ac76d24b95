/** What a pattern takes for one character of a text. Each view is a string with one code unit for each of them. */
import { Buffer } from 'node:buffer';

export type View = (text: string) => string;

/**
 * A byte of UTF-8, as Perl and Lua have it without further ado: `.` is one of the two of `é`. ASCII is the same in
 * every view.
 */
export function toBytes(text: string): string {
  for (let index = 0; index < text.length; index += 1)
    if (text.charCodeAt(index) > 0x7f) return Buffer.from(text, 'utf8').toString('latin1');
  return text;
}

/** The first of the units that no character is: UTF-16 has them in pairs only. */
const SPARE = 0xd8_00;

/**
 * A code point. Those beyond 16 bits become units that no other character has: each one in the pattern one of its own,
 * and those between two of them one together, so that ranges mean the same.
 */
export function characterView(pattern: string): View {
  const known = [...new Set(pattern.match(/[\u{10000}-\u{10ffff}]/gu))]
    .map((text) => text.codePointAt(0) ?? 0)
    .toSorted((a, b) => a - b);
  const unitOf = (code: number): number => {
    const below = known.filter((one) => one < code).length;
    return SPARE + 2 * below + (known[below] === code ? 1 : 0);
  };
  return (text) =>
    text.replaceAll(/[\u{10000}-\u{10ffff}]|\p{Cs}/gu, (one) =>
      one.length === 2 ? String.fromCharCode(unitOf(one.codePointAt(0) ?? 0)) : '\ufffd',
    );
}
