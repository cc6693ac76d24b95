/**
 * What every rule language offers the house: an answer to each question, and what must be known before
 * asking. The walk asks nothing else about access.
 */
import type { Principal } from '../identity/principal.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { ConfGround } from './gitolite/conf-policy.ts';
import type { Decision, Question, TraceStep } from './decision.ts';

export interface PolicyNeeds {
  /** Some rule looks at changed paths or trees: `RefUpdateFacts.changed`, `startTree`, `targetTree` are wanted. */
  readonly paths: boolean;
  /** Some rule decides per ref what may be read. */
  readonly refReads: boolean;
  /** Some rule asks whether an update brings merges: `RefUpdateFacts.merges` is wanted. */
  readonly merges?: boolean;
}

export interface Explanation {
  readonly decision: Decision;
  /** The rules tried, in order, for an allowed question too. */
  readonly steps: readonly TraceStep[];
  /** For a person: the answer first, then a line for each rule. */
  readonly text: string;
}

export interface Policy {
  /** Never throws and reads no disk. */
  decide(question: Question): Decision;
  /** The site's own rules. */
  readonly needs: PolicyNeeds;
  /** The site's rules and the repository's own. */
  needsFor(repository: RepositoryFacts): PolicyNeeds;
  /**
   * Which refs a principal who may read the repository sees; undefined: all but `refs/gatehouse/*`. The
   * function remembers its answers: ask for a new one for each request.
   */
  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined;
  explain(question: Question): Explanation;
  /** What asks a gitolite conf ref by ref; undefined where none governs the repository. */
  confGround?(principal: Principal, repository: RepositoryFacts): ConfGround | undefined;
}
