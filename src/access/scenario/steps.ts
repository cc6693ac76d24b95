/**
 * The vocabulary of policy scenarios: every step there is, with its form as docs/scenarios.md lists it.
 * A step changes the scenario's world, asks the policy, or checks the answer; it answers why not.
 */
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { answerWord } from '../explain.ts';
import { checkRepositoryRules } from '../own-rules.ts';
import type { Policy } from '../policy.ts';
import { renderProblem } from '../problem.ts';
import { questionsOf } from './questions.ts';
import { listOf, type StepKeyword } from './source.ts';
import { ADMINISTRATORS, type World } from './world.ts';

export interface StepDefinition {
  readonly keyword: StepKeyword;
  /** As documented; words in capitals stand for something. */
  readonly form: string;
  readonly pattern: RegExp;
  run(scene: Scene, parts: readonly string[]): Parsed<true>;
}

export interface Scene {
  readonly world: World;
  readonly policy: Policy;
}

type Run = StepDefinition['run'];

function step(keyword: StepKeyword, form: string, pattern: RegExp, run: Run): StepDefinition {
  return { keyword, form, pattern, run };
}

function forEach(names: readonly string[], run: (name: string) => Parsed<true>): Parsed<true> {
  for (const name of names) {
    const done = run(name);
    if (done.kind === 'refused') return done;
  }
  return ok(true);
}

const NAMES = String.raw`(\S+(?:(?:, (?:and )?| and )\S+)*)`;

const GIVEN: readonly StepDefinition[] = [
  step('GIVEN', 'a user NAME', /^a user (\S+)$/, ({ world }, [name = '']) => world.addUser(name, 'person')),
  step('GIVEN', 'users NAME, NAME and NAME', new RegExp(`^users ${NAMES}$`), ({ world }, [names = '']) =>
    forEach(listOf(names), (name) => world.addUser(name, 'person')),
  ),
  step('GIVEN', 'a CI account NAME', /^a CI account (\S+)$/, ({ world }, [name = '']) => world.addUser(name, 'ci')),
  step('GIVEN', 'a group GROUP', /^a group (\S+)$/, ({ world }, [name = '']) => world.addGroup(name)),
  step('GIVEN', 'groups GROUP, GROUP and GROUP', new RegExp(`^groups ${NAMES}$`), ({ world }, [names = '']) =>
    forEach(listOf(names), (name) => world.addGroup(name)),
  ),
  step(
    'GIVEN',
    'the group GROUP is in GROUP',
    /^the group (\S+) is in (\S+)$/,
    ({ world }, [member = '', group = '']) => world.join('group', member, group),
  ),
  step('GIVEN', 'NAME is an administrator', /^(\S+) is an administrator$/, ({ world }, [name = '']) =>
    world.join('user', name, ADMINISTRATORS),
  ),
  step('GIVEN', 'NAME is in GROUP', /^(\S+) is in (\S+)$/, ({ world }, [name = '', group = '']) =>
    world.join('user', name, group),
  ),
  step(
    'GIVEN',
    'NAME, NAME and NAME are in GROUP',
    new RegExp(`^${NAMES} are in (\\S+)$`),
    ({ world }, [names = '', group = '']) => forEach(listOf(names), (name) => world.join('user', name, group)),
  ),
  step(
    'GIVEN',
    'a repository REPO owned by NAME',
    /^a repository (\S+) owned by (\S+)$/,
    ({ world }, [name = '', owner = '']) => world.addRepository(name, owner),
  ),
  step(
    'GIVEN',
    'REPO has readers|writers|guests GROUP, GROUP and GROUP',
    new RegExp(`^(\\S+) has (readers|writers|guests) ${NAMES}$`),
    ({ world }, [name = '', key = '', names = '']) => {
      const groups = listOf(names);
      const known = forEach(groups, (group) => world.hasGroup(group));
      return known.kind === 'refused' ? known : world.set(name, key, groups);
    },
  ),
  step('GIVEN', 'REPO is public', /^(\S+) is public$/, ({ world }, [name = '']) => world.set(name, 'public', 'yes')),
  step('GIVEN', 'REPO is not public', /^(\S+) is not public$/, ({ world }, [name = '']) =>
    world.set(name, 'public', 'no'),
  ),
  step(
    'GIVEN',
    'REPO has KEY set to VALUE',
    /^(\S+) has (\S+) set to (.+)$/,
    ({ world }, [name = '', key = '', value = '']) => world.set(name, key, value),
  ),
  step('GIVEN', 'REPO has the rule RULE', /^(\S+) has the rule (.+)$/, ({ world }, [name = '', rule = '']) =>
    world.changeRepository(name, (repository) => ({ ...repository, rules: `${repository.rules ?? ''}${rule}\n` })),
  ),
];

/** WHO asks, with what may stand behind: a transport, changed paths. */
function asking(form: string, pattern: RegExp): StepDefinition {
  return step('WHEN', form, pattern, ({ world, policy }, parts) => {
    const questions = questionsOf(world, form, parts);
    if (questions.kind === 'refused') return questions;
    const rules = questions.value[0]?.repository?.rules;
    const problem = rules === undefined ? undefined : checkRepositoryRules(rules);
    if (problem !== undefined) return refuse(`the repository's rules do not compile: ${renderProblem(problem)}`);
    for (const question of questions.value) {
      world.answer = policy.decide(question);
      if (world.answer.kind === 'refused') break;
    }
    return ok(true);
  });
}

const WHO = String.raw`^(\S+?)(?: acting as (\S+))?`;
const TAIL = String.raw`(?: over (ssh|http|git|local))?(?:,? (adding|changing|deleting) (.+))?$`;
const asks = (form: string, middle: string): StepDefinition =>
  asking(`WHO ${form}`, new RegExp(`${WHO} ${middle}${TAIL}`));

const WHEN: readonly StepDefinition[] = [
  asks('clones REPO', String.raw`clones (\S+?)()`),
  asks('fetches from REPO', String.raw`fetches from (\S+?)()`),
  asks('reads REF of REPO', String.raw`reads (\S+) of (\S+?)`),
  asks('pushes to REPO', String.raw`pushes to (\S+?)()`),
  asks('pushes a new branch REF to REPO', String.raw`pushes a new branch (\S+) to (\S+?)`),
  asks('pushes a new tag REF to REPO', String.raw`pushes a new tag (\S+) to (\S+?)`),
  asks('pushes a new ref REF to REPO', String.raw`pushes a new ref (\S+) to (\S+?)`),
  asks('pushes REF to REPO', String.raw`pushes (\S+) to (\S+?)`),
  asks('force-pushes REF to REPO', String.raw`force-pushes (\S+) to (\S+?)`),
  asks('deletes REF from REPO', String.raw`deletes (\S+) from (\S+?)`),
  asks('creates the repository REPO', String.raw`creates the repository (\S+?)()`),
  asks('creates the repository REPO for NAME', String.raw`creates the repository (\S+) for (\S+?)`),
  asks('destroys REPO', String.raw`destroys (\S+?)()`),
  asks('renames REPO to NEW', String.raw`renames (\S+) to (\S+?)`),
  asks('approves a push of REF to REPO', String.raw`approves a push of (\S+) to (\S+?)`),
  asks('configures REPO', String.raw`configures (\S+?)()`),
  asks('runs ACTION', String.raw`runs (\S+?)()`),
  asks('runs ACTION for NAME', String.raw`runs (\S+) for (\S+?)`),
];

const THEN: readonly StepDefinition[] = [
  step('THEN', 'it is allowed', /^it is allowed$/, ({ world }) => {
    if (world.answer === undefined) return refuse('nothing was asked before: a WHEN is missing');
    return world.answer.kind === 'allowed'
      ? ok(true)
      : refuse(`it is ${answerWord(world.answer)}: ${world.answer.reason}`);
  }),
  step('THEN', 'it is refused', /^it is refused$/, ({ world }) => refusedSaying(world, '')),
  step('THEN', 'it is refused, saying "TEXT"', /^it is refused, saying "(.*)"$/, ({ world }, [text = '']) =>
    refusedSaying(world, text),
  ),
  step('THEN', 'it is held', /^it is held$/, ({ world }) => heldSaying(world, '')),
  step('THEN', 'it is held, saying "TEXT"', /^it is held, saying "(.*)"$/, ({ world }, [text = '']) =>
    heldSaying(world, text),
  ),
  step('THEN', 'it is refused by FILE', /^it is refused by (\S+)$/, ({ world }, [file = '']) => {
    const found = refusedSaying(world, '');
    if (found.kind === 'refused') return found;
    const rule = world.answer?.rule ?? 'no rule';
    return rule.startsWith(`${file}:`) ? ok(true) : refuse(`it is refused by ${rule}`);
  }),
];

function refusedSaying({ answer }: World, text: string): Parsed<true> {
  if (answer === undefined) return refuse('nothing was asked before: a WHEN is missing');
  if (answer.kind === 'allowed') return refuse(`it is allowed by ${answer.rule ?? 'the default'}: ${answer.reason}`);
  if (answer.hold === true) return refuse(`it is held, not refused: ${answer.reason}`);
  return answer.reason.includes(text) ? ok(true) : refuse(`it is refused, but saying "${answer.reason}"`);
}

function heldSaying({ answer }: World, text: string): Parsed<true> {
  if (answer === undefined) return refuse('nothing was asked before: a WHEN is missing');
  if (answer.hold !== true) return refuse(`it is ${answer.kind}, not held: ${answer.reason}`);
  return answer.reason.includes(text) ? ok(true) : refuse(`it is held, but saying "${answer.reason}"`);
}

const FINALLY: readonly StepDefinition[] = (['user', 'group', 'repository'] as const).map((kind) =>
  step('FINALLY', `the ${kind} NAME is gone`, new RegExp(`^the ${kind} (\\S+) is gone$`), ({ world }, [name = '']) =>
    world.remove(kind, name),
  ),
);

export const SCENARIO_STEPS: readonly StepDefinition[] = [...GIVEN, ...WHEN, ...THEN, ...FINALLY];
