/**
 * The one walk of every request: admit, find the repository, decide, serve, journal. Read `#walk` first; a
 * transport only translates what comes back. Commands take the same walk with another tail (`command`).
 */
import type { Decision, Question } from '../access/decision.ts';
import type { Journal, JournalRef, JournalOutcome } from '../audit/entry.ts';
import type { Clock } from '../base/clock.ts';
import type { Conversation } from '../git/service.ts';
import type { Principal } from '../identity/principal.ts';
import { parseRequestedName, type RepositoryName } from '../repository/name.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import { Admission, type AdmissionLimits } from './admission.ts';
import { commandLine, gitLine, type Findings } from './line.ts';
import { outcomeOf } from './outcome.ts';
import type { GitRequest, Outcome, RequestOrigin } from './request.ts';
import { missingReason, phantomOf, scopeRefusal } from './refusal.ts';

/** What the walk asks of the policy. */
export interface WalkPolicy {
  decide(question: Question): Decision;
  /** Undefined: every ref. */
  readableRefs(principal: Principal, repository: RepositoryFacts): ((refname: string) => boolean) | undefined;
}

export interface WalkUpload {
  serve(
    conversation: Conversation,
    about: {
      readonly repository: Repository;
      readonly service: 'upload-pack' | 'upload-archive';
      readonly mayRead: ((refname: string) => boolean) | undefined;
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

export interface WalkLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface WalkMetrics {
  request(labels: { readonly transport: string; readonly service: string; readonly outcome: string }, ms: number): void;
  bytes(direction: 'in' | 'out', transport: string, count: number): void;
}

export interface WalkParts {
  readonly catalogue: { find(name: RepositoryName): Promise<Repository | undefined> };
  readonly policy: WalkPolicy;
  readonly upload: WalkUpload;
  readonly receive: WalkReceive;
  readonly journal: Journal;
  readonly log: WalkLog;
  readonly metrics: WalkMetrics;
  readonly clock: Clock;
  readonly limits?: Partial<AdmissionLimits>;
}

/** How a command ended, for its line in the journal. */
export interface CommandEnd {
  readonly exit: number;
  readonly outcome: JournalOutcome;
  readonly reason?: string;
  readonly rule?: string;
}

export interface CommandTrip {
  readonly argv: readonly string[];
  readonly repository?: string;
  /** Aborted when the client is gone. */
  readonly signal?: AbortSignal;
}

export interface Walk {
  /** Never rejects. Exactly one journal line for each call. */
  handle(request: GitRequest): Promise<Outcome>;
  /**
   * Runs a command's tail under admission, with one journal line.
   * `signal` of the tail is aborted when the client is gone or the drain is over.
   * @throws what the tail throws (after its line is written), and Fault 'busy' or 'aborted' of admission.
   */
  command(
    origin: RequestOrigin,
    about: CommandTrip,
    tail: (signal: AbortSignal) => Promise<CommandEnd>,
  ): Promise<CommandEnd>;
  /** No new requests; running ones get `ms` milliseconds. Resolves when none runs. */
  drain(ms: number): Promise<void>;
  readonly draining: boolean;
  readonly running: number;
}

export function createWalk(parts: WalkParts): Walk {
  return new OneWalk(parts);
}

const NEVER = new AbortController().signal;

class OneWalk implements Walk {
  readonly #parts: WalkParts;
  readonly #admission: Admission;

  constructor(parts: WalkParts) {
    this.#parts = parts;
    this.#admission = new Admission(parts);
  }

  get draining(): boolean {
    return this.#admission.draining;
  }

  get running(): number {
    return this.#admission.running;
  }

  drain(ms: number): Promise<void> {
    return this.#admission.drain(ms);
  }

  async handle(request: GitRequest): Promise<Outcome> {
    const findings: Findings = { begunMs: this.#parts.clock.monotonicMs() };
    try {
      // The place is given back after the line is written: a drained gate has written everything.
      using place = await this.#admission.enter(request, request.signal);
      return await this.#journaled(request, findings, await this.#guarded(request, place.signal, findings));
    } catch (error) {
      findings.error = error;
      return this.#journaled(request, findings, outcomeOf(error, { requestId: request.id, inBand: false }));
    }
  }

  /** The walk itself: every access decision about Git traffic is made here and in `policy`. */
  async #walk(request: GitRequest, signal: AbortSignal, findings: Findings): Promise<Outcome> {
    const { catalogue, policy, upload, receive } = this.#parts;
    const { principal, service } = request;

    const operation = service === 'receive-pack' ? 'write' : 'read';
    const scope = scopeRefusal(principal, operation);
    if (scope !== undefined) return { kind: 'refused', reason: scope };

    // What is not there gets the same questions as what is, so that neither words nor time tell them apart.
    const name = parseRequestedName(request.requestedPath);
    const found = name.kind === 'ok' ? await catalogue.find(name.value) : undefined;
    const phantom = phantomOf(name, principal);
    const reading = policy.decide({ principal, operation: 'read', repository: found ?? phantom });
    if (found === undefined || reading.kind === 'refused') {
      findings.rule = reading.rule;
      const creating = policy.decide({ principal, operation: 'create-repository', repository: phantom });
      const mayCreate = operation === 'write' && name.kind === 'ok' && creating.kind === 'allowed';
      return { kind: 'missing', reason: missingReason(request.requestedPath, name, mayCreate) };
    }
    findings.repository = found.name;

    if (operation === 'write') {
      const writing = policy.decide({ principal, operation: 'write', repository: found });
      findings.rule = writing.rule;
      if (writing.kind === 'refused') return { kind: 'refused', reason: writing.reason };
    }

    // From here on the client is told of errors in the protocol, by the part that serves.
    findings.serving = true;
    const conversation: Conversation = { ...wireOf(request), signal };
    const mayRead = policy.readableRefs(principal, found);
    findings.report =
      service === 'receive-pack'
        ? await receive.serve(conversation, { repository: found, principal, origin: originOf(request), mayRead })
        : await upload.serve(conversation, { repository: found, service, mayRead });
    return { kind: 'served' };
  }

  /** The walk, with what it throws turned into an outcome and a log line. */
  async #guarded(request: GitRequest, signal: AbortSignal, findings: Findings): Promise<Outcome> {
    try {
      return await this.#walk(request, signal, findings);
    } catch (error) {
      findings.error = error;
      return outcomeOf(error, { requestId: request.id, inBand: findings.serving === true });
    }
  }

  /** Writes the request's one journal line, its log line and its metrics. Never throws. */
  async #journaled(request: GitRequest, findings: Findings, outcome: Outcome): Promise<Outcome> {
    const { journal, clock, metrics } = this.#parts;
    const line = gitLine(request, outcome, findings, clock.monotonicMs());
    let told = outcome;
    try {
      if (line.durable) await journal.append(line.entry);
      else if (line.entry !== undefined) journal.record(line.entry);
    } catch (error) {
      findings.error = error;
      told = outcomeOf(error, { requestId: request.id, inBand: findings.serving === true });
    }
    this.#tell({ request: request.id, ...line.log }, told.kind === 'faulted' ? findings.error : undefined);
    const journalOutcome = told.kind === 'faulted' ? 'faulted' : line.outcome;
    const { transport } = request;
    metrics.request({ transport, service: request.service, outcome: journalOutcome }, line.ms);
    const { report } = findings;
    if (report !== undefined) metrics.bytes('in', transport, report.bytesIn);
    if (report !== undefined && 'bytesOut' in report) metrics.bytes('out', transport, report.bytesOut);
    return told;
  }

  async command(
    origin: RequestOrigin,
    about: CommandTrip,
    tail: (signal: AbortSignal) => Promise<CommandEnd>,
  ): Promise<CommandEnd> {
    const { clock, journal, metrics } = this.#parts;
    const begunMs = clock.monotonicMs();
    const finish = (end: CommandEnd, error?: unknown): void => {
      const ms = clock.monotonicMs() - begunMs;
      journal.record(commandLine(origin, about, end, ms));
      this.#tell({ request: origin.id, event: 'command', outcome: end.outcome, ms: Math.round(ms) }, error);
      metrics.request({ transport: origin.transport, service: 'command', outcome: end.outcome }, ms);
    };
    try {
      using place = await this.#admission.enter(origin, about.signal ?? NEVER);
      const end = await tail(place.signal);
      finish(end);
      return end;
    } catch (error) {
      const { reason } = outcomeOf(error, { requestId: origin.id, inBand: false });
      finish({ exit: 1, outcome: 'faulted', reason }, error);
      throw error;
    }
  }

  #tell(fields: Readonly<Record<string, unknown>>, error: unknown): void {
    const { log } = this.#parts;
    if (error === undefined) log.info(fields, 'finish request');
    else log.warn({ ...fields, error }, 'fail request');
  }
}

function wireOf(request: GitRequest): Omit<Conversation, 'signal'> {
  const { protocol, mode, input, output, id } = request;
  return { protocol, mode, input, output, requestId: id };
}

function originOf({ id, transport, address, principal }: GitRequest): RequestOrigin {
  return { id, transport, address, principal };
}
