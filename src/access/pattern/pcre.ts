/** PCRE (`VAR PCRE P` of Lace, patterns of checks), as far as an automaton can match it. */
import type { PatternNode } from './nfa.ts';
import { parseRegex } from './regex.ts';

/** @param isBytes a character is a byte of UTF-8, as Lua has it, and not what is written. */
export function parsePcre(text: string, { isBytes = false }: { readonly isBytes?: boolean } = {}): PatternNode {
  return parseRegex(text, { dialect: 'pcre', isBytes });
}

/** Text that a pattern takes literally. */
export function quotePcre(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9\u0080-\uffff]/g, (c) => `\\x{${c.charCodeAt(0).toString(16)}}`);
}
