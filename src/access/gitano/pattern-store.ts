/**
 * The automata of one ruleset, under one bound: a repository's owner may write many patterns, and each may
 * be large. Patterns with variables inside are built when their values are known and kept for a while.
 */
import { parseLuaPattern, quoteLua } from '../pattern/lua-pattern.ts';
import type { Automaton } from '../pattern/automaton.ts';
import { buildPattern, type Pattern } from '../pattern/nfa.ts';
import { parsePcre, quotePcre } from '../pattern/pcre.ts';

export type PatternKind = 'pattern' | 'pcre';

const KINDS = {
  pattern: { parse: parseLuaPattern, quote: quoteLua },
  pcre: { parse: (text: string) => parsePcre(text, { isBytes: true }), quote: quotePcre },
} as const;

/** States of all patterns together: some 40 bytes each. */
export const SITE_STATES_MAX = 400_000;
export const OWN_RULES_STATES_MAX = 8_000;

export class PatternStore {
  readonly #statesMax: number;
  readonly #remembered = new Map<string, Automaton | undefined>();
  #fixedStates = 0;
  #rememberedStates = 0;

  constructor(statesMax: number) {
    this.#statesMax = statesMax;
  }

  /** A pattern that stays as long as the rules do. */
  fixed(kind: PatternKind, text: string): Pattern {
    const built = buildPattern(KINDS[kind].parse(text));
    if (built.kind === 'wrong') return built;
    this.#fixedStates += built.automaton.size;
    return this.#fixedStates > this.#statesMax
      ? { kind: 'wrong', message: 'the patterns of these rules are too large together' }
      : built;
  }

  /** A pattern with values in it; undefined: too large. */
  expanded(kind: PatternKind, text: string): Automaton | undefined {
    const key = `${kind} ${text}`;
    if (this.#remembered.has(key)) return this.#remembered.get(key);
    const built = buildPattern(KINDS[kind].parse(text));
    const automaton = built.kind === 'ok' ? built.automaton : undefined;
    this.#rememberedStates += automaton?.size ?? 1;
    if (this.#rememberedStates > this.#statesMax) {
      this.#remembered.clear();
      this.#rememberedStates = automaton?.size ?? 1;
    }
    this.#remembered.set(key, automaton);
    return automaton;
  }

  /** Text that a pattern of this kind takes literally. */
  quote(kind: PatternKind): (text: string) => string {
    return KINDS[kind].quote;
  }
}
