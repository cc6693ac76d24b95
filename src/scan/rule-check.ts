/** What must hold between the parts of a rule set: patterns compile, groups exist, ids are known. */
import type { RuleSet } from './rule-set.ts';

export interface Remarks {
  readonly problems: string[];
  readonly warnings: string[];
}

export function checkRuleSet(set: RuleSet, remarks: Remarks): void {
  if (set.rules.length === 0) remarks.problems.push('there is no rule');
}
