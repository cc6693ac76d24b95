/**
 * A site with both rule languages. A repository that the conf names is governed by the conf alone, any other by
 * Lace alone. `gatehouse-admin`, which holds both, is always Lace's; so is everything that the conf has no words
 * for: settings, rename, destroy, the site itself.
 */
import { ADMINISTRATORS } from '../identity/roster.ts';
import type { Principal } from '../identity/principal.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { Decision, Question } from './decision.ts';
import type { ConfGround, ConfPolicy } from './gitolite/conf-policy.ts';
import type { Explanation, Policy, PolicyNeeds } from './policy.ts';

export class SitePolicy implements Policy {
  readonly #lace: Policy;
  readonly #conf: ConfPolicy;

  constructor(lace: Policy, conf: ConfPolicy) {
    this.#lace = lace;
    this.#conf = conf;
  }

  /** What a repository of the conf needs, only `needsFor` knows. */
  get needs(): PolicyNeeds {
    return this.#lace.needs;
  }

  needsFor(repository: RepositoryFacts): PolicyNeeds {
    return this.#isConfs(repository) ? this.#conf.needsFor(repository) : this.#lace.needsFor(repository);
  }

  decide(question: Question): Decision {
    try {
      return this.#governorOf(question).decide(question);
    } catch (error) {
      const what = error instanceof Error ? error.name : 'unknown failure';
      return { kind: 'refused', reason: `the rules could not be evaluated (${what})`, trace: [] };
    }
  }

  explain(question: Question): Explanation {
    return this.#governorOf(question).explain(question);
  }

  /** The conf knows no refs that some readers may not see. */
  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined {
    return this.#isConfs(repository) ? undefined : this.#lace.readableRefs(principal, repository);
  }

  confGround(principal: Principal, repository: RepositoryFacts): ConfGround | undefined {
    return this.#isConfs(repository) ? this.#conf.confGround(principal, repository) : undefined;
  }

  #governorOf(question: Question): Pick<Policy, 'decide' | 'explain'> {
    const { repository } = question;
    if (repository === undefined || repository.name === ADMIN_REPOSITORY) return this.#lace;
    // Gitolite makes the repositories that the conf names when an administrator pushes it; here they make them by command.
    if (question.operation === 'create-repository' && isAdministrator(question.principal)) return this.#lace;
    return this.#conf.governs(question) ? this.#conf : this.#lace;
  }

  #isConfs(repository: RepositoryFacts): boolean {
    return repository.name !== ADMIN_REPOSITORY && this.#conf.governsRepository(repository);
  }
}

/** Not while acting as somebody: that never gives more than they have. */
function isAdministrator(principal: Principal): boolean {
  return principal.kind === 'user' && principal.asking === undefined && principal.groups.has(ADMINISTRATORS);
}
