/** What the walk calls on the floors below, as narrowly as it uses it; `house.ts` hands the real parts in. */
import type { Decision, Question } from '../access/decision.ts';
import type { Journal, JournalOutcome, JournalRef } from '../audit/entry.ts';
import type { Clock } from '../base/clock.ts';
import type { Fault, Parsed } from '../base/fault.ts';
import type { Conversation, StillAllowed } from '../git/service.ts';
import type { Principal } from '../identity/principal.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import type { AdmissionLimits } from './admission.ts';
import type { GitRequest, RequestOrigin } from './request.ts';
import type { Work } from './work.ts';

/** What the walk asks of the policy. */
export interface WalkPolicy {
  decide(question: Question): Decision;
  /** Undefined: every ref. The same function for the same answers, at least as long as anybody holds it. */
  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined;
}

export interface WalkUpload {
  serve(
    conversation: Conversation,
    about: {
      readonly repository: Repository;
      readonly service: 'upload-pack' | 'upload-archive';
      readonly mayRead: ((refname: string) => boolean) | undefined;
      readonly freshen?: (() => Promise<void>) | undefined;
      readonly bundleUrl?: string | undefined;
    },
  ): Promise<{ readonly event: string; readonly bytesIn: number; readonly bytesOut: number }>;
}

export interface WalkReceive {
  serve(
    conversation: Conversation,
    about: {
      readonly repository: Repository;
      readonly principal: Principal;
      readonly origin: RequestOrigin;
      readonly mayRead: ((refname: string) => boolean) | undefined;
      /**
       * Asks once more, after the hours that a push may take: who pushes and what they push to as they are now, or
       * why the push may go no further.
       */
      readonly confirm: () => Promise<Parsed<Standing>>;
      readonly freshen?: (() => Promise<void>) | undefined;
    },
  ): Promise<{
    readonly refs: readonly JournalRef[];
    readonly outcome: JournalOutcome;
    readonly bytesIn: number;
    readonly rule?: string | undefined;
    readonly reason?: string | undefined;
    /** The push already has its line: it was on disk before the client heard of success. */
    readonly journaled: boolean;
  }>;
}

/** A gitolite site beside the house's own repositories (`gitolite/visits.ts`). */
export interface WalkSite {
  /** Undefined: the house answers. @throws Fault where what a user of the site asks for is no name. */
  begin(request: GitRequest, principal: Principal): Promise<WalkVisit | undefined>;
}

/** A request for a repository of the site. */
export interface WalkVisit {
  readonly name: RepositoryName;
  /** Undefined: it is not there. */
  readonly repository: Repository | undefined;
  /** What is asked about: what is there, or what its asker would make. */
  readonly facts: RepositoryFacts;
  /** The repository as it is by now. */
  look(): Promise<Repository | undefined>;
  create(): Promise<void>;
  /** Triggers that see the decision, and may refuse by a fault. */
  decided(answer: string): Promise<void>;
  /** Right before Git; disposed when Git has ended. */
  begin(): Promise<Disposable>;
  end(): Promise<void>;
}

/** The mirrors among the repositories (`upstream/mirrors.ts`). */
export interface WalkMirrors {
  /**
   * What makes the refs of a mirror those of its upstream; undefined: it is no mirror. What is returned throws Fault
   * `upstream` where that is not possible.
   */
  freshener(
    repository: Repository,
    about: { readonly requestId: string; readonly signal: AbortSignal },
  ): (() => Promise<void>) | undefined;
}

/** Who asks, about what, and which of its refs they may read. */
export interface Standing extends StillAllowed {
  readonly principal: Principal;
  readonly repository: Repository;
}

export interface WalkLog {
  /** False: nobody reads what `info` is told. */
  readonly hasInfo?: boolean;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface WalkMetrics {
  request(labels: { readonly transport: string; readonly service: string; readonly outcome: string }, ms: number): void;
  bytes(direction: 'in' | 'out', transport: string, count: number): void;
}

export interface WalkParts {
  /** Undefined: the account or the credential is not accepted any more. */
  readonly directory: { current(principal: Principal): Promise<Principal | undefined> };
  readonly catalogue: {
    find(name: RepositoryName): Promise<Repository | undefined>;
    byId(id: string): Promise<Repository | undefined>;
  };
  readonly policy: WalkPolicy;
  readonly site?: WalkSite;
  readonly mirrors?: WalkMirrors;
  readonly upload: WalkUpload;
  readonly receive: WalkReceive;
  /** Where a client that came this way finds a repository's bundle; undefined: nowhere. */
  readonly bundleUrl?: (transport: RequestOrigin['transport'], repository: Repository) => string | undefined;
  /** `failure`: why nothing can be written now. Then nothing that changes anything is begun. */
  readonly journal: Journal & { readonly failure?: Fault | undefined };
  readonly log: WalkLog;
  readonly metrics: WalkMetrics;
  readonly clock: Clock;
  readonly limits?: Partial<AdmissionLimits>;
  /** Places for what costs much; absent: nobody waits for one. */
  readonly work?: Pick<Work, 'gate' | 'close'>;
}
