/**
 * One push, from its request to its report: judged, held or committed, journaled, and the client told in this order. How
 * the client is spoken to is in `push-client.ts`.
 */
import type { JournalEntry } from '../audit/entry.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Conversation } from '../git/service.ts';
import type { PushTicket, PushTickets } from '../identity/pass-pushes.ts';
import { principalLabel } from '../identity/principal.ts';
import type { Committer } from './commit.ts';
import type { CommitRequest, Committed } from './commit-request.ts';
import { journalLine, journalRefs, outcomeOf, type PushLine } from './journal-line.ts';
import type { Signed } from '../identity/signatures.ts';
import { askAhead } from './decide.ts';
import { refuseHidden } from './hidden-meanwhile.ts';
import { awaitDecision, holdUpdates } from './hold-push.ts';
import type { HeldPush } from './hold-record.ts';
import type { Holding } from './holding.ts';
import { judgeAgainst } from './old-values.ts';
import { Pipeline, type Judged, type PipelineParts } from './pipeline.ts';
import { certificateText } from './push-certificate.ts';
import { PushClient, type PushClientParts } from './push-client.ts';
import { PushPlace } from './push-place.ts';
import type { PushRequest } from './push-request.ts';
import { openQuarantine, type Quarantine } from './quarantine.ts';
import type { CommittedEvent, PushAbout, ReceiveMetrics, ReceiveReport, Standing } from './receive.ts';
import { readRefname } from './ref-names.ts';
import { failTogether, mainRefusal, refuseAll, Update } from './update.ts';

export interface SessionParts extends PipelineParts, PushClientParts {
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly metrics: ReceiveMetrics;
  readonly committer: Committer;
  readonly passes?: PushTickets | undefined;
  readonly onCommitted?: (event: CommittedEvent) => void | Promise<void>;
  /** Absent: what would be held is refused. */
  readonly holding?: Holding | undefined;
}

interface ToCommit {
  readonly pipeline: Pipeline;
  readonly updates: readonly Update[];
  readonly request: PushRequest;
  readonly judged: Judged;
}

export class PushSession {
  readonly #parts: SessionParts;
  readonly #conversation: Conversation;
  #about: PushAbout;
  readonly #client: PushClient;
  /** Where a pass may push so many times only. */
  readonly #ticket: PushTicket | undefined;
  /** The certificate that came, as the journal keeps it. */
  #certificate: string | undefined;
  /** Why the commit failed: no deadline that passed meanwhile says more. */
  #truth: unknown;

  constructor(parts: SessionParts, conversation: Conversation, about: PushAbout) {
    this.#parts = parts;
    this.#conversation = conversation;
    this.#about = about;
    this.#ticket = parts.passes?.ticket(about.principal);
    this.#client = new PushClient(parts, conversation, about);
  }

  async run(): Promise<ReceiveReport> {
    using client = this.#client;
    try {
      if (this.#conversation.mode !== 'rpc') await client.advertise();
      if (this.#conversation.mode === 'advertise') return this.#report([], false);
      const request = await client.readRequest();
      if (request === undefined) return this.#report([], false);
      await this.#lookAgain();
      return await this.#serve(request);
    } catch (error) {
      const fault: unknown = error === this.#truth ? error : client.reasonFor(error);
      await client.fail(fault);
      throw fault;
    }
  }

  /** The client may have taken its time. Whoever may not push any more is told so, ref by ref, before the commit. */
  async #lookAgain(): Promise<void> {
    const { mode, confirm } = this.#conversation;
    const still = mode === 'stateful' ? await confirm?.() : undefined;
    if (still?.kind === 'ok') this.#about = { ...this.#about, mayRead: still.value.mayRead };
  }

  async #serve(request: PushRequest): Promise<ReceiveReport> {
    const { repository, mayRead } = this.#about;
    const names = request.commands.map(({ name }) => name);
    await askAhead(names, { mayRead, clock: this.#parts.clock });
    const updates = readUpdates(request, mayRead);
    judgeAgainst(await this.#parts.refs.snapshot(repository), updates, this.#parts.config);
    if (request.abilities.atomic) failTogether(updates);
    // Told before the pack is taken in; asked again right before the commit.
    const spent = await this.#ticket?.refusal();
    if (spent !== undefined) refuseAll(updates, spent);
    if (updates.some((update) => update.isAlive)) return this.#carryOut(request, updates);
    return this.#refuseAll(request, updates, 'ok');
  }

  /** Whose certificate it is, or what is wrong with it: the checks that ask for one judge it. */
  async #readCertificate({ certificate }: PushRequest): Promise<Signed | undefined> {
    const { certificates } = this.#parts;
    if (certificate === undefined || certificates === undefined) return undefined;
    this.#certificate = certificateText(certificate);
    return certificates.check(certificate, { repository: this.#about.repository, issued: this.#client.nonce });
  }

  async #carryOut(request: PushRequest, updates: readonly Update[]): Promise<ReceiveReport> {
    const { requestId } = this.#conversation;
    const certificate = await this.#readCertificate(request);
    const { signal, tell, input } = this.#client;
    using place = this.#placeFor();
    const about = { ...this.#about, request, updates, requestId, certificate, signal, tell, place };
    const pipeline = new Pipeline(this.#parts, about);
    await using quarantine = await this.#quarantine(request);
    const judged: Judged = await pipeline.judge(input, quarantine);
    // What follows takes the repository's turn, and may wait for others.
    place?.giveBack();
    const held = await this.#hold(request, updates, judged);
    const isAnyAlive = updates.some((update) => update.isAlive);
    if (held === undefined && !isAnyAlive) {
      await quarantine?.[Symbol.asyncDispose]();
      return this.#refuseAll(request, updates, judged.unpack);
    }
    // The last moment at which a client that has gone away takes its push with it.
    if (held === undefined) this.#client.assertThere();
    const committed = isAnyAlive
      ? await this.#commit(pipeline, this.#commitOf({ pipeline, updates, request, judged }), held)
      : undefined;
    if (committed === undefined) await this.#journalRefusal(updates, pipeline);
    else await this.#announce(committed, request);
    // Nothing is left by the time the client hears.
    await quarantine?.[Symbol.asyncDispose]();
    if (committed !== undefined) await pipeline.finish(new Set(committed.updates.map(({ refname }) => refname)));
    pipeline.release();
    await this.#client.drainTail();
    if (held !== undefined) await this.#awaitDecision(held, request, updates);
    await this.#client.report(judged.unpack, updates);
    return this.#report(updates, true);
  }

  /** Undefined: nobody has to wait. */
  #placeFor(): PushPlace | undefined {
    const { work } = this.#conversation;
    const { signal, notice } = this.#client;
    return work && new PushPlace(work, { signal, tell: notice }, this.#parts.clock);
  }

  /** Puts what is held aside, before anything else of the push is carried out; undefined where nothing is. */
  async #hold(request: PushRequest, updates: readonly Update[], judged: Judged): Promise<HeldPush | undefined> {
    const { holding } = this.#parts;
    if (holding === undefined || !updates.some(({ isOpen, holds }) => isOpen && holds.length > 0)) return undefined;
    this.#client.assertThere();
    return holdUpdates(holding, { ...this.#about, request, updates, judged, tell: this.#client.tell });
  }

  async #awaitDecision(held: HeldPush, request: PushRequest, updates: readonly Update[]): Promise<void> {
    const { holding } = this.#parts;
    const { signal } = this.#conversation;
    const { tell } = this.#client;
    const begin = (): void => this.#client.waitsForPeople();
    if (holding !== undefined) await awaitDecision(holding, held, { request, updates, signal, tell, begin });
  }

  #commitOf({ pipeline, updates, request, judged }: ToCommit): CommitRequest {
    const { repository, principal, origin } = this.#about;
    const ticket = this.#ticket;
    return {
      repository,
      updates,
      atomic: request.abilities.atomic,
      config: this.#parts.config,
      objectDirectory: judged.objectDirectory,
      requestId: this.#conversation.requestId,
      principal: principalLabel(principal),
      confirm: () => this.#confirm(pipeline, updates),
      forward: () => pipeline.forward(),
      // A pass is counted with the commit point, and within a turn of its own.
      sharesTurn: () => ticket === undefined && pipeline.sharesTurn,
      entry: () => {
        const { forwardedTo } = pipeline;
        const traffic = { bytesIn: this.#client.bytesIn, ms: this.#client.elapsedMs };
        const certificate = this.#certificate;
        return journalLine({ repository, principal, origin, updates, forwardedTo, certificate, ...traffic });
      },
      ...(ticket === undefined ? {} : { alongside: () => ticket.mark() }),
      onApplied: (applied) => pipeline.follow(new Set(applied.map(({ refname }) => refname))),
    };
  }

  /** @throws Fault as `Committer.commit`, in words that are true where the push was taken elsewhere before. */
  async #commit(
    pipeline: Pipeline,
    request: CommitRequest,
    held: HeldPush | undefined,
  ): Promise<Committed | undefined> {
    try {
      const commit = (): Promise<Committed | undefined> => this.#parts.committer.commit(request);
      return this.#ticket === undefined ? await commit() : await this.#ticket.within(commit);
    } catch (error) {
      // The client hears that the push failed: nothing of it is to wait for anybody.
      const decision = { by: 'gatehouse', reason: 'the rest of the push failed' };
      if (held !== undefined) await this.#parts.holding?.decide(held, 'cancelled', decision).catch(() => {});
      this.#truth = pipeline.faultOf(error);
      throw this.#truth;
    }
  }

  /** May the push still do what it was allowed to when it came? Refuses the updates that it may not. */
  async #confirm(pipeline: Pipeline, updates: readonly Update[]): Promise<void> {
    const confirmed = await this.#about.confirm();
    const spent = await this.#ticket?.refusal();
    if (confirmed.kind === 'refused') refuseAll(updates, confirmed.reason);
    else if (spent === undefined) await this.#confirmStanding(pipeline, updates, confirmed.value);
    else refuseAll(updates, spent);
  }

  async #confirmStanding(pipeline: Pipeline, updates: readonly Update[], standing: Standing): Promise<void> {
    const { refs, clock } = this.#parts;
    const { repository, mayRead } = this.#about;
    const snapshot = (): Promise<RefSnapshot> => refs.snapshot(repository);
    await refuseHidden(updates, { before: mayRead, now: standing.mayRead, snapshot, clock });
    await pipeline.decideAgain(standing);
  }

  async #quarantine(request: PushRequest): Promise<Quarantine | undefined> {
    return request.expectsPack ? openQuarantine(this.#about.repository.path, this.#parts.clock) : undefined;
  }

  /** Nothing of the push is carried out. */
  async #refuseAll(request: PushRequest, updates: readonly Update[], unpack: string): Promise<ReceiveReport> {
    await this.#journalRefusal(updates, { unpack });
    const answer = (): Promise<void> => this.#client.report(unpack, updates);
    if (request.expectsPack) await this.#client.answerAndDrain(answer);
    else await answer();
    return this.#report(updates, true);
  }

  async #announce(committed: Committed, { options }: PushRequest): Promise<void> {
    const { repository, principal } = this.#about;
    const { requestId } = this.#conversation;
    try {
      await this.#parts.onCommitted?.({
        ...committed,
        repository,
        principal: principalLabel(principal),
        requestId,
        options,
      });
    } catch (error) {
      this.#parts.log.error({ request: requestId, error }, 'fail to announce a push');
    }
  }

  async #journalRefusal(
    updates: readonly Update[],
    { unpack = 'ok', forwardedTo }: Pick<PushLine, 'unpack' | 'forwardedTo'>,
  ): Promise<void> {
    const { repository, principal, origin } = this.#about;
    const traffic = { bytesIn: this.#client.bytesIn, ms: this.#client.elapsedMs };
    const certificate = this.#certificate;
    const line = { repository, principal, origin, updates, unpack, forwardedTo, certificate, ...traffic };
    await this.#parts.journal.append(journalLine(line));
  }

  #report(updates: readonly Update[], journaled: boolean): ReceiveReport {
    const refusal = mainRefusal(updates);
    const outcome = outcomeOf(updates);
    const { bytesIn } = this.#client;
    if (updates.length > 0) this.#parts.metrics.push(outcome, this.#client.elapsedMs);
    return {
      refs: journalRefs(updates),
      outcome,
      bytesIn,
      ...(refusal === undefined ? {} : { reason: refusal.reason }),
      ...(refusal?.rule === undefined ? {} : { rule: refusal.rule }),
      journaled,
    };
  }
}

/** Every command as an update; those that no object could save are refused at once. */
function readUpdates(request: PushRequest, mayRead: PushAbout['mayRead']): readonly Update[] {
  return request.commands.map((command) => {
    const read = readRefname(command.name);
    const update = new Update({ ...command, refname: 'refname' in read ? read.refname : undefined });
    if ('reason' in read) update.refuse(read.reason);
    if (request.repeated.has(command.name)) update.refuse('the ref is named twice in one push');
    // The same words whether or not the ref exists.
    if (mayRead?.(command.name) === false) update.refuse('you may not read this ref');
    return update;
  });
}
