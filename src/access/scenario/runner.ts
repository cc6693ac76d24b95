/** Runs scenarios against a policy, each in a world of its own, and tells file and line of what fails. */
import type { Policy } from '../policy.ts';
import type { Problem } from '../problem.ts';
import { parseScenarios, type Scenario, type Step } from './source.ts';
import { SCENARIO_STEPS, type Scene, type StepDefinition } from './steps.ts';
import { World } from './world.ts';

export interface ScenarioResult {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** The first step that did not hold; undefined: the scenario holds. */
  readonly failure?: Problem;
}

export interface ScenarioReport {
  readonly scenarios: readonly ScenarioResult[];
  /** What is wrong with the files themselves, and every failure, in order. */
  readonly problems: readonly Problem[];
}

/** @param texts path -> text of each scenario file. */
export function runScenarios(policy: Policy, texts: ReadonlyMap<string, string>): ScenarioReport {
  const scenarios: ScenarioResult[] = [];
  const problems: Problem[] = [];
  for (const [file, text] of texts) {
    const parsed = parseScenarios(text, file);
    problems.push(...parsed.problems);
    for (const scenario of parsed.scenarios) {
      const failure = runScenario(policy, scenario);
      const { name, line } = scenario;
      scenarios.push({ name, file, line, ...(failure === undefined ? {} : { failure }) });
      if (failure !== undefined) problems.push(failure);
    }
  }
  return { scenarios, problems };
}

/** FINALLY steps run even after a failure, which is what is told. */
function runScenario(policy: Policy, scenario: Scenario): Problem | undefined {
  const scene: Scene = { world: new World(), policy };
  let failure: Problem | undefined;
  for (const step of scenario.steps) {
    if (failure !== undefined && step.keyword !== 'FINALLY') continue;
    const why = runStep(scene, step);
    if (why !== undefined) failure ??= problemAt(scenario, step, why);
  }
  return failure;
}

function runStep(scene: Scene, step: Step): string | undefined {
  for (const known of SCENARIO_STEPS) {
    if (known.keyword !== step.keyword) continue;
    const found = known.pattern.exec(step.text);
    if (found === null) continue;
    const done = known.run(scene, found.slice(1));
    return done.kind === 'refused' ? done.reason : undefined;
  }
  const near = nearestStep(step);
  return `unknown step; the nearest one is: ${near.keyword} ${near.form}`;
}

function problemAt(scenario: Scenario, step: Step, why: string): Problem {
  const message = `scenario "${scenario.name}": ${why}`;
  return { file: step.file, line: step.line, message, text: step.written, carets: '', includedFrom: [] };
}

/** By the words they share, those of the step's own keyword first. */
function nearestStep(step: Step): StepDefinition {
  const words = new Set(step.text.split(' ').slice(0, 50));
  let best: StepDefinition | undefined;
  let bestScore = -1;
  for (const known of SCENARIO_STEPS) {
    const own = known.form.split(/[ |]/).filter((word) => word !== word.toUpperCase());
    const shared = own.filter((word) => words.has(word)).length;
    const score = (2 * shared) / (own.length + words.size) + (known.keyword === step.keyword ? 0.5 : 0);
    if (score > bestScore) [best, bestScore] = [known, score];
  }
  return best as StepDefinition;
}
