/** The conf as a policy of the gate: its questions in gitolite's words, and gitolite's answers for people. */
import type { Principal } from '../../identity/principal.ts';
import type { RepositoryFacts } from '../../repository/repository.ts';
import type {
  ChangedPaths,
  Decision,
  NativeAnswer,
  Operation,
  Question,
  RefUpdateFacts,
  TraceStep,
} from '../decision.ts';
import { explainDecision } from '../explain.ts';
import { Meter } from '../meter.ts';
import type { Explanation, PolicyNeeds } from '../policy.ts';
import { printable } from '../problem.ts';
import { scopeRefusal } from '../scope.ts';
import type { CompiledConf } from './compile-conf.ts';
import { ANY_REF, NAME_REF, type Access, type Attempt, type ConfAccess, type RuleStep } from './conf-access.ts';
import type { ConfRule } from './conf.ts';
import { spellings } from './quoted-path.ts';
import type { ConfRepository, ConfUser } from './rule-index.ts';

/** The folder of the policy repository that holds the conf. */
export const CONF_FOLDER = 'conf/';
const ENTRY = `${CONF_FOLDER}gitolite.conf`;

/** Who asks without an account, in the conf's words. */
const ANONYMOUS_USER = 'daemon';

/** What the conf decides about a repository that it governs. It has no words for the rest. */
const GOVERNED = new Set<Operation>([
  'read',
  'write',
  'create-ref',
  'update-ref',
  'rewind-ref',
  'delete-ref',
  'create-repository',
]);

const GRANTS_SHOWN_MAX = 3;

/** For questions about one ref after another. */
export interface ConfGround {
  readonly access: ConfAccess;
  readonly repository: ConfRepository;
  readonly user: ConfUser;
}

export class ConfPolicy {
  readonly #compiled: CompiledConf;
  readonly #roles: ReadonlySet<string>;

  constructor(compiled: CompiledConf, roles: ReadonlySet<string>) {
    this.#compiled = compiled;
    this.#roles = roles;
  }

  /** Whether the conf decides this: the operation is one of its own and a `repo` line, other than `@all`'s, is about the repository. */
  governs({ operation, repository, principal }: Question): boolean {
    return (
      GOVERNED.has(operation) && repository !== undefined && this.#isNamed(this.#repository(repository, principal))
    );
  }

  /** Whether it governs the repository, whoever asks. */
  governsRepository(repository: RepositoryFacts): boolean {
    return this.#isNamed(this.#repository(repository));
  }

  needsFor(repository: RepositoryFacts): PolicyNeeds {
    const about = this.#repository(repository);
    const { index, access } = this.#compiled;
    // On a site of its own virtual refs are checked together, in the order of the rules (gitolite/steps/update-step.ts).
    const isElsewhere = repository.conf !== undefined;
    const paths =
      !isElsewhere &&
      index.hasRefex(index.repositoryMemberships(about, new Meter()), (refex) => refex.startsWith(NAME_REF));
    return { paths, refReads: false, merges: access.hasOption(about, 'MERGE_CHECK') };
  }

  confGround(principal: Principal, repository: RepositoryFacts): ConfGround {
    return {
      access: this.#compiled.access,
      repository: this.#repository(repository, principal),
      user: userOf(principal, repository),
    };
  }

  explain(question: Question): Explanation {
    const decision = this.decide(question);
    return explainDecision(question, decision, decision.trace);
  }

  decide(question: Question): Decision {
    const narrowed = scopeRefusal(question);
    if (narrowed !== undefined) return refused(narrowed);
    const { principal, repository } = question;
    if (repository === undefined) return refused('no repository is asked about');
    if (question.operation === 'create-repository' && repository.owner !== userOf(principal, repository).name)
      return refused('you create repositories for yourself; an administrator creates them for others');
    const asked: Asked = {
      question,
      repository: this.#repository(repository, principal),
      user: userOf(principal, repository),
    };
    const attempt = this.#attemptOf(asked);
    const ref = question.operation === 'read' ? ANY_REF : (question.ref?.refname ?? ANY_REF);
    const answer = this.#compiled.access.access({ ...asked, attempt, ref });
    const { changed } = question.ref ?? {};
    const name =
      answer.kind === 'allowed' && changed !== undefined
        ? this.#compiled.access.refusedName({ ...asked, attempt }, namesOf(changed))
        : undefined;
    const answers = name === undefined ? [answer] : [answer, name];
    const trace = (): readonly TraceStep[] => answers.flatMap((one) => this.#stepsOf(one));
    return new ConfDecision(this.#told(asked, attempt, name ?? answer), trace);
  }

  /** What gitolite's update hook would ask about. */
  #attemptOf({ question: { operation, ref }, repository }: Asked): Attempt {
    const { access } = this.#compiled;
    switch (operation) {
      case 'read':
        return 'R';
      case 'create-repository':
        return '^C';
      case 'create-ref':
        return access.adjust(repository, 'C');
      case 'delete-ref':
        return access.adjust(repository, 'D');
      case 'rewind-ref':
        return this.#merging(repository, ref) ? '+M' : '+';
      case 'update-ref':
        if (ref?.refname.includes('refs/tags/') === true) return this.#merging(repository, ref) ? '+M' : '+';
        return this.#merging(repository, ref) ? 'WM' : 'W';
      case 'write':
      case 'configure':
      case 'administer':
      case 'rename-repository':
      case 'destroy-repository':
        return 'W';
      default:
        return operation satisfies never;
    }
  }

  #merging(repository: ConfRepository, ref: RefUpdateFacts | undefined): boolean {
    return ref?.merges === true && this.#compiled.access.hasOption(repository, 'MERGE_CHECK');
  }

  #told(asked: Asked, attempt: Attempt, answer: Access): Told {
    const native = { attempt, text: answer.text };
    if (answer.kind === 'fatal') return { kind: 'refused', reason: printable(`${ENTRY}: ${answer.text}`), native };
    const { rule } = answer;
    const where = rule === undefined ? ENTRY : placeOf(rule);
    if (answer.kind === 'allowed')
      return { kind: 'allowed', reason: printable(`${answer.rule.permission} ${answer.text}`), rule: where, native };
    const [what = '', by = ''] = answer.text.split(/ (?=DENIED by )/);
    const reason = printable(`${where}: ${by} (${what}); ${this.#granted(asked, attempt)}`);
    return { kind: 'refused', reason, native, ...(rule === undefined ? {} : { rule: where }) };
  }

  /** Where the user may do what was refused here. */
  #granted({ repository, user }: Asked, attempt: Attempt): string {
    const { access } = this.#compiled;
    const grants = access.grants(repository, user, attempt);
    const who = user.isOutside === true ? 'anonymous' : user.name;
    if (grants.length === 0) return `no rule gives ${who} ${attempt} in ${repository.name}`;
    const shown = grants.slice(0, GRANTS_SHOWN_MAX).map((rule) => `${rule.refex} (${placeOf(rule)})`);
    const more = grants.length > GRANTS_SHOWN_MAX ? ` and ${grants.length - GRANTS_SHOWN_MAX} more` : '';
    return `${who} has ${attempt} for ${shown.join(', ')}${more}`;
  }

  #stepsOf(answer: Access): readonly TraceStep[] {
    if (answer.kind === 'fatal') return [];
    return answer.steps.map((step) => ({
      source: `${CONF_FOLDER}${step.rule.file}`,
      line: step.rule.line,
      text: printable(this.#compiled.texts.get(step.rule.file)?.[step.rule.line - 1]?.trim() ?? ''),
      result: step.fate === 'refuses' || step.fate === 'allows' ? 'matched' : 'passed-over',
      because: becauseOf(step),
    }));
  }

  #isNamed(repository: ConfRepository): boolean {
    const { index } = this.#compiled;
    const meter = new Meter();
    const memberships = index.repositoryMemberships(repository, meter);
    // What cannot be told is the conf's, which then refuses: it must not fall to the other language.
    return meter.isSpent || index.isNamed(memberships);
  }

  /** One that is not there is asked about as if the asker made it. */
  #repository({ id, name, owner, settings, conf }: RepositoryFacts, principal?: Principal): ConfRepository {
    const exists = id !== '';
    if (conf !== undefined) return { name, exists, ...conf };
    const asker = principal?.kind === 'user' ? principal.name : '';
    return { name, exists, creator: exists ? owner : asker, permissions: permissionsOf(settings, this.#roles) };
  }
}

interface Told extends Pick<Decision, 'kind' | 'reason' | 'rule'> {
  readonly native: NativeAnswer;
}

/** A decision whose trace is made when somebody reads it. */
class ConfDecision implements Decision {
  readonly kind: 'allowed' | 'refused';
  readonly reason: string;
  readonly rule?: string;
  readonly native: NativeAnswer;
  readonly #makeTrace: () => readonly TraceStep[];

  constructor(told: Told, makeTrace: () => readonly TraceStep[]) {
    this.kind = told.kind;
    this.reason = told.reason;
    this.native = told.native;
    if (told.rule !== undefined) this.rule = told.rule;
    this.#makeTrace = makeTrace;
  }

  get trace(): readonly TraceStep[] {
    return this.#makeTrace();
  }
}

function refused(reason: string): Decision {
  return { kind: 'refused', reason, trace: [] };
}

function* namesOf({ added, deleted, modified, renamed }: ChangedPaths): Iterable<string> {
  for (const paths of [added, deleted, modified, renamed]) for (const path of paths) yield* spellings(path);
}

interface Asked {
  readonly question: Question;
  readonly repository: ConfRepository;
  readonly user: ConfUser;
}

/** `@all` gives the anonymous user nothing: the gate's open doors would otherwise publish what is meant for every account. */
function userOf(principal: Principal, { conf }: RepositoryFacts): ConfUser {
  if (principal.kind === 'anonymous') return { name: conf?.anonymousUser ?? ANONYMOUS_USER, isOutside: true };
  // Groups of the house are no groups of a site that has its own.
  if (conf !== undefined && principal.credential.kind !== 'shell') return { name: principal.name };
  return { name: principal.name, outerGroups: principal.groups };
}

/** The role READERS is the setting `readers`, which lists groups; and so on. */
function permissionsOf(settings: RepositoryFacts['settings'], roles: ReadonlySet<string>): string {
  const lines = [...roles].flatMap((role) => {
    const value = settings[role.toLowerCase()];
    const groups = value === undefined ? [] : typeof value === 'string' ? [value] : value;
    return groups.map((group) => `${role} @${group.replace(/^@/, '')}`);
  });
  return lines.join('\n');
}

function placeOf(rule: ConfRule): string {
  return `${CONF_FOLDER}${rule.file}:${rule.line}`;
}

function becauseOf({ rule, fate }: RuleStep): string {
  const said = `${rule.permission} ${rule.refex} = ${rule.user}`;
  switch (fate) {
    case 'ref unknown':
      return `${said}: the ref is not known yet`;
    case 'ref differs':
      return `${said}: not this ref`;
    case 'permission differs':
      return `${said}: not this permission`;
    case 'refuses':
    case 'allows':
      return `${said}: ${fate}`;
    default:
      return fate satisfies never;
  }
}
