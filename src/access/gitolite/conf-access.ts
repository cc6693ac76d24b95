/** What a conf answers: may this user do that here, in gitolite's own words, with every rule that was looked at. */
import { Meter } from '../meter.ts';
import type { ConfRule } from './conf.ts';
import type { ConfRepository, ConfUser, RuleIndex, Subjects } from './rule-index.ts';
import { permits, type Attempt, type ReadyRule, type Standing } from './standing.ts';
import { ALL, isRefWord, isTrue, isUserWord } from './words.ts';

export type { Attempt };

/** The ref of a question that is asked before one is known. */
export const ANY_REF = 'any';

/** In front of a file's name where rules look at names. */
export const NAME_REF = 'VREF/NAME/';

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

const MARK_MAX = 2 ** 31 - 1;

export class ConfAccess {
  readonly #index: RuleIndex;
  #marks: Int32Array | undefined;
  #marked = 0;

  constructor(index: RuleIndex) {
    this.#index = index;
  }

  access({ repository, user, attempt, ref }: AccessQuestion): Access {
    if (!isTrue(user.name) || !isUserWord(user.name)) return { kind: 'fatal', text: `invalid user '${user.name}'` };
    const asked = this.#prepare(repository, user, ref);
    const { insane, isReal } = asked.standing;
    if (insane !== undefined) return { kind: 'fatal', text: insane };
    if (!ref.startsWith(NAME_REF) && !isRefWord(ref))
      return { kind: 'fatal', text: `invalid characters in ref or filename: '${ref}'` };
    if (attempt !== '^C' && !repository.exists && isReal) {
      const creating = this.#decide(asked, '^C');
      if (creating.kind === 'fatal') return creating;
      // Gitolite looks for the word in whatever comes back, a refex too.
      if (creating.kind === 'denied' || creating.text.includes('DENIED')) return retold(creating, attempt);
    }
    return this.#decide(asked, attempt);
  }

  /**
   * As gitolite's command of that name asks: a ref without `refs/` is a branch, and C, D and M count only where
   * the repository is strict about them.
   */
  accessCommand(question: AccessQuestion): Access {
    const { repository, attempt, ref } = question;
    const full = ref === ANY_REF || /^(?:refs|VREF)\//.test(ref) ? ref : `refs/heads/${ref}`;
    if (!isRefWord(full)) return { kind: 'fatal', text: 'invalid ref name' };
    return this.access({ ...question, attempt: this.adjust(repository, attempt), ref: full });
  }

  /** The first of these file names that a NAME rule refuses; what falls through is allowed. */
  refusedName(
    { repository, user, attempt }: Omit<AccessQuestion, 'ref'>,
    names: Iterable<string>,
  ): Exclude<Access, { kind: 'allowed' }> | undefined {
    const asked = this.#prepare(repository, user, ANY_REF);
    if (!this.#rules(asked).some(({ refex }) => refex.startsWith(NAME_REF))) return undefined;
    for (const name of names) {
      const answer = this.#decide({ ...asked, ref: `${NAME_REF}${name}`, meter: new Meter() }, attempt);
      if (answer.kind === 'fatal' || (answer.kind === 'denied' && answer.by === 'refex')) return answer;
    }
    return undefined;
  }

  /** `access` for one ref after another, of a repository that is there: what does not depend on the ref is looked up once. */
  asker({ repository, user, attempt }: Omit<AccessQuestion, 'ref'>): (ref: string) => Access {
    const asked = this.#prepare(repository, user, ANY_REF);
    return (ref) => {
      if (!ref.startsWith(NAME_REF) && !isRefWord(ref))
        return { kind: 'fatal', text: `invalid characters in ref or filename: '${ref}'` };
      return this.#decide({ ...asked, ref, meter: new Meter() }, attempt);
    };
  }

  /** What the attempt comes down to where the repository is not strict about it. */
  adjust(repository: ConfRepository, attempt: Attempt): Attempt {
    if (attempt === 'C' && !this.hasOption(repository, 'CREATE_IS_C')) return 'W';
    if (attempt === 'D' && !this.hasOption(repository, 'DELETE_IS_D')) return '+';
    if (attempt === 'M' && !this.hasOption(repository, 'MERGE_CHECK')) return 'W';
    return attempt;
  }

  hasOption(repository: ConfRepository, name: string): boolean {
    return this.#index.standing(repository, new Meter()).hasOption(name);
  }

  /** Settings by key, `%GL_REPO` and `%GL_CREATOR` filled in; those unset by an empty value or `0` are left out. */
  config(repository: ConfRepository): ReadonlyMap<string, string> {
    const { name, creator } = repository;
    const config = new Map<string, string>();
    for (const [key, { value }] of this.#index.standing(repository, new Meter()).settings) {
      if (!isTrue(value)) continue;
      const named = value.replaceAll('%GL_REPO', () => name);
      config.set(key, isTrue(creator) ? named.replaceAll('%GL_CREATOR', () => creator) : named);
    }
    return config;
  }

  /** The user's rules about virtual refs, each refex once, in order. */
  virtualRefs(repository: ConfRepository, user: ConfUser): readonly string[] {
    const rules = this.#rules(this.#prepare(repository, user, ANY_REF));
    return [...new Set(rules.map(({ refex }) => refex).filter((refex) => refex.startsWith('VREF/')))];
  }

  /** The user's rules that would allow the attempt for some ref of its own. */
  grants(repository: ConfRepository, user: ConfUser, attempt: Attempt): readonly ConfRule[] {
    const rules = this.#rules(this.#prepare(repository, user, ANY_REF));
    return rules.filter(
      ({ permission, refex }) => permission !== '-' && permits(permission, attempt) && !refex.startsWith('VREF/'),
    );
  }

  #prepare(repository: ConfRepository, user: ConfUser, ref: string): Asked {
    const meter = new Meter();
    return {
      repository,
      user,
      ref,
      isOutside: user.isOutside === true,
      meter,
      standing: this.#index.standing(repository, meter),
      subjects: this.#index.subjects(user, repository),
    };
  }

  /** Those that apply, in order. */
  #rules(asked: Asked): readonly ConfRule[] {
    return this.#index
      .rulesFor(asked.standing, asked.subjects)
      .filter((ready) => !isPassedBy(ready, asked))
      .map(({ rule }) => rule);
  }

  /** @param steps where each rule that is looked at is to be told. */
  #decide(asked: Asked, attempt: Attempt, steps?: RuleStep[]): Access {
    const { repository, standing, subjects, meter } = asked;
    if (attempt === '^C' && repository.exists) return new Denied(this, asked, attempt, 'existence');
    const { rules, users } = standing;
    if (users === undefined) {
      for (const ready of this.#index.rulesFor(standing, subjects)) {
        const answer = this.#judge(ready, asked, attempt, steps);
        if (answer !== undefined) return answer;
      }
    } else {
      const marks = this.#mark(subjects);
      const mark = this.#marked;
      for (let i = 0; i < users.length; i += 1) {
        if (marks[users[i] ?? 0] !== mark) continue;
        const ready = rules[i];
        const answer = ready === undefined ? undefined : this.#judge(ready, asked, attempt, steps);
        if (answer !== undefined) return answer;
      }
    }
    if (meter.isSpent) return { kind: 'fatal', text: 'the rules take too long to look at' };
    return new Denied(this, asked, attempt, 'fallthru');
  }

  /** What the rule decides; undefined: it goes on to the next. */
  #judge(ready: ReadyRule, asked: Asked, attempt: Attempt, steps: RuleStep[] | undefined): Access | undefined {
    if (isPassedBy(ready, asked)) return undefined;
    const fate = fateOf(ready, asked, attempt);
    if (fate === undefined) return { kind: 'fatal', text: `bad pattern '${ready.refex.textFor(asked.user.name)}'` };
    if (asked.meter.isSpent) return { kind: 'fatal', text: 'the rules take too long to look at' };
    steps?.push({ rule: ready.rule, fate });
    if (fate === 'allows') return new Allowed(this, asked, attempt, ready);
    if (fate === 'refuses') return new Denied(this, asked, attempt, ready);
    return undefined;
  }

  /** Marks the users that this question is about: cheaper than a set for each question, or one for each user. */
  #mark({ numbers }: Subjects): Int32Array {
    if (this.#marks === undefined || this.#marked === MARK_MAX) {
      this.#marks = new Int32Array(this.#index.users + 1);
      this.#marked = 0;
    }
    this.#marked += 1;
    for (const number of numbers) this.#marks[number] = this.#marked;
    return this.#marks;
  }

  /** The way of a decision once more, now written down. */
  stepsOf(asked: Asked, attempt: Attempt): readonly RuleStep[] {
    const steps: RuleStep[] = [];
    this.#decide({ ...asked, meter: new Meter() }, attempt, steps);
    return steps;
  }
}

interface Asked {
  readonly repository: ConfRepository;
  readonly user: ConfUser;
  readonly ref: string;
  readonly isOutside: boolean;
  readonly meter: Meter;
  readonly standing: Standing;
  readonly subjects: Subjects;
}

/** What is granted to everybody is not granted to nobody in particular. */
function isPassedBy({ user, isRefusal }: ReadyRule, { isOutside }: Asked): boolean {
  return isOutside && user === ALL && !isRefusal;
}

/** Undefined: with the user's name in it, the refex is no pattern any more. */
function fateOf(
  { isRefusal, attempts, refex }: ReadyRule,
  { ref, user, meter, standing }: Asked,
  attempt: Attempt,
): RuleStep['fate'] | undefined {
  const isAny = ref === ANY_REF;
  if (isRefusal && isAny && !standing.isDenying) return 'ref unknown';
  const found = refex.find(ref, user.name, meter);
  if (found === undefined) return undefined;
  if (!found && !isAny) return 'ref differs';
  if (isRefusal) return 'refuses';
  return attempts.has(attempt) ? 'allows' : 'permission differs';
}

/** Answers are many and mostly only counted: their words are made when somebody reads them. */
class Answer {
  readonly #access: ConfAccess;
  protected readonly asked: Asked;
  protected readonly attempt: Attempt;

  constructor(access: ConfAccess, asked: Asked, attempt: Attempt) {
    this.#access = access;
    this.asked = asked;
    this.attempt = attempt;
  }

  get steps(): readonly RuleStep[] {
    return this.#access.stepsOf(this.asked, this.attempt);
  }
}

class Allowed extends Answer {
  readonly kind = 'allowed';
  readonly #ready: ReadyRule;

  constructor(access: ConfAccess, asked: Asked, attempt: Attempt, ready: ReadyRule) {
    super(access, asked, attempt);
    this.#ready = ready;
  }

  get text(): string {
    return this.#ready.refex.textFor(this.asked.user.name);
  }

  get rule(): ConfRule {
    return this.#ready.rule;
  }
}

class Denied extends Answer {
  readonly kind = 'denied';
  readonly #by: ReadyRule | 'fallthru' | 'existence';

  constructor(access: ConfAccess, asked: Asked, attempt: Attempt, by: ReadyRule | 'fallthru' | 'existence') {
    super(access, asked, attempt);
    this.#by = by;
  }

  get by(): 'refex' | 'fallthru' | 'existence' {
    return typeof this.#by === 'string' ? this.#by : 'refex';
  }

  get text(): string {
    const { ref, repository, user } = this.asked;
    const what = typeof this.#by === 'string' ? this.#by : this.#by.refex.textFor(user.name);
    return `${this.attempt} ${safeRef(ref)} ${repository.name} ${user.name} DENIED by ${what}`;
  }

  get rule(): ConfRule | undefined {
    return typeof this.#by === 'string' ? undefined : this.#by.rule;
  }
}

/** The answer about creation as one about the attempt. */
function retold(creating: Exclude<Access, { kind: 'fatal' }>, attempt: Attempt): Access {
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
