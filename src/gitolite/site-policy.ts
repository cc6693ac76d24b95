/**
 * The policy of a house that serves a gitolite site: what lies on the site is the conf's to decide, everything else is
 * decided as in a house without one.
 */
import type { Decision, Question } from '../access/decision.ts';
import type { Explanation, Policy, PolicyNeeds } from '../access/policy.ts';
import { ReadPredicates } from '../access/read-predicates.ts';
import type { Principal } from '../identity/principal.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { Site } from './site.ts';

export class GovernedPolicy implements Policy {
  readonly #house: Policy & { readonly revision: number };
  readonly #site: Pick<Site, 'current'>;
  readonly #predicates = new ReadPredicates();

  constructor(house: Policy & { readonly revision: number }, site: Pick<Site, 'current'>) {
    this.#house = house;
    this.#site = site;
  }

  get needs(): PolicyNeeds {
    return this.#house.needs;
  }

  /** Another number once either policy is another. */
  get revision(): number {
    return this.#house.revision + (this.#site.current?.revision ?? 0);
  }

  needsFor(repository: RepositoryFacts): PolicyNeeds {
    if (repository.conf === undefined) return this.#house.needsFor(repository);
    return this.#site.current?.policy.needsFor(repository) ?? { paths: false, refReads: false };
  }

  decide(question: Question): Decision {
    const { repository, operation } = question;
    if (repository?.conf === undefined)
      return this.#isSites(question) ? refused(SITES_NAME) : this.#house.decide(question);
    const conf = this.#site.current?.policy;
    if (conf === undefined) return refused('the conf of the site is not in force');
    if (repository.conf.isUnhooked === true) return unhooked(question, repository);
    if (NOT_ITS_OWN.has(operation)) return refused(`${repository.name} is changed by the commands of its site`);
    try {
      return conf.decide(question);
    } catch (error) {
      const what = error instanceof Error ? error.name : 'unknown failure';
      return refused(`the conf could not be evaluated (${what})`);
    }
  }

  explain(question: Question): Explanation {
    const conf = this.#site.current?.policy;
    if (question.repository?.conf === undefined || conf === undefined) return this.#house.explain(question);
    return conf.explain(question);
  }

  /** The conf knows no refs that some readers may not see; git's own configuration may hide some from everybody. */
  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined {
    if (repository.conf === undefined) return this.#house.readableRefs(principal, repository);
    const { hiddenRefs = [] } = repository.conf;
    if (hiddenRefs.length === 0) return undefined;
    return this.#predicates.of(hiddenRefs.join('\n'), () => (refname) => !isHidden(refname, hiddenRefs));
  }

  /** What a house repository would be called that the conf has something to say about: never both. */
  #isSites({ repository, operation }: Question): boolean {
    const conf = this.#site.current?.policy;
    if (operation !== 'create-repository' || repository === undefined || conf === undefined) return false;
    const facts = { creator: repository.owner, permissions: '', groups: [], roles: NO_ROLES };
    return conf.governsRepository({ ...repository, conf: facts });
  }
}

const NO_ROLES: ReadonlySet<string> = new Set();
const SITES_NAME = 'the conf of the gitolite site has this name: its repository is made there';

/** git-config(1), transfer.hideRefs: a prefix of whole components; the last that fits counts, `!` makes it visible. */
function isHidden(refname: string, patterns: readonly string[]): boolean {
  const last = patterns.findLast((pattern) => {
    const prefix = pattern.replace(/^!?\^?/, '').replace(/\/+$/, '');
    return refname === prefix || refname.startsWith(`${prefix}/`);
  });
  return last !== undefined && !last.startsWith('!');
}

const NOT_ITS_OWN = new Set<Question['operation']>([
  'configure',
  'administer',
  'rename-repository',
  'destroy-repository',
]);

/** In gitolite's words, which speak of no rule. */
function unhooked({ principal, operation }: Question, { name, conf }: RepositoryFacts): Decision {
  const user = principal.kind === 'user' ? principal.name : (conf?.anonymousUser ?? 'daemon');
  const attempt = operation === 'read' ? 'R' : 'W';
  const reason = `${name} has no update hook: the site never set it up (gitolite setup does)`;
  return { ...refused(reason), native: { attempt, text: `${attempt} any ${name} ${user} DENIED by fallthru` } };
}

function refused(reason: string): Decision {
  return { kind: 'refused', reason, trace: [] };
}
