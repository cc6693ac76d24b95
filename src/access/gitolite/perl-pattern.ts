/**
 * Perl regular expressions as conf files hold them, matched by the automata of `pattern/`: byte by byte, as gitolite
 * does. What no automaton can do is refused when the conf compiles.
 */
import type { Meter } from '../meter.ts';
import { buildPattern } from '../pattern/nfa.ts';
import { parseRegex } from '../pattern/regex.ts';

export interface PerlPattern {
  /** Whether it matches anywhere in `text`. False where the meter is spent: look at `meter.isSpent`. */
  find(text: string, meter: Meter): boolean;
  /** States kept in memory. */
  readonly size: number;
}

export type CompiledPerl =
  | { readonly kind: 'ok'; readonly pattern: PerlPattern }
  | { readonly kind: 'wrong'; readonly message: string };

/** @param text the whole expression, anchors included, as Perl would get it. */
export function compilePerl(text: string): CompiledPerl {
  const plain = plainPattern(text);
  if (plain !== undefined) return { kind: 'ok', pattern: plain };
  const built = buildPattern(parseRegex(text, { dialect: 'perl', isBytes: true }));
  if (built.kind === 'wrong') return built;
  const { automaton } = built;
  return { kind: 'ok', pattern: { find: (subject, meter) => automaton.find(subject, meter), size: automaton.size } };
}

/** `^refs/heads/main$`, `^refs/heads/team/`, `^refs/.*`: most refexes are one of these and need no automaton. */
function plainPattern(text: string): PerlPattern | undefined {
  const [, literal, end] = /^\^([-0-9a-zA-Z_@/]*)(\$|\.\*)?$/.exec(text) ?? [];
  if (literal === undefined) return undefined;
  if (end === '$') return { find: (subject) => subject === literal || subject === `${literal}\n`, size: 1 };
  return { find: (subject) => subject.startsWith(literal), size: 1 };
}
