/** What a conf answers: may this user do that here, in gitolite's own words, with every rule that was looked at. */
import { Meter } from '../meter.ts';
import { Allowed, Denied, retold, type Access, type AccessQuestion, type RuleStep } from './conf-answer.ts';
import type { ConfRule } from './conf.ts';
import type { ConfRepository, ConfUser, RuleIndex, Subjects } from './rule-index.ts';
import { permits, type Attempt, type RuleKind } from './rule-kind.ts';
import type { ReadyRule, Standing } from './standing.ts';
import { isRefWord, isTrue } from './words.ts';

export type { Access, Attempt, RuleStep };

/** The ref of a question that is asked before one is known. */
export const ANY_REF = 'any';

/** In front of a file's name where rules look at names. */
export const NAME_REF = 'VREF/NAME/';

const MARK_MAX = 2 ** 31 - 1;

export class ConfAccess {
  readonly #index: RuleIndex;
  #marks: Int32Array | undefined;
  #marked = 0;

  constructor(index: RuleIndex) {
    this.#index = index;
  }

  access(question: AccessQuestion): Access {
    const { repository, user, attempt, ref } = question;
    const asked = this.#prepare(question);
    const { standing, subjects } = asked;
    if (!subjects.isReal) return { kind: 'fatal', text: `invalid user '${user.name}'` };
    if (standing.insane !== undefined) return { kind: 'fatal', text: standing.insane };
    if (!isRefWord(ref) && !ref.startsWith(NAME_REF)) return wrongRef(ref);
    if (attempt !== '^C' && !repository.exists && standing.isReal) {
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
    question: Omit<AccessQuestion, 'ref'>,
    names: Iterable<string>,
  ): Exclude<Access, { kind: 'allowed' }> | undefined {
    const asked = this.#prepare({ ...question, ref: ANY_REF });
    if (!this.#rules(asked).some(({ refex }) => refex.startsWith(NAME_REF))) return undefined;
    for (const name of names) {
      const answer = this.#decide(aboutRef(asked, `${NAME_REF}${name}`), question.attempt);
      if (answer.kind === 'fatal' || (answer.kind === 'denied' && answer.by === 'refex')) return answer;
    }
    return undefined;
  }

  /** `access` for one ref after another, of a repository that is there: what does not depend on the ref is looked up once. */
  asker(question: Omit<AccessQuestion, 'ref'>): (ref: string) => Access {
    const asked = this.#prepare({ ...question, ref: ANY_REF });
    return (ref) => {
      if (!isRefWord(ref) && !ref.startsWith(NAME_REF)) return wrongRef(ref);
      return this.#decide(aboutRef(asked, ref), question.attempt);
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
    const rules = this.#rules(this.#prepare({ repository, user, attempt: 'R', ref: ANY_REF }));
    return [...new Set(rules.map(({ refex }) => refex).filter((refex) => refex.startsWith('VREF/')))];
  }

  /** The user's rules that would allow the attempt for some ref of its own. */
  grants(repository: ConfRepository, user: ConfUser, attempt: Attempt): readonly ConfRule[] {
    const rules = this.#rules(this.#prepare({ repository, user, attempt, ref: ANY_REF }));
    return rules.filter(
      ({ permission, refex }) => permission !== '-' && permits(permission, attempt) && !refex.startsWith('VREF/'),
    );
  }

  #prepare(question: AccessQuestion): Asked {
    const { repository, user } = question;
    const meter = new Meter();
    const standing = this.#index.standing(repository, meter);
    return { question, standing, subjects: this.#index.subjects(user, repository), meter };
  }

  /** Those that apply, in order. */
  #rules({ question, standing, subjects }: Asked): readonly ConfRule[] {
    return this.#index
      .rulesFor(standing, subjects)
      .filter(({ kind }) => !isPassedBy(kind, question.user))
      .map(({ rule }) => rule);
  }

  /** @param steps where each rule that is looked at is to be told. */
  #decide(asked: Asked, attempt: Attempt, steps?: RuleStep[]): Access {
    const { question, standing, subjects } = asked;
    if (attempt === '^C' && question.repository.exists) return new Denied(this, question, attempt, 'existence');
    const { cells, start, end } = standing;
    if (cells === undefined) {
      const list = { rules: this.#index.rulesFor(standing, subjects) };
      for (const [place, { kind }] of list.rules.entries()) {
        const answer = this.#judge({ list, place, kind }, asked, attempt, steps);
        if (answer !== undefined) return answer;
      }
    } else {
      const { kinds } = this.#index;
      const marks = this.#mark(subjects);
      const mark = this.#marked;
      for (let at = start; at < end; at += 2) {
        if (marks[cells[at] ?? 0] !== mark) continue;
        const kind = kinds[cells[at + 1] ?? 0];
        if (kind === undefined) continue;
        const answer = this.#judge({ list: standing, place: (at - start) / 2, kind }, asked, attempt, steps);
        if (answer !== undefined) return answer;
      }
    }
    if (asked.meter.isSpent) return TOO_LONG;
    return new Denied(this, question, attempt, 'fallthru');
  }

  /** What the rule decides; undefined: it goes on to the next. */
  #judge(
    { list, place, kind }: Judged,
    asked: Asked,
    attempt: Attempt,
    steps: RuleStep[] | undefined,
  ): Access | undefined {
    const { question, meter } = asked;
    if (isPassedBy(kind, question.user)) return undefined;
    const fate = fateOf(kind, asked, attempt);
    if (fate === undefined) return { kind: 'fatal', text: `bad pattern '${kind.refex.textFor(question.user.name)}'` };
    if (meter.isSpent) return TOO_LONG;
    const ready = steps === undefined ? undefined : list.rules[place];
    if (ready !== undefined) steps?.push({ rule: ready.rule, fate });
    if (fate === 'allows') return new Allowed(this, question, attempt, list, place);
    if (fate === 'refuses') return new Denied(this, question, attempt, list, place);
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
  stepsOf(question: AccessQuestion, attempt: Attempt): readonly RuleStep[] {
    const steps: RuleStep[] = [];
    this.#decide(this.#prepare(question), attempt, steps);
    return steps;
  }
}

interface Asked {
  readonly question: AccessQuestion;
  readonly standing: Standing;
  readonly subjects: Subjects;
  readonly meter: Meter;
}

interface Judged {
  readonly list: { readonly rules: readonly ReadyRule[] };
  readonly place: number;
  readonly kind: RuleKind;
}

const TOO_LONG: Access = { kind: 'fatal', text: 'the rules take too long to look at' };

function wrongRef(ref: string): Access {
  return { kind: 'fatal', text: `invalid characters in ref or filename: '${ref}'` };
}

function aboutRef({ question, ...looked }: Asked, ref: string): Asked {
  return { ...looked, question: { ...question, ref }, meter: new Meter() };
}

/** What is granted to everybody is not granted to nobody in particular. */
function isPassedBy({ isForAll, isRefusal }: RuleKind, { isOutside }: ConfUser): boolean {
  return isForAll && !isRefusal && isOutside === true;
}

/** Undefined: with the user's name in it, the refex is no pattern any more. */
function fateOf(
  { isRefusal, attempts, refex }: RuleKind,
  { question, meter, standing }: Asked,
  attempt: Attempt,
): RuleStep['fate'] | undefined {
  const { ref, user } = question;
  if (ref === ANY_REF) {
    if (isRefusal && !standing.isDenying) return 'ref unknown';
    if (!refex.isPattern(user.name)) return undefined;
  } else {
    const found = refex.find(ref, user.name, meter);
    if (found !== true) return found === undefined ? undefined : 'ref differs';
  }
  if (isRefusal) return 'refuses';
  return attempts.has(attempt) ? 'allows' : 'permission differs';
}
