/**
 * A repository's own rules: Lace text that its owner wrote. It compiles alone, without the site's names
 * and without includes, and the site's rules say where it runs (`include? main`).
 */
import { Buffer } from 'node:buffer';
import { BOUNDS } from '../base/bounds.ts';
import { OWN_RULES_STATES_MAX } from './gitano/pattern-store.ts';
import { createGitanoHost, type Mentions } from './gitano/host.ts';
import type { Asked } from './gitano/asked.ts';
import { compileLace } from './lace/compiler.ts';
import type { LaceError } from './lace/error.ts';
import type { Program } from './lace/language.ts';
import { problemOf, type Problem } from './problem.ts';

/** The file name shown for them. */
export const OWN_RULES = 'own rules';

const INCLUDES_NOTHING = { kind: 'missing', message: "a repository's own rules include nothing" } as const;

const LIMITS = { rulesMax: 2_000, includesMax: 1 } as const;

export type OwnRules =
  | { readonly kind: 'ok'; readonly program: Program<Asked>; readonly mentions: Readonly<Mentions> }
  | { readonly kind: 'wrong'; readonly error: LaceError };

/** For the command that sets them: undefined where they compile. */
export function checkRepositoryRules(text: string): Problem | undefined {
  const compiled = compileOwnRules(text);
  return compiled.kind === 'ok' ? undefined : problemOf(compiled.error);
}

export function compileOwnRules(text: string): OwnRules {
  if (Buffer.byteLength(text) > BOUNDS.repositoryRulesBytesMax) {
    const message = `own rules have at most ${BOUNDS.repositoryRulesBytesMax} bytes`;
    return {
      kind: 'wrong',
      error: { message, frames: [], place: { source: OWN_RULES, line: 0, text: '', marked: [] } },
    };
  }
  const host = createGitanoHost(() => INCLUDES_NOTHING, OWN_RULES_STATES_MAX);
  const compiled = compileLace(host, OWN_RULES, { text, limits: LIMITS, asIncluded: true });
  return compiled.kind === 'ok' ? { kind: 'ok', program: compiled.program, mentions: host.mentions } : compiled;
}

/** Compiled rules by their text; the oldest make room. */
export class OwnRulesCache {
  readonly #byText = new Map<string, OwnRules>();
  #chars = 0;

  get(text: string): OwnRules {
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const compiled = compileOwnRules(text);
    this.#byText.set(text, compiled);
    this.#chars += text.length;
    for (const oldest of this.#byText.keys()) {
      if (this.#byText.size <= BOUNDS.ownRulesCompiledMax && this.#chars <= BOUNDS.ownRulesCompiledCharsMax) break;
      this.#byText.delete(oldest);
      this.#chars -= oldest.length;
    }
    return compiled;
  }
}
