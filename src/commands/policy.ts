/** `policy ...`: does the policy compile, and do its scenarios hold. */
import { isAbsolute } from 'node:path';
import { done, type Answer, type Call, type SiteCommand } from './command.ts';

/** A policy looked at: what is wrong with it, and how its scenarios ended. */
export interface PolicyReport {
  /** `gatehouse-admin at 1234abcd`, `/srv/policy`. */
  readonly source: string;
  readonly rules: readonly string[];
  /** Each a few lines: file, line, message, the line itself and carets. Empty: it compiles. */
  readonly problems: readonly string[];
  readonly scenarios: readonly { readonly name: string; readonly passed: boolean; readonly failure?: string }[];
}

/** What the commands ask about policies; `house.ts` answers with the access floor. */
export interface PolicyDesk {
  /** The policy that decides now. */
  active(): Promise<PolicyReport>;
  /** The policy in a directory with `rules/` and `scenarios/`. */
  inDirectory(path: string): Promise<PolicyReport>;
  /** What is wrong with a repository's own rules; empty: nothing. */
  problemsOfOwnRules(text: string): readonly string[];
}

export const POLICY_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'policy check [DIR]',
    summary: 'Compile a policy and run its scenarios, without putting it in force',
    details: [
      'Without DIR the policy in force, as it stands in gatehouse-admin. With DIR (on the local command line only) the files rules/*.lace, scenarios/*.yarn, conf/ and oidc/, secrets/ and checks/*.toml below it: check a working tree before you push it.',
      'Exit 1 where it does not compile or a scenario fails.',
    ],
    examples: ['policy check', 'policy check .'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'policy_check' },
    async run(call) {
      const directory = call.args.optional('DIR');
      if (directory === undefined) return checked(await call.parts.policyDesk.active());
      if (call.origin.transport !== 'local')
        return { kind: 'usage', reason: 'DIR is for the local command line: push to see the same over SSH' };
      if (!isAbsolute(directory)) return { kind: 'usage', reason: 'DIR has to be absolute here' };
      return checked(await call.parts.policyDesk.inDirectory(directory));
    },
  },
  {
    form: 'policy scenarios',
    summary: 'Run the scenarios of the policy in force, one line each',
    examples: ['policy scenarios'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'policy_scenarios' },
    run: scenarios,
  },
];

function checked(report: PolicyReport): Answer {
  const failed = report.scenarios.filter((scenario) => !scenario.passed);
  const good = report.problems.length === 0 && failed.length === 0;
  const lines = [
    ...report.problems,
    ...failed.map(
      (scenario) => `scenario failed: ${scenario.name}${scenario.failure === undefined ? '' : `\n${scenario.failure}`}`,
    ),
    `${report.source}: ${report.problems.length === 0 ? `${report.rules.length} rule files compile` : 'does not compile'}, ${report.scenarios.length - failed.length} of ${report.scenarios.length} scenarios hold`,
  ];
  return { kind: 'done', json: reportJson(report), text: `${lines.join('\n')}\n`, exit: good ? 0 : 1 };
}

function reportJson(report: PolicyReport): {
  readonly source: string;
  readonly rules: readonly string[];
  readonly problems: readonly string[];
  readonly scenarios: readonly { readonly name: string; readonly passed: boolean; readonly failure: string | null }[];
} {
  const { source, rules, problems } = report;
  const scenarios = report.scenarios.map(({ name, passed, failure }) => ({ name, passed, failure: failure ?? null }));
  return { source, rules, problems, scenarios };
}

async function scenarios(call: Call): Promise<Answer> {
  const report = await call.parts.policyDesk.active();
  const lines = report.scenarios.map(({ name, passed, failure }) => {
    return `${passed ? 'holds ' : 'FAILED'}  ${name}${failure === undefined ? '' : `\n${failure}`}\n`;
  });
  const exit = report.problems.length === 0 && report.scenarios.every((scenario) => scenario.passed) ? 0 : 1;
  const answer = done(reportJson(report), lines.length > 0 ? lines.join('') : 'there are no scenarios\n');
  return answer.kind === 'done' ? { ...answer, exit } : answer;
}
