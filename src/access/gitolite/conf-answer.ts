/** What a decision came to. Answers are many and mostly only counted: their words are made when somebody reads them. */
import assert from 'node:assert/strict';
import type { ConfRule } from './conf.ts';
import type { ConfRepository, ConfUser } from './rule-index.ts';
import type { Attempt } from './rule-kind.ts';
import type { ReadyRule } from './standing.ts';

export interface AccessQuestion {
  readonly repository: ConfRepository;
  readonly user: ConfUser;
  readonly attempt: Attempt;
  /** Full, `VREF/...`, or `any`. */
  readonly ref: string;
}

export interface RuleStep {
  readonly rule: ConfRule;
  /** Why it did not decide, or that it did. */
  readonly fate: 'ref unknown' | 'ref differs' | 'permission differs' | 'refuses' | 'allows';
}

export type Access =
  | { readonly kind: 'allowed'; readonly text: string; readonly rule: ConfRule; readonly steps: readonly RuleStep[] }
  | {
      readonly kind: 'denied';
      /** `W refs/heads/main r u DENIED by fallthru`. */
      readonly text: string;
      readonly by: 'refex' | 'fallthru' | 'existence';
      readonly rule?: ConfRule | undefined;
      readonly steps: readonly RuleStep[];
    }
  /** Gitolite would die of the question. */
  | { readonly kind: 'fatal'; readonly text: string };

/** Goes the way of a decision once more, now written down. */
export interface Tracer {
  stepsOf(question: AccessQuestion, attempt: Attempt): readonly RuleStep[];
}

/** Rules, one of which decided. */
export interface RuleList {
  readonly rules: readonly ReadyRule[];
}

class Answer {
  readonly #tracer: Tracer;
  readonly #list: RuleList;
  /** In the list. */
  readonly #place: number;
  protected readonly question: AccessQuestion;
  protected readonly attempt: Attempt;

  // No object of options: one of these is made for each decision.
  constructor(tracer: Tracer, question: AccessQuestion, attempt: Attempt, list: RuleList, place: number) {
    this.#tracer = tracer;
    this.question = question;
    this.attempt = attempt;
    this.#list = list;
    this.#place = place;
  }

  protected get ready(): ReadyRule | undefined {
    return this.#list.rules[this.#place];
  }

  get steps(): readonly RuleStep[] {
    return this.#tracer.stepsOf(this.question, this.attempt);
  }
}

export class Allowed extends Answer {
  readonly kind = 'allowed';

  get text(): string {
    return this.#decisive.kind.refex.textFor(this.question.user.name);
  }

  get rule(): ConfRule {
    return this.#decisive.rule;
  }

  get #decisive(): ReadyRule {
    assert(this.ready !== undefined);
    return this.ready;
  }
}

const NO_RULES: RuleList = { rules: [] };

export class Denied extends Answer {
  readonly kind = 'denied';
  readonly by: 'refex' | 'fallthru' | 'existence';

  constructor(
    tracer: Tracer,
    question: AccessQuestion,
    attempt: Attempt,
    by: 'fallthru' | 'existence' | RuleList,
    place = 0,
  ) {
    super(tracer, question, attempt, typeof by === 'string' ? NO_RULES : by, place);
    this.by = typeof by === 'string' ? by : 'refex';
  }

  get text(): string {
    const { ref, repository, user } = this.question;
    const what = this.ready?.kind.refex.textFor(user.name) ?? this.by;
    return `${this.attempt} ${safeRef(ref)} ${repository.name} ${user.name} DENIED by ${what}`;
  }

  get rule(): ConfRule | undefined {
    return this.ready?.rule;
  }
}

/** The answer about creation as one about the attempt. */
export function retold(creating: Exclude<Access, { kind: 'fatal' }>, attempt: Attempt): Access {
  return {
    kind: 'denied',
    by: creating.kind === 'denied' ? creating.by : 'refex',
    rule: creating.rule,
    get text() {
      return creating.text.replace('^C', () => attempt);
    },
    get steps() {
      return creating.steps;
    },
  };
}

function safeRef(ref: string): string {
  return ref.replaceAll(/[^-0-9a-zA-Z._@/+ :,]/g, '.');
}
