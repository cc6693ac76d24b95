/**
 * The one walk of every request: admit, find the repository, decide, serve, journal. Read `#walk` first; a
 * transport only translates what comes back. Commands take the same walk with another tail (`command`).
 */
import type { Decision, Operation, Question } from '../access/decision.ts';
import type { JournalEntry, JournalOutcome } from '../audit/entry.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { isSiteUser } from '../gitolite/site-users.ts';
import type { Principal } from '../identity/principal.ts';
import { parseRequestedName } from '../repository/name.ts';
import type { Repository } from '../repository/repository.ts';
import { Admission, type Place } from './admission.ts';
import { askedOf, noticeOf, originOf, outOfReach, Wiring, type Asked } from './asked.ts';
import { commandLine, gitLine, type Findings } from './line.ts';
import { outcomeOf } from './outcome.ts';
import { waitingWords } from './places.ts';
import type { GitRequest, Outcome, RequestOrigin } from './request.ts';
import { missingReason, phantomOf } from './refusal.ts';
import { visitLine, type VisitOutcome, type VisitRequest, type VisitTail } from './visit.ts';
import type { Standing, WalkParts, WalkVisit } from './walk-parts.ts';

/** How a command ended, for its line in the journal. */
export interface CommandEnd {
  readonly exit: number;
  readonly outcome: JournalOutcome;
  readonly reason?: string;
  readonly rule?: string;
  /** Gives the answer to the client, once the journal has its line. */
  readonly tell?: () => Promise<void>;
}

export interface CommandTrip {
  readonly argv: readonly string[];
  readonly repository?: string;
  /** It only looks: its line need not be on disk before the answer, and it runs while the journal cannot be written. */
  readonly isReadOnly?: boolean;
  /** Aborted when the client is gone. */
  readonly signal?: AbortSignal;
}

/** @param origin with the principal as it is by now, or why it is accepted no more: then the tail only says so. */
export type CommandTail = (signal: AbortSignal, origin: Parsed<RequestOrigin>) => Promise<CommandEnd>;

interface CommandWritten {
  readonly origin: RequestOrigin;
  readonly about: CommandTrip;
  readonly begunMs: number;
  readonly end: CommandEnd;
  readonly error?: unknown;
}

export interface Walk {
  /** Never rejects. Exactly one journal line for each call. */
  handle(request: GitRequest): Promise<Outcome>;
  /**
   * Runs a command's tail under admission, with one journal line: on disk before the client hears, where the command
   * changes anything. `signal` of the tail is aborted when the client is gone or the drain is over; its `origin` has the
   * principal as it is by then.
   * @throws what the tail throws (after its line is written), Fault 'busy' or 'aborted' of admission, and the journal's
   * while it cannot be written.
   */
  command(origin: RequestOrigin, about: CommandTrip, tail: CommandTail): Promise<CommandEnd>;
  /**
   * A request about a repository that is no conversation of Git's: the same questions, then `tail`, with one journal line.
   * Never rejects. `told`: the tail answered the client itself.
   */
  visit(request: VisitRequest, tail: VisitTail): Promise<VisitOutcome>;
  /** No new requests; running ones get `ms` milliseconds. Resolves when none runs. */
  drain(ms: number): Promise<void>;
  readonly draining: boolean;
  readonly running: number;
}

export function createWalk(parts: WalkParts): Walk {
  return new OneWalk(parts);
}

const OTHER_REPOSITORY = 'what you showed is for another repository';
const NEVER = new AbortController().signal;
const NOT_ACCEPTED = 'your account, or the key or token you showed, is not accepted any more';

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
    this.#parts.work?.close();
    return this.#admission.drain(ms);
  }

  async handle(request: GitRequest): Promise<Outcome> {
    const findings: Findings = { begunMs: this.#parts.clock.monotonicMs() };
    try {
      // The place is given back after the line is written: a drained gate has written everything.
      const notice = noticeOf(request);
      const tell = notice && ((waiting: Parameters<typeof waitingWords>[0]): void => notice(waitingWords(waiting)));
      using place = await this.#admission.enter(request, request.signal, tell);
      return await this.#journaled(request, findings, await this.#guarded(request, place, findings));
    } catch (error) {
      findings.error = error;
      return this.#journaled(request, findings, outcomeOf(error, { requestId: request.id, inBand: false }));
    }
  }

  /** The walk itself: every access decision about Git traffic is made here and in `policy`. */
  async #walk(request: GitRequest, place: Place, findings: Findings): Promise<Outcome> {
    const { directory, journal, upload, receive } = this.#parts;
    const { service } = request;
    const principal = await directory.current(request.principal);
    if (principal === undefined) return { kind: 'refused', reason: NOT_ACCEPTED };

    const asked = askedOf(request);
    const { operation } = asked;
    const kept = outOfReach(asked, principal, findings);
    if (kept !== undefined) return kept;

    const { site } = this.#parts;
    const visit = site && (await site.begin(request, principal));
    const admitted =
      visit === undefined
        ? await this.#admit(asked, principal, findings)
        : await this.#admitToSite(asked, { principal, visit, findings });
    if (admitted.kind !== 'ok') return admitted;
    const found = admitted.value;
    // A push that could not be journaled is not begun: its commit point would come before the journal says no.
    if (operation === 'write' && journal.failure !== undefined) throw journal.failure;

    using _ = visit && (await visit.begin());
    // From here on the client is told of errors in the protocol, by the part that serves.
    findings.serving = true;
    const origin = { ...originOf(request), principal };
    const work = this.#parts.work?.gate(origin, found.id);
    const mayRead = this.#parts.policy.readableRefs(principal, found);
    const confirm = (): Promise<Parsed<Standing>> => this.#confirm(asked, found, visit);
    const conversation = new Wiring(request, place, { work, confirm });
    const freshen = this.#parts.mirrors?.freshener(found, conversation);
    findings.report =
      service === 'receive-pack'
        ? await receive.serve(conversation, { repository: found, principal, origin, mayRead, confirm, freshen })
        : await upload.serve(conversation, {
            repository: found,
            service,
            mayRead,
            freshen,
            bundleUrl: visit === undefined ? this.#parts.bundleUrl?.(request.transport, found) : undefined,
          });
    if (visit !== undefined) await visit.end();
    return { kind: 'served' };
  }

  /** The repository of the house that is asked for, where the principal may do with it what is asked. */
  async #admit(asked: Asked, principal: Principal, findings: Findings): Promise<Admitted> {
    // What is not there gets the same questions as what is, so that neither words nor time tell them apart.
    const { operation } = asked;
    const name = parseRequestedName(asked.requestedPath);
    if (name.kind === 'ok') findings.repository = name.value;
    const found = name.kind === 'ok' ? await this.#parts.catalogue.find(name.value) : undefined;
    const phantom = phantomOf(name, principal);
    const forPush = operation === 'write' ? ({ forPush: true } as const) : {};
    const reading = this.#decide(asked, { principal, operation: 'read', repository: found ?? phantom, ...forPush });
    if (found === undefined || reading.kind === 'refused') {
      findings.rule = reading.rule;
      const mayMake = this.#mayMake(asked, principal);
      return { kind: 'missing', reason: missingReason(asked.requestedPath, name, mayMake) };
    }
    if (operation === 'read') return ok(found);
    const writing = this.#decide(asked, { principal, operation: 'write', repository: found });
    findings.rule = writing.rule;
    return writing.kind === 'refused' ? { kind: 'refused', reason: writing.reason } : ok(found);
  }

  /** The same for a repository of the site, as gitolite's shell does it: made where that is allowed, one question. */
  async #admitToSite(asked: Asked, { principal, visit, findings }: SiteAsked): Promise<Admitted> {
    const forPush = asked.operation === 'write' ? ({ forPush: true } as const) : {};
    const ask = (operation: Operation): Decision =>
      this.#decide(asked, { principal, operation, repository: visit.facts, ...forPush });
    findings.repository = visit.name;
    if (visit.repository === undefined && ask('create-repository').kind === 'allowed') {
      if (this.#parts.journal.failure !== undefined) throw this.#parts.journal.failure;
      await visit.create();
    }
    const { operation } = asked;
    const decision = ask(operation);
    findings.rule = decision.rule;
    const { reason, native } = decision;
    await visit.decided(native?.text ?? reason);
    const { repository } = visit;
    if (decision.kind === 'allowed' && repository !== undefined) return ok(repository);
    // Where it is allowed, there is no such repository: a group, or a pattern.
    const own = native === undefined || decision.kind === 'allowed' ? {} : { native: native.text };
    const mayRead = repository !== undefined && operation !== 'read' && ask('read').kind === 'allowed';
    if (mayRead) return { kind: 'refused', reason, ...own };
    const mayMake = !isSiteUser(principal) && this.#mayMake(asked, principal);
    return { kind: 'missing', reason: missingReason(asked.requestedPath, ok(visit.name), mayMake), ...own };
  }

  /** Whether the hint about `create` is due: it depends on who asks and on the name, never on what is there. */
  #mayMake(asked: Asked, principal: Principal): boolean {
    const name = parseRequestedName(asked.requestedPath);
    const repository = phantomOf(name, principal);
    const creating = this.#decide(asked, { principal, operation: 'create-repository', repository });
    return asked.operation === 'write' && name.kind === 'ok' && creating.kind === 'allowed';
  }

  #decide(request: RequestOrigin, question: Question): Decision {
    return this.#parts.policy.decide({ ...question, variables: { source: request.transport } });
  }

  /** The questions once more, with everything as it is now. */
  async #confirm(asked: Confirmed, { id, name, conf }: Repository, visit?: WalkVisit): Promise<Parsed<Standing>> {
    const { catalogue, directory } = this.#parts;
    const principal = await directory.current(asked.principal);
    if (principal === undefined) return refuse(NOT_ACCEPTED);
    const repository = visit === undefined ? await catalogue.byId(id) : await visit.look();
    if (repository === undefined || (visit !== undefined && repository.id !== id))
      return refuse(`${name} was destroyed meanwhile`);
    const isPush = asked.operation === 'write';
    const operations: readonly Operation[] = isPush && conf === undefined ? ['read', 'write'] : [asked.operation];
    const forPush = isPush ? ({ forPush: true } as const) : {};
    for (const operation of operations) {
      const decision = this.#decide(asked, { principal, operation, repository, ...forPush });
      if (decision.kind === 'refused') return refuse(decision.reason);
    }
    return ok({ principal, repository, mayRead: this.#parts.policy.readableRefs(principal, repository) });
  }

  /** The walk, with what it throws turned into an outcome and a log line. */
  async #guarded(request: GitRequest, place: Place, findings: Findings): Promise<Outcome> {
    try {
      return await this.#walk(request, place, findings);
    } catch (error) {
      findings.error = error;
      const outcome = outcomeOf(error, { requestId: request.id, inBand: findings.serving === true });
      return request.run === undefined ? outcome : { ...outcome, cause: error };
    }
  }

  /** Writes the request's one journal line, its log line and its metrics. Never throws. */
  async #journaled(request: GitRequest, findings: Findings, outcome: Outcome): Promise<Outcome> {
    const { journal, clock, metrics } = this.#parts;
    const line = gitLine(request, outcome, findings, clock.monotonicMs());
    let told = outcome;
    try {
      if (line.durable) await this.#append(line.entry);
      else if (line.entry !== undefined) journal.record(line.entry);
    } catch (error) {
      findings.error = error;
      told = outcomeOf(error, { requestId: request.id, inBand: findings.serving === true });
    }
    this.#tell(line.log, told.kind === 'faulted' ? findings.error : undefined);
    const journalOutcome = told.kind === 'faulted' ? 'faulted' : line.outcome;
    const { transport } = request;
    metrics.request({ transport, service: request.service, outcome: journalOutcome }, line.ms);
    const { report } = findings;
    if (report !== undefined) metrics.bytes('in', transport, report.bytesIn);
    if (report !== undefined && 'bytesOut' in report) metrics.bytes('out', transport, report.bytesOut);
    return told;
  }

  async visit(request: VisitRequest, tail: VisitTail): Promise<VisitOutcome> {
    const findings: Findings = { begunMs: this.#parts.clock.monotonicMs() };
    const faulted = (error: unknown): VisitOutcome => {
      findings.error = error;
      return outcomeOf(error, { requestId: request.id, inBand: findings.serving === true });
    };
    try {
      using place = await this.#admission.enter(request, request.signal);
      const result = await this.#visited(request, { signal: place.signal, findings, tail }).catch(faulted);
      const written = await this.#visitJournaled(request, findings, result).catch(faulted);
      if (written.kind === 'told') await written.end.tell?.().catch(() => {});
      return written;
    } catch (error) {
      return this.#visitJournaled(request, findings, faulted(error)).catch(faulted);
    }
  }

  async #visited(request: VisitRequest, { signal, findings, tail }: Visiting): Promise<VisitOutcome> {
    const { directory, journal } = this.#parts;
    const principal = await directory.current(request.principal);
    if (principal === undefined) return { kind: 'refused', reason: NOT_ACCEPTED };
    const kept = outOfReach(request, principal, findings);
    if (kept !== undefined) return kept;
    const admitted = await this.#admit(request, principal, findings);
    if (admitted.kind !== 'ok') return admitted;
    const repository = admitted.value;
    if (request.repositoryId !== undefined && request.repositoryId !== repository.id) {
      return { kind: 'refused', reason: OTHER_REPOSITORY };
    }
    if (request.operation === 'write' && journal.failure !== undefined) throw journal.failure;
    const confirm = (): Promise<Parsed<Standing>> => this.#confirm(request, repository);
    const onAnswer = (): void => {
      findings.serving = true;
    };
    const mayRead = this.#parts.policy.readableRefs(principal, repository);
    const freshen = this.#parts.mirrors?.freshener(repository, { requestId: request.id, signal });
    const work = this.#parts.work?.gate({ ...originOf(request), principal }, repository.id);
    const end = await tail({ repository, principal, signal, mayRead, freshen, work, confirm, onAnswer });
    return { kind: 'told', end };
  }

  /** What changes something has its line on disk before its client hears. @throws the journal's fault. */
  async #visitJournaled(request: VisitRequest, findings: Findings, result: VisitOutcome): Promise<VisitOutcome> {
    const { clock, journal, metrics } = this.#parts;
    const { entry, ms } = visitLine(request, result, findings, clock.monotonicMs());
    const { outcome } = entry;
    this.#tell(() => ({ ...entry, request: request.id }), result.kind === 'faulted' ? findings.error : undefined);
    metrics.request({ transport: request.transport, service: request.event, outcome }, ms);
    if (entry.bytesIn !== undefined) metrics.bytes('in', request.transport, entry.bytesIn);
    if (entry.bytesOut !== undefined) metrics.bytes('out', request.transport, entry.bytesOut);
    if (result.kind === 'told' && result.end.isChange === true) await this.#append(entry);
    else journal.record(entry);
    return result;
  }

  async command(origin: RequestOrigin, about: CommandTrip, tail: CommandTail): Promise<CommandEnd> {
    const { clock, directory, journal } = this.#parts;
    const begunMs = clock.monotonicMs();
    const written = { origin, about, begunMs };
    let isWritten = false;
    try {
      // The place is given back when the client has its answer: a drained gate has told everybody.
      using place = await this.#admission.enter(origin, about.signal ?? NEVER);
      if (journal.failure !== undefined && about.isReadOnly !== true) throw journal.failure;
      const principal = await directory.current(origin.principal);
      const current = principal === undefined ? refuse(NOT_ACCEPTED) : ok({ ...origin, principal });
      const end = await tail(place.signal, current);
      isWritten = true;
      await this.#commandJournaled({ ...written, end });
      await end.tell?.();
      return end;
    } catch (error) {
      if (isWritten) throw error;
      const { reason } = outcomeOf(error, { requestId: origin.id, inBand: false });
      await this.#commandJournaled({ ...written, end: { exit: 1, outcome: 'faulted', reason }, error });
      throw error;
    }
  }

  /** @throws the journal's fault where a change could not be written down; the line is kept for a better moment. */
  async #commandJournaled(written: CommandWritten): Promise<void> {
    const { origin, about, begunMs, end, error } = written;
    const { clock, journal, metrics } = this.#parts;
    const ms = clock.monotonicMs() - begunMs;
    this.#tell(() => ({ request: origin.id, event: 'command', outcome: end.outcome, ms: Math.round(ms) }), error);
    metrics.request({ transport: origin.transport, service: 'command', outcome: end.outcome }, ms);
    const line = commandLine(origin, about, end, ms);
    if (about.isReadOnly === true || end.outcome !== 'served') journal.record(line);
    else await this.#append(line);
  }

  /** On disk when it resolves. Where that fails, the journal keeps the line and tries again when it can. */
  async #append(entry: JournalEntry): Promise<void> {
    try {
      await this.#parts.journal.append(entry);
    } catch (error) {
      this.#parts.journal.record(entry);
      throw error;
    }
  }

  /** @param fields made where such a line is written */
  #tell(fields: () => Readonly<Record<string, unknown>>, error: unknown): void {
    const { log } = this.#parts;
    if (error !== undefined) log.warn({ ...fields(), error }, 'fail request');
    else if (log.hasInfo !== false) log.info(fields(), 'finish request');
  }
}

type Confirmed = RequestOrigin & Pick<Asked, 'operation'>;

interface Visiting {
  readonly signal: AbortSignal;
  readonly findings: Findings;
  readonly tail: VisitTail;
}

type Admitted =
  | { readonly kind: 'ok'; readonly value: Repository }
  | Extract<Outcome, { readonly kind: 'missing' | 'refused' }>;

interface SiteAsked {
  readonly principal: Principal;
  readonly visit: WalkVisit;
  readonly findings: Findings;
}
