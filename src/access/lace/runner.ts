/**
 * Runs a compiled program for one question: rules in order, the first allow or deny whose conditions all
 * hold ends it. A name's value is found once a run, so a run's cost is bounded by the program's size. An
 * error ends the run and is a value, never thrown.
 */
import { linesOf, offsetWords, wordWithin, type LaceError, type Word, type Words } from './error.ts';
import type { Condition, DefineRule, IncludeRule, Match, Program, ResultRule, Rule } from './language.ts';
import { LACE_LIMITS } from './limits.ts';

export type RunResult =
  | { readonly kind: 'decided'; readonly rule: ResultRule }
  | { readonly kind: 'undecided' }
  | { readonly kind: 'error'; readonly error: LaceError };

/** Told of every rule with a condition or a result that was looked at. */
export interface Tracer {
  /** @param because the condition that did not hold, or undefined where all held. */
  step(rule: ResultRule | IncludeRule<never>, result: 'matched' | 'passed-over' | 'error', because?: string): void;
}

export function runLace<C>(program: Program<C>, context: C, tracer?: Tracer): RunResult {
  const idle = IDLE.get(program) as Run<C> | undefined;
  if (idle !== undefined) IDLE.delete(program);
  const run = idle ?? new Run(program);
  const result = run.answer(context, tracer);
  IDLE.set(program, run as Run<unknown>);
  return result;
}

/** A finished run of each program, used again: deciding makes as little garbage as it can. */
const IDLE = new WeakMap<object, Run<unknown>>();

const UNDECIDED: RunResult = { kind: 'undecided' };

// What is known of a name: nothing bound; bound; its value; being found out.
const UNBOUND = 0;
const BOUND = 1;
const TRUE = 2;
const FALSE = 3;
const OPEN = 4;

class Run<C> {
  readonly #program: Program<C>;
  readonly #state: Uint8Array;
  readonly #bound: (DefineRule<C> | undefined)[];
  #context: C | undefined;
  #tracer: Tracer | undefined;
  /** Guilty words, from the condition that failed outwards. */
  #failure: { readonly message: string; readonly words: Words } | undefined;
  #depth = 0;

  constructor(program: Program<C>) {
    this.#program = program;
    this.#state = new Uint8Array(program.names.length);
    this.#bound = program.names.map(() => undefined);
  }

  answer(context: C, tracer: Tracer | undefined): RunResult {
    this.#state.fill(UNBOUND);
    this.#context = context;
    this.#tracer = tracer;
    this.#failure = undefined;
    this.#depth = 0;
    const result = this.#rules(this.#program.rules);
    this.#context = undefined;
    this.#tracer = undefined;
    return result;
  }

  #rules(rules: readonly Rule<C>[]): RunResult {
    for (const rule of rules) {
      if (rule.kind === 'define') {
        if (this.#state[rule.slot] !== UNBOUND) return this.#redefined(rule);
        this.#state[rule.slot] = BOUND;
        this.#bound[rule.slot] = rule;
        continue;
      }
      const missed = this.#firstMiss(rule.conditions, false);
      if (missed === FAILED) return this.#failed(rule);
      if (missed !== ALL_HOLD) {
        if (this.#tracer !== undefined) this.#traceMiss(rule, missed);
        continue;
      }
      if (rule.kind === 'result') {
        this.#tracer?.step(rule, 'matched', this.#describe(rule.conditions));
        return { kind: 'decided', rule };
      }
      const result = this.#include(rule);
      if (result.kind !== 'undecided') return result;
    }
    return UNDECIDED;
  }

  #include(rule: IncludeRule<C>): RunResult {
    if (typeof rule.rules !== 'function') {
      const result = this.#rules(rule.rules);
      return result.kind === 'error' ? { kind: 'error', error: blameInclude(result.error, rule) } : result;
    }
    const late = rule.rules(this.#context as C);
    if (late === undefined) return UNDECIDED;
    if ('message' in late) return { kind: 'error', error: late };
    return runLace(late, this.#context as C, this.#tracer);
  }

  /** The index of the first condition that does not hold; anyof looks at all and wants one that does. */
  #firstMiss(conditions: readonly Condition[], isAnyof: boolean): number {
    let isOneMet = false;
    for (let index = 0; index < conditions.length; index += 1) {
      const condition = conditions[index] as Condition;
      const value = this.#valueOf(condition.slot);
      if (value === undefined) {
        const failure = this.#failure;
        if (failure !== undefined)
          this.#failure = { ...failure, words: { list: [wordWithin(index + 1, failure.words)] } };
        return FAILED;
      }
      if (value === condition.isNegated) {
        if (!isAnyof) return index;
      } else {
        isOneMet = true;
      }
    }
    return isAnyof && !isOneMet ? 0 : ALL_HOLD;
  }

  /** undefined: it cannot be told, and `#failure` says why. */
  #valueOf(slot: number): boolean | undefined {
    switch (this.#state[slot] ?? UNBOUND) {
      case TRUE:
        return true;
      case FALSE:
        return false;
      case BOUND:
        return this.#findValue(slot);
      case OPEN:
        return this.#fail(`Circular definition: ${this.#program.names[slot] ?? '?'}`, [1]);
      default:
        return this.#fail(`Unknown definition: ${this.#program.names[slot] ?? '?'}`, [1]);
    }
  }

  #findValue(slot: number): boolean | undefined {
    const rule = this.#bound[slot] as DefineRule<C>;
    if (this.#depth > LACE_LIMITS.definitionDepthMax) return this.#fail('Definitions nest too deep', [1]);
    this.#state[slot] = OPEN;
    this.#depth += 1;
    const value = this.#matches(rule.match);
    this.#depth -= 1;
    if (value === undefined) {
      const failure = this.#failure;
      // The words of a named definition stand behind `define NAME`; those of brackets are counted within.
      const words = offsetWords(failure?.words ?? { list: [] }, rule.isAnonymous ? 0 : 2);
      if (failure !== undefined)
        this.#failure = { ...failure, words: { ...words, source: rule.source, line: rule.line } };
      return undefined;
    }
    this.#state[slot] = value ? TRUE : FALSE;
    return value;
  }

  #matches(match: Match<C>): boolean | undefined {
    if (match.kind === 'test') {
      const value = match.test(this.#context as C);
      return typeof value === 'boolean' ? value : this.#fail(value.message, value.words);
    }
    const missed = this.#firstMiss(match.conditions, match.kind === 'anyof');
    if (missed !== FAILED) return missed === ALL_HOLD;
    const failure = this.#failure;
    if (failure !== undefined) this.#failure = { ...failure, words: offsetWords(failure.words, 1) };
    return undefined;
  }

  #fail(message: string, words: readonly Word[]): undefined {
    this.#failure = { message, words: { list: words } };
    return undefined;
  }

  #failed(rule: ResultRule | IncludeRule<C>): RunResult {
    const failure = this.#failure ?? { message: 'Unknown failure', words: { list: [] } };
    this.#tracer?.step(rule, 'error', failure.message);
    return this.#error(failure.message, offsetWords(failure.words, 2), rule);
  }

  #redefined(rule: DefineRule<C>): RunResult {
    return this.#error(`Attempted to redefine ${this.#program.names[rule.slot] ?? '?'}`, { list: [2] }, rule);
  }

  #error(message: string, words: Words, rule: Rule<C>): RunResult {
    const placed: Words = { list: words.list, source: rule.source, line: rule.line };
    const [shown] = linesOf(placed);
    const place = shown ?? { source: rule.source.name, line: rule.line, text: '', marked: [] };
    return { kind: 'error', error: { message, frames: [{ words: placed }], place } };
  }

  #traceMiss(rule: ResultRule | IncludeRule<C>, missed: number): void {
    const condition = rule.conditions[missed];
    const name = condition === undefined ? '?' : (this.#program.names[condition.slot] ?? '?');
    this.#tracer?.step(rule, 'passed-over', `${name} is ${condition?.isNegated === true ? 'true' : 'false'}`);
  }

  #describe(conditions: readonly Condition[]): string | undefined {
    if (conditions.length === 0) return undefined;
    return conditions
      .map(({ slot, isNegated }) => `${this.#program.names[slot] ?? '?'} is ${isNegated ? 'false' : 'true'}`)
      .join(', ');
  }
}

/** Results of `#firstMiss` that are no index. */
const ALL_HOLD = -1;
const FAILED = -2;

/** Lace 1.4 shows the including line with the inner line's word numbers; `place` keeps the true spot. */
function blameInclude(error: LaceError, rule: IncludeRule<never> | IncludeRule<unknown>): LaceError {
  const [frame] = error.frames;
  const list = frame?.words.list ?? [];
  return { ...error, frames: [{ words: { list, source: rule.source, line: rule.line } }] };
}
