/** A whole policy looked at: its rules compiled, its scenarios run. The same at a push, a start and `policy check`. */
import { compileAnnexes, type PolicyAnnex } from './annex.ts';
import { compilePolicy, ruleFiles, scenarioSources, type PolicySources } from './compile.ts';
import type { Policy } from './policy.ts';
import { renderProblem, type Problem } from './problem.ts';
import { runScenarios, type ScenarioResult } from './scenario/runner.ts';

export interface PolicyCheck {
  /** Present where everything compiles and every scenario holds. */
  readonly policy?: Policy;
  /** Puts what stands beside the rules in force; present where `policy` is. */
  readonly adoptAnnexes?: () => void;
  readonly rules: readonly string[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly scenarios: readonly ScenarioResult[];
}

export function checkPolicy(sources: PolicySources, annexes: readonly PolicyAnnex[] = []): PolicyCheck {
  const rules = ruleFiles(sources);
  const compiled = compilePolicy(sources);
  const beside = compileAnnexes(annexes, sources);
  if (compiled.kind === 'wrong') {
    const problems = [...compiled.problems, ...beside.problems];
    return { rules, problems, warnings: beside.warnings, scenarios: [] };
  }
  const ran = runScenarios(compiled.policy, scenarioSources(sources));
  const problems = [...beside.problems, ...ran.problems];
  const warnings = [...compiled.warnings, ...beside.warnings];
  const { policy } = compiled;
  const { scenarios } = ran;
  if (problems.length > 0 || beside.adopt === undefined) return { rules, problems, warnings, scenarios };
  return { policy, adoptAnnexes: beside.adopt, rules, problems, warnings, scenarios };
}

const SHOWN_MAX = 10;

/** For the person who pushed. */
export function checkText(check: PolicyCheck): string {
  const { problems, warnings, scenarios, rules } = check;
  const shown = problems.slice(0, SHOWN_MAX).map(renderProblem);
  if (problems.length > SHOWN_MAX) shown.push(`and ${problems.length - SHOWN_MAX} more`);
  const noted = warnings.slice(0, SHOWN_MAX).map((warning) => `warning: ${renderProblem(warning)}`);
  const failed = scenarios.filter(({ failure }) => failure !== undefined).length;
  const summary =
    problems.length > 0
      ? 'policy refused; the one before stays in force'
      : `policy in order: ${rules.length} rule files, ${scenarios.length - failed} scenarios hold`;
  return `${[...shown, ...noted, summary].join('\n')}\n`;
}

/** For the `ng` line of the ref: one line. */
export function checkReason(check: PolicyCheck): string {
  const [first] = check.problems;
  if (first === undefined) return 'the policy is wrong';
  const [line = ''] = renderProblem(first).split('\n');
  return check.problems.length > 1 ? `${line} (and ${check.problems.length - 1} more)` : line;
}
