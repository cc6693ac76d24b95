/**
 * The policy in force. It comes from the policy repository's HEAD; a HEAD that is wrong leaves the last
 * good policy in force, over restarts too, and where there is none, only administrators may do anything.
 */
import type { Clock } from '../base/clock.ts';
import { isJsonObject, type Json } from '../base/json.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Principal } from '../identity/principal.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { Store } from '../store/store.ts';
import { compileAnnexes, type PolicyAnnex } from './annex.ts';
import { checkPolicy, checkReason, checkText, type PolicyCheck } from './check.ts';
import { compilePolicy, POLICY_ENTRY, type PolicySources } from './compile.ts';
import type { ConfGround } from './gitolite/conf-policy.ts';
import type { Decision, Question } from './decision.ts';
import type { Explanation, Policy, PolicyNeeds } from './policy.ts';
import { renderProblem } from './problem.ts';
import { readHead, readPolicyTree, type TreeQuestion } from './tree.ts';
import { Fault } from '../base/fault.ts';

/** What this floor writes to the log. */
export interface PolicyLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface PolicyHolderOptions {
  readonly store: Pick<Store, 'get' | 'transact'>;
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly log: PolicyLog;
  readonly clock: Pick<Clock, 'now'>;
  /** What else the files of the policy say, in force with the rules. */
  readonly annexes?: readonly PolicyAnnex[];
}

export interface PolicyOrigin {
  /** The commit; undefined for `closed`. */
  readonly oid: string | undefined;
  /** `closed`: nothing usable was found, only administrators may do anything. */
  readonly source: 'head' | 'last-good' | 'closed';
}

export interface PolicyCandidate {
  readonly oid: string;
  readonly sources: PolicySources;
  readonly policy: Policy;
  readonly adoptAnnexes: () => void;
}

/** `text` is for the person who pushes, many lines; `reason` is one line. */
export type CandidateReport =
  | { readonly kind: 'ok'; readonly candidate: PolicyCandidate; readonly text: string; readonly check: PolicyCheck }
  | { readonly kind: 'wrong'; readonly reason: string; readonly text: string; readonly check: PolicyCheck };

const KEY = 'last-good';

const CLOSED_RULES = `
default deny "no policy is in force; administrators repair it in gatehouse-admin"
allow "administrators repair the policy" [group is administrators] ![as_user prefix '']
`;

export class PolicyHolder implements Policy {
  readonly #options: PolicyHolderOptions;
  #policy: Policy;
  #sources: PolicySources = new Map();
  #revision = 0;
  #origin: PolicyOrigin = { oid: undefined, source: 'closed' };
  /** Writes to the store, one behind the other, so that the last adopted is the last remembered. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: PolicyHolderOptions) {
    this.#options = options;
    this.#policy = closedPolicy();
  }

  get origin(): PolicyOrigin {
    return this.#origin;
  }

  /** Grows whenever another policy is put in force: what was decided before may be decided otherwise. */
  get revision(): number {
    return this.#revision;
  }

  /** The files of the policy in force. */
  get sources(): PolicySources {
    return this.#sources;
  }

  get annexes(): readonly PolicyAnnex[] {
    return this.#options.annexes ?? [];
  }

  get needs(): PolicyNeeds {
    return this.#policy.needs;
  }

  needsFor(repository: RepositoryFacts): PolicyNeeds {
    return this.#policy.needsFor(repository);
  }

  decide(question: Question): Decision {
    return this.#policy.decide(question);
  }

  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined {
    return this.#policy.readableRefs(principal, repository);
  }

  confGround(principal: Principal, repository: RepositoryFacts): ConfGround | undefined {
    return this.#policy.confGround?.(principal, repository);
  }

  explain(question: Question): Explanation {
    return this.#policy.explain(question);
  }

  /** At start, and after the policy repository was changed behind the gate's back. */
  async load(repository: { readonly path: string }): Promise<PolicyOrigin> {
    const { log } = this.#options;
    const head = await this.#loadHead(repository.path);
    if (head?.kind === 'ok') {
      await this.adopt(head.candidate);
      return this.#origin;
    }
    if (head !== undefined)
      log.error({ problems: head.check.problems.map(renderProblem) }, 'refuse the policy at HEAD');
    const last = await this.#loadLastGood();
    if (last === undefined) {
      this.#close();
      log.error({}, 'find no usable policy: only administrators may do anything');
    } else {
      this.#use(last, 'last-good');
      log.error({ oid: last.oid }, 'keep the last good policy');
    }
    return this.#origin;
  }

  /** @throws Fault where the commit cannot be read; what is wrong with the policy is a value. */
  async checkCandidate(question: {
    readonly gitDir: string;
    readonly objectDirectory?: string;
    readonly commit: string;
    readonly signal?: AbortSignal;
  }): Promise<CandidateReport> {
    const { commit, ...where } = question;
    const tree = await readPolicyTree({ ...where, processes: this.#options.processes }, commit);
    if (tree.kind === 'wrong') return wrongReport({ rules: [], problems: tree.problems, warnings: [], scenarios: [] });
    const check = checkPolicy(tree.sources, this.annexes);
    const { policy, adoptAnnexes } = check;
    if (policy === undefined || adoptAnnexes === undefined) return wrongReport(check);
    const candidate = { oid: commit, sources: tree.sources, policy, adoptAnnexes };
    return { kind: 'ok', candidate, text: checkText(check), check };
  }

  /** Puts a checked policy in force, whole, at once; then remembers it as the last good one. */
  async adopt(candidate: PolicyCandidate): Promise<void> {
    this.#use(candidate, 'head');
    this.#options.log.info({ oid: candidate.oid }, 'put policy in force');
    this.#writing = this.#writing.then(() => this.#remember(candidate));
    await this.#writing;
  }

  #use(candidate: PolicyCandidate, source: 'head' | 'last-good'): void {
    candidate.adoptAnnexes();
    this.#policy = candidate.policy;
    this.#revision += 1;
    this.#sources = candidate.sources;
    this.#origin = { oid: candidate.oid, source };
  }

  /** Nothing usable was found: annexes are as they are without files. */
  #close(): void {
    compileAnnexes(this.annexes, new Map()).adopt?.();
    this.#policy = closedPolicy();
    this.#revision += 1;
    this.#sources = new Map();
    this.#origin = { oid: undefined, source: 'closed' };
  }

  async #loadHead(gitDir: string): Promise<CandidateReport | undefined> {
    const question: TreeQuestion = { processes: this.#options.processes, gitDir };
    try {
      const oid = await readHead(question);
      return oid === undefined ? undefined : await this.checkCandidate({ gitDir, commit: oid });
    } catch (error) {
      this.#options.log.error({ error }, 'fail to read the policy at HEAD');
      return undefined;
    }
  }

  /** Compiled only: it passed its scenarios when it was put in force. */
  async #loadLastGood(): Promise<PolicyCandidate | undefined> {
    const stored = await this.#options.store.get('policy', KEY);
    const value = stored?.value;
    if (!isJsonObject(value) || typeof value['oid'] !== 'string' || !isJsonObject(value['sources'])) return undefined;
    const sources = new Map<string, string>();
    for (const [path, text] of Object.entries(value['sources'])) if (typeof text === 'string') sources.set(path, text);
    const compiled = compilePolicy(sources);
    const { adopt } = compileAnnexes(this.annexes, sources);
    if (compiled.kind === 'wrong' || adopt === undefined) return undefined;
    return { oid: value['oid'], sources, policy: compiled.policy, adoptAnnexes: adopt };
  }

  /** A failure here loses a spare, not the policy: HEAD holds it. */
  async #remember(candidate: PolicyCandidate): Promise<void> {
    const put: Json = {
      oid: candidate.oid,
      sources: Object.fromEntries(candidate.sources),
      adoptedAt: this.#options.clock.now(),
    };
    try {
      await this.#options.store.transact({ writes: [{ kind: 'policy', key: KEY, put }] });
    } catch (error) {
      this.#options.log.error({ error, oid: candidate.oid }, 'fail to remember the last good policy');
    }
  }
}

function wrongReport(check: PolicyCheck): CandidateReport {
  return { kind: 'wrong', reason: checkReason(check), text: checkText(check), check };
}

function closedPolicy(): Policy {
  const compiled = compilePolicy(new Map([[POLICY_ENTRY, CLOSED_RULES]]));
  if (compiled.kind === 'ok') return compiled.policy;
  throw new Fault('internal', 'closed policy does not compile', { context: { problems: compiled.problems } });
}
