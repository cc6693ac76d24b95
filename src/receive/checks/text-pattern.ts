/** Patterns for messages and refnames: PCRE without what needs backtracking, matched in time linear in the text. */
import { Meter } from '../../access/meter.ts';
import { buildPattern } from '../../access/pattern/nfa.ts';
import { parsePcre, quotePcre } from '../../access/pattern/pcre.ts';
import { ok, refuse, type Parsed } from '../../base/fault.ts';

export interface TextPattern {
  /** As written. */
  readonly text: string;
  /** Whether it matches anywhere; undefined: finding out takes too long. */
  find(subject: string): boolean | undefined;
}

/** Some 100 ms. */
const STEPS_MAX = 2_000_000;

export function compileTextPattern(text: string): Parsed<TextPattern> {
  return compile(text, text);
}

/** The word by itself, in any case. */
export function compileWord(word: string): Parsed<TextPattern> {
  const edge = (char: string | undefined): string => (char !== undefined && /\w/.test(char) ? '\\b' : '');
  return compile(word, `(?i)${edge(word[0])}${quotePcre(word)}${edge(word.at(-1))}`);
}

function compile(text: string, pattern: string): Parsed<TextPattern> {
  const built = buildPattern(parsePcre(pattern));
  if (built.kind === 'wrong') return refuse(built.message);
  return ok({
    text,
    find(subject) {
      const meter = new Meter(STEPS_MAX);
      const found = built.automaton.find(subject, meter);
      return meter.isSpent ? undefined : found;
    },
  });
}
