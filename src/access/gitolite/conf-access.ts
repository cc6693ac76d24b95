/** What a conf answers: may this user do that here, in gitolite's own words, with every rule that was looked at. */
import { Meter } from '../meter.ts';
import type { ConfRule } from './conf.ts';
import { compilePerl, type PerlPattern } from './perl-pattern.ts';
import type { ConfRepository, ConfUser, RuleIndex } from './rule-index.ts';
import { ALL, insaneRepository, isRefWord, isTrue, isUserWord } from './words.ts';

/** `R`, `W`, `+`, `C`, `D`, `M`, `^C`, and `W`, `+` with an `M` behind: what is attempted. */
export type Attempt = 'R' | 'W' | '+' | 'C' | 'D' | 'M' | '^C' | 'WM' | '+M' | 'CM' | 'DM';

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
      readonly rule?: ConfRule;
      readonly steps: readonly RuleStep[];
    }
  /** Gitolite would die of the question. */
  | { readonly kind: 'fatal'; readonly text: string };

const PERMISSIONS: Readonly<Record<Attempt, RegExp>> = {
  R: /R/,
  W: /W/,
  '+': /\+/,
  C: /RW.*C/,
  D: /D/,
  M: /M/,
  '^C': /^C/,
  WM: /W.*M/,
  '+M': /\+.*M/,
  CM: /C.*M/,
  DM: /D.*M/,
};

/** Refexes with a user's name in them that are kept compiled, by their states. */
const REMEMBERED_STATES_MAX = 200_000;

export class ConfAccess {
  readonly #index: RuleIndex;
  readonly #refexes = new Map<string, PerlPattern>();
  readonly #remembered = new Map<string, PerlPattern | undefined>();
  #rememberedStates = 0;

  /** @param refexes of every rule; each compiles behind `^`. */
  constructor(index: RuleIndex, refexes: ReadonlySet<string>) {
    this.#index = index;
    for (const refex of refexes) {
      const compiled = compilePerl(`^${refex}`);
      if (compiled.kind === 'ok') this.#refexes.set(refex, compiled.pattern);
    }
  }

  access({ repository, user, attempt, ref }: AccessQuestion): Access {
    if (!isTrue(user.name) || !isUserWord(user.name)) return { kind: 'fatal', text: `invalid user '${user.name}'` };
    const insane = insaneRepository(repository.name);
    if (insane !== undefined) return { kind: 'fatal', text: insane };
    if (!ref.startsWith(NAME_REF) && !isRefWord(ref))
      return { kind: 'fatal', text: `invalid characters in ref or filename: '${ref}'` };
    const asked = this.#prepare(repository, user, ref);
    const { name, exists } = repository;
    const isReal = /^[0-9a-zA-Z][-0-9a-zA-Z._@/+]*$/.test(name);
    if (attempt !== '^C' && !exists && isReal) {
      const creating = this.#decide(asked, '^C');
      if (creating.kind === 'fatal') return creating;
      // Gitolite looks for the word in whatever comes back, a refex too.
      if (creating.text.includes('DENIED')) return retold(creating, attempt);
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
    if (!asked.rules.some(({ refex }) => refex.startsWith(NAME_REF))) return undefined;
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
    const memberships = this.#index.repositoryMemberships(repository, new Meter());
    return this.#hasOption(memberships, name);
  }

  /** Settings by key, `%GL_REPO` and `%GL_CREATOR` filled in; those unset by an empty value or `0` are left out. */
  config(repository: ConfRepository): ReadonlyMap<string, string> {
    const { name, creator } = repository;
    const memberships = this.#index.repositoryMemberships(repository, new Meter());
    const config = new Map<string, string>();
    for (const [key, { value }] of this.#index.settingsFor(memberships)) {
      if (!isTrue(value)) continue;
      const named = value.replaceAll('%GL_REPO', () => name);
      config.set(key, isTrue(creator) ? named.replaceAll('%GL_CREATOR', () => creator) : named);
    }
    return config;
  }

  /** The user's rules about virtual refs, each refex once, in order. */
  virtualRefs(repository: ConfRepository, user: ConfUser): readonly string[] {
    const { rules } = this.#prepare(repository, user, ANY_REF);
    return [...new Set(rules.map(({ refex }) => refex).filter((refex) => refex.startsWith('VREF/')))];
  }

  /** The user's rules that would allow the attempt for some ref of its own. */
  grants(repository: ConfRepository, user: ConfUser, attempt: Attempt): readonly ConfRule[] {
    const { rules } = this.#prepare(repository, user, ANY_REF);
    return rules.filter(
      ({ permission, refex }) =>
        permission !== '-' && PERMISSIONS[attempt].test(permission) && !refex.startsWith('VREF/'),
    );
  }

  #prepare(repository: ConfRepository, user: ConfUser, ref: string): Asked {
    const meter = new Meter();
    const memberships = this.#index.repositoryMemberships(repository, meter);
    const applying = this.#index.rulesFor(memberships, this.#index.userMemberships(user, repository));
    const rules =
      user.isOutside === true ? applying.filter((rule) => rule.user !== ALL || rule.permission === '-') : applying;
    return {
      repository,
      user: user.name,
      ref,
      rules,
      meter,
      hasDenyRules: () => this.#hasOption(memberships, 'deny-rules'),
    };
  }

  #hasOption(memberships: ReadonlySet<string>, name: string): boolean {
    return isTrue(this.#index.settingsFor(memberships).get(`gitolite-options.${name}`)?.value ?? '');
  }

  #decide(asked: Asked, attempt: Attempt): Access {
    const { repository, user, ref, rules, meter } = asked;
    const denied = `${attempt} ${safeRef(ref)} ${repository.name} ${user} DENIED by`;
    const steps: RuleStep[] = [];
    if (attempt === '^C' && repository.exists)
      return { kind: 'denied', text: `${denied} existence`, by: 'existence', steps };
    for (const rule of rules) {
      const refex = rule.refex.replace('/USER/', () => `/${user}/`);
      const fate = this.#fateOf(rule, { asked, attempt, refex });
      if (fate === undefined) return { kind: 'fatal', text: `bad pattern '${refex}'` };
      if (meter.isSpent) return { kind: 'fatal', text: 'the rules take too long to look at' };
      steps.push({ rule, fate });
      if (fate === 'refuses') return { kind: 'denied', text: `${denied} ${refex}`, by: 'refex', rule, steps };
      if (fate === 'allows') return { kind: 'allowed', text: refex, rule, steps };
    }
    if (meter.isSpent) return { kind: 'fatal', text: 'the rules take too long to look at' };
    return { kind: 'denied', text: `${denied} fallthru`, by: 'fallthru', steps };
  }

  /** Undefined: with the user's name in it, the refex is no pattern any more. */
  #fateOf(
    rule: ConfRule,
    { asked, attempt, refex }: { readonly asked: Asked; readonly attempt: Attempt; readonly refex: string },
  ): RuleStep['fate'] | undefined {
    const isAny = asked.ref === ANY_REF;
    if (rule.permission === '-' && isAny && !asked.hasDenyRules()) return 'ref unknown';
    const pattern = this.#pattern(rule.refex, refex);
    if (pattern === undefined) return undefined;
    if (!pattern.find(asked.ref, asked.meter) && !isAny) return 'ref differs';
    if (rule.permission === '-') return 'refuses';
    return PERMISSIONS[attempt].test(rule.permission) ? 'allows' : 'permission differs';
  }

  #pattern(written: string, refex: string): PerlPattern | undefined {
    if (written === refex) return this.#refexes.get(written);
    if (this.#remembered.has(refex)) return this.#remembered.get(refex);
    const compiled = compilePerl(`^${refex}`);
    const pattern = compiled.kind === 'ok' ? compiled.pattern : undefined;
    this.#rememberedStates += 1 + (pattern?.size ?? 0);
    if (this.#rememberedStates > REMEMBERED_STATES_MAX) {
      this.#remembered.clear();
      this.#rememberedStates = 1 + (pattern?.size ?? 0);
    }
    this.#remembered.set(refex, pattern);
    return pattern;
  }
}

interface Asked {
  readonly repository: ConfRepository;
  readonly user: string;
  readonly ref: string;
  readonly rules: readonly ConfRule[];
  readonly meter: Meter;
  readonly hasDenyRules: () => boolean;
}

/** The answer about creation as one about the attempt. */
function retold(creating: Exclude<Access, { kind: 'fatal' }>, attempt: Attempt): Access {
  const text = creating.text.replace('^C', () => attempt);
  if (creating.kind === 'denied') return { ...creating, text };
  const { rule, steps } = creating;
  return { kind: 'denied', by: 'refex', text, rule, steps };
}

function safeRef(ref: string): string {
  return ref.replaceAll(/[^-0-9a-zA-Z._@/+ :,]/g, '.');
}
