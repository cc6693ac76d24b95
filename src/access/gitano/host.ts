/**
 * Lace as Gitano uses it: variables as match types, `include?`, and a loader of the site's files.
 * `global:NAME` is `rules/NAME.lace`; the bare name `main` is the repository's own rules.
 */
import type { Host, Loaded } from '../lace/language.ts';
import type { Asked } from './asked.ts';
import { matchTypeOf, type Mention } from './match-types.ts';
import { PatternStore } from './pattern-store.ts';
import { variableOf } from './variables.ts';
import { READ_REF } from './asked.ts';

/** What some rule asks about; it decides what must be found out before a decision. */
export interface Mentions {
  paths: boolean;
  refReads: boolean;
}

export interface GitanoHost extends Host<Asked> {
  readonly mentions: Readonly<Mentions>;
}

export function createGitanoHost(load: (name: string) => Loaded<Asked>, patternStatesMax: number): GitanoHost {
  const patterns = new PatternStore(patternStatesMax);
  const mentions: Mentions = { paths: false, refReads: false };
  const mention = ({ variable, value, inValue }: Mention): void => {
    if ([variable, ...inValue].some((name) => variableOf(name)?.isAboutPaths === true)) mentions.paths = true;
    if (variable === 'operation' && value.includes(READ_REF)) mentions.refReads = true;
  };
  return {
    mentions,
    load,
    matchType(name) {
      const variable = variableOf(name);
      return variable === undefined ? undefined : matchTypeOf(variable, { patterns, mention });
    },
    // Neither word is Lace's own: rules that know nothing of them read as they always did.
    command: (name) => (name === 'include?' || name === 'hold' ? name : undefined),
  };
}
