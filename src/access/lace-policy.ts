/**
 * The policy of a site's Lace rules. One run of the rules answers a question; a second one, with a
 * tracer, tells how, and only where somebody looks.
 */
import { BOUNDS } from '../base/bounds.ts';
import { isInternalRefname } from '../git/refname.ts';
import type { Credential, Principal } from '../identity/principal.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { Decision, Operation, Question, RefUpdateFacts, TraceStep } from './decision.ts';
import { explainDecision } from './explain.ts';
import { operationWord, READ_REF, type Asked } from './gitano/asked.ts';
import type { Mentions } from './gitano/host.ts';
import { expandForPerson, parseTemplate, type Template } from './gitano/template.ts';
import type { LaceError } from './lace/error.ts';
import type { Program, ResultRule } from './lace/language.ts';
import { runLace, type Tracer } from './lace/runner.ts';
import { meterFor } from './meter.ts';
import type { OwnRulesCache } from './own-rules.ts';
import { ReadPredicates, type ReadPredicate } from './read-predicates.ts';
import type { Explanation, Policy, PolicyNeeds } from './policy.ts';
import { printable } from './problem.ts';
import { scopeRefusal } from './scope.ts';

export interface LacePolicyOptions {
  readonly program: Program<Asked>;
  readonly mentions: Readonly<Mentions>;
  readonly ownRules: OwnRulesCache;
}

const NO_STEPS: readonly TraceStep[] = [];
/** What can wait for an approval: the objects are kept meanwhile. Elsewhere `hold` is `deny`. */
const HOLDABLE: ReadonlySet<Operation> = new Set(['create-ref', 'update-ref', 'rewind-ref', 'delete-ref']);

export class LacePolicy implements Policy {
  readonly needs: PolicyNeeds;
  readonly #program: Program<Asked>;
  readonly #ownRules: OwnRulesCache;
  readonly #reasons = new WeakMap<ResultRule, Template>();
  readonly #predicates = new ReadPredicates();

  constructor(options: LacePolicyOptions) {
    this.#program = options.program;
    this.#ownRules = options.ownRules;
    const { paths, refReads } = options.mentions;
    this.needs = { paths, refReads };
  }

  decide(question: Question): Decision {
    try {
      const decision = this.#decide(question, operationWord(question));
      const isOneRef = question.operation === 'read' && question.ref !== undefined;
      if (decision.kind === 'refused' || !isOneRef || !this.#hasRefReads(question.repository)) return decision;
      return this.#decide(question, READ_REF);
    } catch (error) {
      return refusedByCrash(error);
    }
  }

  needsFor(repository: RepositoryFacts): PolicyNeeds {
    if (repository.rules === undefined || (this.needs.paths && this.needs.refReads)) return this.needs;
    const own = this.#ownRules.get(repository.rules);
    if (own.kind === 'wrong') return this.needs;
    return { paths: this.needs.paths || own.mentions.paths, refReads: this.needs.refReads || own.mentions.refReads };
  }

  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined {
    if (!this.#hasRefReads(repository)) return undefined;
    return this.#predicates.of(askerKey(principal, repository), () => this.#predicateOf(principal, repository));
  }

  #predicateOf(principal: Principal, repository: RepositoryFacts): ReadPredicate {
    const known = new Map<string, boolean>();
    const together = {};
    return (refname) => {
      const answer = known.get(refname);
      if (answer !== undefined) return answer;
      const ref: RefUpdateFacts = { refname };
      const isReadable =
        !isInternalRefname(refname) &&
        this.#decideSafely({ principal, operation: 'read', repository, ref, together, forPush: true }, READ_REF)
          .kind === 'allowed';
      if (known.size >= BOUNDS.readAnswersMax) known.clear();
      known.set(refname, isReadable);
      return isReadable;
    };
  }

  explain(question: Question): Explanation {
    const decision = this.decide(question);
    const steps = this.#trace(question, operationWord(question));
    const isOneRef =
      question.operation === 'read' && question.ref !== undefined && this.#hasRefReads(question.repository);
    const refSteps = isOneRef ? this.#trace(question, READ_REF) : NO_STEPS;
    return explainDecision(question, decision, [...steps, ...refSteps]);
  }

  #hasRefReads(repository: RepositoryFacts | undefined): boolean {
    return this.needs.refReads || (repository?.rules !== undefined && this.needsFor(repository).refReads);
  }

  #decideSafely(question: Question, word: string): Decision {
    try {
      return this.#decide(question, word);
    } catch (error) {
      return refusedByCrash(error);
    }
  }

  #decide(question: Question, word: string): Decision {
    const narrowed = scopeRefusal(question);
    if (narrowed !== undefined) return { kind: 'refused', reason: narrowed, trace: NO_STEPS };
    const asked: Asked = { question, word, meter: meterFor(question) };
    const result = runLace(this.#program, asked);
    const trace = (): readonly TraceStep[] => this.#trace(question, word);
    if (result.kind === 'error') return new RuleDecision('refused', errorReason(result.error), undefined, trace);
    if (result.kind === 'undecided') return new RuleDecision('refused', 'no rule decides this', undefined, trace);
    const { rule } = result;
    const template = this.#reasonOf(rule);
    const reason = template.constant ?? expandForPerson(template, asked);
    const where = `${rule.source.name}:${rule.line}`;
    // A ref of a repository that one may read is readable unless some rule refuses it outright.
    const isAllowed = rule.result === 'allow' || (word === READ_REF && rule.isDefault);
    const decider = rule.isDefault ? undefined : where;
    if (isAllowed) return new RuleDecision('allowed', reason, decider, trace);
    const refusal = `${where}: ${printable(reason)}`;
    if (rule.result !== 'hold' || !HOLDABLE.has(question.operation))
      return new RuleDecision('refused', refusal, decider, trace);
    return new HeldDecision('refused', refusal, decider, trace);
  }

  #reasonOf(rule: ResultRule): Template {
    const known = this.#reasons.get(rule);
    if (known !== undefined) return known;
    const template = parseTemplate(rule.reason);
    this.#reasons.set(rule, template);
    return template;
  }

  #trace(question: Question, word: string): readonly TraceStep[] {
    const steps: TraceStep[] = [];
    const tracer: Tracer = {
      step(rule, result, because) {
        steps.push({
          source: rule.source.name,
          line: rule.line,
          text: printable(rule.source.lines[rule.line - 1]?.text.trim() ?? ''),
          result,
          ...(because === undefined ? {} : { because: printable(because) }),
        });
      },
    };
    try {
      runLace(this.#program, { question, word, meter: meterFor(question, { alone: true }) }, tracer);
    } catch {
      // Deciding ran into the same and refused; what was traced until here is what can be told.
    }
    return steps;
  }
}

/** A decision whose trace is made when somebody reads it. */
class RuleDecision implements Decision {
  readonly kind: 'allowed' | 'refused';
  readonly reason: string;
  readonly rule?: string;
  readonly #makeTrace: () => readonly TraceStep[];
  #trace: readonly TraceStep[] | undefined;

  constructor(
    kind: 'allowed' | 'refused',
    reason: string,
    rule: string | undefined,
    makeTrace: () => readonly TraceStep[],
  ) {
    this.kind = kind;
    this.reason = reason;
    if (rule !== undefined) this.rule = rule;
    this.#makeTrace = makeTrace;
  }

  get trace(): readonly TraceStep[] {
    this.#trace ??= this.#makeTrace();
    return this.#trace;
  }
}

class HeldDecision extends RuleDecision {
  readonly hold = true;
}

function errorReason(error: LaceError): string {
  const { place } = error;
  return printable(`${place.source}:${place.line}: the rules went wrong: ${error.message.slice(0, 400)}`);
}

/** A hole in the rules' machinery closes the door. */
function refusedByCrash(error: unknown): Decision {
  const what = error instanceof Error ? error.name : 'unknown failure';
  return { kind: 'refused', reason: `the rules could not be evaluated (${what})`, trace: NO_STEPS };
}

/** Everything that rules can see of who reads what: equal keys get equal answers from one policy. */
function askerKey(principal: Principal, repository: RepositoryFacts): string {
  const { id, name, owner, settings, rules } = repository;
  const who =
    principal.kind === 'anonymous'
      ? []
      : [
          principal.name,
          principal.account,
          [...principal.groups].sort(),
          credentialKey(principal.credential, { principal, operation: 'read', repository, forPush: true }),
          principal.asking?.name,
        ];
  const asking = principal.kind === 'user' && principal.asking ? [...principal.asking.groups].sort() : [];
  return JSON.stringify([who, asking, id, name, owner, settings, rules]);
}

/** There may be a pass for every job: those that may see the repository see the same of it. */
function credentialKey(credential: Credential, question: Question): Credential | readonly [string, boolean] {
  return credential.kind === 'pass' ? ['pass', scopeRefusal(question) === undefined] : credential;
}
