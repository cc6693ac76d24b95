/** A decision told to a person: the answer, then every rule tried, with file and line. */
import { principalLabel } from '../identity/principal.ts';
import type { Decision, Question, TraceStep } from './decision.ts';
import type { Explanation } from './policy.ts';
import { printable } from './problem.ts';

const MARKS = { matched: 'decides', 'passed-over': 'passed', error: 'fails' } as const satisfies Record<
  TraceStep['result'],
  string
>;

export function explainDecision(question: Question, decision: Decision, steps: readonly TraceStep[]): Explanation {
  const what = [
    principalLabel(question.principal),
    question.operation,
    ...(question.action === undefined ? [] : [`(${question.action})`]),
    ...(question.repository === undefined ? [] : [question.repository.name]),
    ...(question.ref === undefined ? [] : [question.ref.refname]),
  ].join(' ');
  const lines = [
    `${answerWord(decision)}: ${what}`,
    `because: ${decision.reason === '' ? '(no reason given)' : decision.reason}`,
  ];
  if (decision.rule !== undefined) lines.push(`rule: ${decision.rule}`);
  if (steps.length > 0) lines.push('', 'rules tried, in order:');
  for (const step of steps) lines.push(...stepLines(step));
  return { decision, steps, text: `${lines.map(printable).join('\n')}\n` };
}

/** `allowed`, `refused` or `held`. */
export function answerWord({ kind, hold }: Pick<Decision, 'kind' | 'hold'>): 'allowed' | 'refused' | 'held' {
  return kind === 'refused' && hold === true ? 'held' : kind;
}

function stepLines(step: TraceStep): string[] {
  const because = step.because === undefined ? '' : `: ${step.because}`;
  return [`  ${step.source}:${step.line}  ${MARKS[step.result]}${because}`, `      ${step.text}`];
}
