/**
 * The shapes that the compiler makes and the runner walks, and what a host brings: match types, commands
 * and a loader. `C` is the host's context: what a match looks at when a question is asked.
 */
import type { LaceError } from './error.ts';
import type { LexedSource } from './lexer.ts';

/** A run-time error of a match; words count from 1, the type word. */
export interface MatchFailure {
  readonly message: string;
  readonly words: readonly number[];
}

export type Test<C> = (context: C) => boolean | MatchFailure;

/** Why a match or a command does not compile; words count from its own first word. */
export interface Wrong {
  readonly kind: 'wrong';
  readonly message: string;
  readonly words: readonly number[];
}

export function wrong(message: string, words: readonly number[]): Wrong {
  return { kind: 'wrong', message, words };
}

/** A match type of the host. `words[0]` is the type word itself. */
export type MatchType<C> = (words: readonly string[]) => { readonly kind: 'test'; readonly test: Test<C> } | Wrong;

/** What `include NAME` finds. `late`: which rules these are is known only when a question is asked. */
export type Loaded<C> =
  | { readonly kind: 'text'; readonly name: string; readonly text: string }
  | { readonly kind: 'missing'; readonly message: string }
  | { readonly kind: 'late'; readonly resolve: (context: C) => Program<C> | LaceError | undefined };

/** Commands that the language itself knows; a host may add names for them or switch them off. */
export const LACE_COMMANDS = ['allow', 'deny', 'default', 'define', 'def', 'include'] as const;
export type LaceCommand = (typeof LACE_COMMANDS)[number] | 'include?' | 'hold';

/** What a rule may answer. `hold` is ours, and known only where the host knows the command. */
export type LaceResult = 'allow' | 'deny' | 'hold';

export interface Host<C> {
  readonly matchType: (name: string) => MatchType<C> | undefined;
  readonly load: (name: string) => Loaded<C>;
  /** Further names of built-in commands (`include?`, `hold`), and `disabled` ones. Asked first. */
  readonly command?: (name: string) => LaceCommand | 'disabled' | undefined;
}

/** A name, or its opposite. */
export interface Condition {
  readonly slot: number;
  readonly isNegated: boolean;
}

/** What a name stands for. */
export type Match<C> =
  | { readonly kind: 'test'; readonly test: Test<C> }
  | { readonly kind: 'anyof' | 'allof'; readonly conditions: readonly Condition[] };

interface Located {
  readonly source: LexedSource;
  readonly line: number;
}

export interface DefineRule<C> extends Located {
  readonly kind: 'define';
  readonly slot: number;
  readonly match: Match<C>;
  /** Made from brackets: words of its errors count within the brackets. */
  readonly isAnonymous: boolean;
}

export interface ResultRule extends Located {
  readonly kind: 'result';
  readonly result: LaceResult;
  readonly reason: string;
  readonly conditions: readonly Condition[];
  /** From a `default` statement, or added at the end. */
  readonly isDefault: boolean;
}

export interface IncludeRule<C> extends Located {
  readonly kind: 'include';
  readonly conditions: readonly Condition[];
  readonly rules: readonly Rule<C>[] | ((context: C) => Program<C> | LaceError | undefined);
}

export type Rule<C> = DefineRule<C> | ResultRule | IncludeRule<C>;

export interface Program<C> {
  readonly rules: readonly Rule<C>[];
  /** By slot: the name as written, or the brackets. */
  readonly names: readonly string[];
  /** Lexer warnings and where. */
  readonly warnings: readonly { readonly source: LexedSource; readonly line: number; readonly message: string }[];
}
