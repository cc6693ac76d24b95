/** `secrets/*.toml` of the policy repository, as an annex of the policy: refused with it, put in force with it. */
import type { PolicyAnnex } from '../access/annex.ts';
import { fileProblem, type Problem } from '../access/problem.ts';
import { combineRules, isSecretRulePath } from './rules-in-force.ts';
import type { RuleSet } from './rule-set.ts';

/** `files`: the site's own, in the order in which they were read. */
export interface RulesInForce {
  readonly rules: RuleSet;
  readonly files: readonly string[];
}

export interface RuleAnnexParts {
  /** Asked for where the site has rules of its own. */
  readonly defaults: () => RuleSet;
  /** Undefined: the default rules, as they are. */
  readonly adopt: (inForce: RulesInForce | undefined) => void;
}

export function createRuleAnnex({ defaults, adopt }: RuleAnnexParts): PolicyAnnex {
  return {
    name: 'rules of the secret scan',
    owns: isSecretRulePath,
    compile(sources) {
      const files = [...sources.keys()].filter(isSecretRulePath).sort();
      if (files.length === 0) return { kind: 'ok', adopt: () => adopt(undefined), warnings: [] };
      const combined = combineRules(defaults(), sources);
      if (combined.kind === 'refused') return { kind: 'wrong', problems: combined.reason.split('\n').map(problemOf) };
      const rules = combined.value;
      return { kind: 'ok', adopt: () => adopt({ rules, files }), warnings: rules.warnings.map(problemOf) };
    },
  };
}

/** `secrets/site.toml:3:7: what is wrong`. */
function problemOf(line: string): Problem {
  const match = /^(secrets\/[^:]+)(?::(\d+):\d+)?: ([^]*)$/.exec(line);
  const [, file = 'secrets/', at, message = line] = match ?? [];
  return { ...fileProblem(file, message), line: at === undefined ? 0 : Number(at) };
}
