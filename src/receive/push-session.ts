/**
 * One conversation with a pushing client, from the advertisement to the report: who speaks when, how long each may take,
 * and what the client reads whatever happens.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import { PktReader, type Pkt } from '../git/pkt-line.ts';
import type { Conversation } from '../git/service.ts';
import type { PushTicket, PushTickets } from '../identity/pass-pushes.ts';
import { principalLabel } from '../identity/principal.ts';
import { encodeAdvertisement, serviceHeader } from './advertisement.ts';
import { ClientChannel } from './client-channel.ts';
import type { CommitRequest, Committed, Committer } from './commit.ts';
import { journalLine, journalRefs, outcomeOf, type PushLine } from './journal-line.ts';
import type { Signed } from '../identity/signatures.ts';
import { askAhead } from './decide.ts';
import { awaitDecision, holdUpdates } from './hold-push.ts';
import type { HeldPush } from './hold-record.ts';
import type { Holding } from './holding.ts';
import { judgeAgainst } from './old-values.ts';
import { PackInput } from './pack-input.ts';
import { Pipeline, type Judged, type PipelineParts } from './pipeline.ts';
import { certificateText, type CertificateDesk } from './push-certificate.ts';
import { readPushRequest, type PushRequest } from './push-request.ts';
import { openQuarantine, type Quarantine } from './quarantine.ts';
import type { CommittedEvent, PushAbout, ReceiveMetrics, ReceiveReport } from './receive.ts';
import { readRefname } from './ref-names.ts';
import { encodeReport } from './report.ts';
import { failTogether, mainRefusal, refuseAll, Update } from './update.ts';

export interface SessionParts extends PipelineParts {
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly metrics: ReceiveMetrics;
  readonly committer: Committer;
  readonly passes?: PushTickets | undefined;
  /** Absent: signed pushes are not offered. */
  readonly certificates?: CertificateDesk | undefined;
  readonly agent: string;
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

/** How long a client that got its answer may take to hang up. */
const HANG_UP_MS = 5_000;
/** An HTTP body that goes on behind its pack is read this far, so that the connection can be used again. */
const TAIL_BYTES_MAX = 64 * 1024;
const TAIL_MS = 1_000;

export class PushSession {
  readonly #parts: SessionParts;
  readonly #conversation: Conversation;
  readonly #about: PushAbout;
  readonly #silent = new AbortController();
  readonly #signal: AbortSignal;
  readonly #channel: ClientChannel;
  readonly #reader: PktReader;
  readonly #input: PackInput;
  readonly #startMs: number;
  /** Where a pass may push so many times only. */
  readonly #ticket: PushTicket | undefined;
  readonly #tell: (text: string) => void;
  #cancelDeadline: (() => void) | undefined;
  /** For a push certificate: what was advertised in this conversation. */
  #nonce: string | undefined;
  /** The certificate that came, as the journal keeps it. */
  #certificate: string | undefined;
  /** Why the commit failed: no deadline that passed meanwhile says more. */
  #truth: unknown;

  constructor(parts: SessionParts, conversation: Conversation, about: PushAbout) {
    const { clock, limits } = parts;
    this.#parts = parts;
    this.#conversation = conversation;
    this.#about = about;
    this.#startMs = clock.monotonicMs();
    this.#ticket = parts.passes?.ticket(about.principal);
    this.#signal = AbortSignal.any([conversation.signal, this.#silent.signal]);
    this.#channel = new ClientChannel({ ...limits, clock, output: conversation.output, signal: conversation.signal });
    this.#tell = this.#channel.tell.bind(this.#channel);
    this.#reader = new PktReader(conversation.input, this.#signal);
    this.#input = new PackInput({ chunks: this.#reader.rest(), clock, idleMs: limits.idleMs });
  }

  async run(): Promise<ReceiveReport> {
    const { clock, limits } = this.#parts;
    this.#cancelDeadline = clock.after(limits.deadlineMs, () => {
      this.#silent.abort(new Fault('timeout', 'push took too long', { publicMessage: 'the push took too long' }));
    });
    using channel = this.#channel;
    try {
      if (this.#conversation.mode !== 'rpc') await this.#advertise();
      if (this.#conversation.mode === 'advertise') return this.#report([], false);
      const request = await this.#readRequest();
      return request === undefined ? this.#report([], false) : await this.#serve(request);
    } catch (error) {
      // What we ended ourselves shows as an abort of whatever ran at that moment.
      const fault: unknown = this.#silent.signal.aborted && error !== this.#truth ? this.#silent.signal.reason : error;
      await this.#fail(channel, fault);
      throw fault;
    } finally {
      this.#cancelDeadline();
    }
  }

  async #advertise(): Promise<void> {
    const { repository, mayRead } = this.#about;
    const { protocol, mode } = this.#conversation;
    await this.#about.freshen?.();
    const snapshot = await this.#parts.refs.snapshot(repository);
    const format = repository.objectFormat;
    await askAhead(snapshot.byName.keys(), { mayRead, clock: this.#parts.clock });
    const nonce = this.#freshNonce();
    this.#nonce = nonce;
    const refs = encodeAdvertisement({ snapshot, format, protocol, mayRead, nonce, agent: this.#parts.agent });
    await this.#channel.write(mode === 'advertise' ? Buffer.concat([serviceHeader(), refs]) : refs);
  }

  /** Undefined where no check asks for signed pushes. */
  #freshNonce(): string | undefined {
    return this.#parts.certificates?.nonceFor(this.#about.repository, this.#about.principal);
  }

  /** The first line may take as long as a person's pre-push hook; from then on silence is bounded. */
  async #readRequest(): Promise<PushRequest | undefined> {
    const { clock, limits } = this.#parts;
    const reader = this.#reader;
    const silent = this.#silent;
    const source = {
      get bytesRead(): number {
        return reader.bytesRead;
      },
      async next(): Promise<Pkt | undefined> {
        if (reader.bytesRead === 0) return reader.next();
        const cancel = clock.after(limits.idleMs, () => {
          silent.abort(
            new Fault('timeout', 'client is silent', { publicMessage: 'the client sent nothing for too long' }),
          );
        });
        try {
          return await reader.next();
        } finally {
          cancel();
        }
      },
    };
    const onAbilities = this.#channel.agree.bind(this.#channel);
    // Over HTTP the nonce was given out by another request.
    const nonce = this.#conversation.mode === 'rpc' ? this.#freshNonce() : this.#nonce;
    const format = this.#about.repository.objectFormat;
    return readPushRequest(source, { format, onAbilities, takesCertificates: nonce !== undefined });
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
    return certificates.check(certificate, { repository: this.#about.repository, issued: this.#nonce });
  }

  async #carryOut(request: PushRequest, updates: readonly Update[]): Promise<ReceiveReport> {
    const { requestId } = this.#conversation;
    const certificate = await this.#readCertificate(request);
    const about = { ...this.#about, request, updates, requestId, certificate, signal: this.#signal, tell: this.#tell };
    const pipeline = new Pipeline(this.#parts, about);
    await using quarantine = await this.#quarantine(request);
    const judged: Judged = await pipeline.judge(this.#input, quarantine);
    const held = await this.#hold(request, updates, judged);
    const isAnyAlive = updates.some((update) => update.isAlive);
    if (held === undefined && !isAnyAlive) {
      await quarantine?.[Symbol.asyncDispose]();
      return this.#refuseAll(request, updates, judged.unpack);
    }
    // The last moment at which a client that has gone away takes its push with it.
    if (held === undefined) this.#assertThere();
    const committed = isAnyAlive
      ? await this.#commit(pipeline, this.#commitOf({ pipeline, updates, request, judged }), held)
      : undefined;
    if (committed === undefined) await this.#journalRefusal(updates, pipeline);
    else await this.#announce(committed, request);
    // Nothing is left by the time the client hears.
    await quarantine?.[Symbol.asyncDispose]();
    if (committed !== undefined) await pipeline.finish(new Set(committed.updates.map(({ refname }) => refname)));
    if (this.#conversation.mode === 'rpc') await this.#input.drain({ bytesMax: TAIL_BYTES_MAX, ms: TAIL_MS });
    if (held !== undefined) await this.#awaitDecision(held, request, updates);
    await this.#sendReport(judged.unpack, updates);
    return this.#report(updates, true);
  }

  /** Puts what is held aside, before anything else of the push is carried out; undefined where nothing is. */
  async #hold(request: PushRequest, updates: readonly Update[], judged: Judged): Promise<HeldPush | undefined> {
    const { holding } = this.#parts;
    if (holding === undefined || !updates.some(({ isOpen, holds }) => isOpen && holds.length > 0)) return undefined;
    this.#assertThere();
    return holdUpdates(holding, { ...this.#about, request, updates, judged, tell: this.#tell });
  }

  async #awaitDecision(held: HeldPush, request: PushRequest, updates: readonly Update[]): Promise<void> {
    const { holding } = this.#parts;
    const { signal } = this.#conversation;
    // The time that a push may take is not the time that people may take.
    const begin = (): void => this.#cancelDeadline?.();
    if (holding !== undefined)
      await awaitDecision(holding, held, { request, updates, signal, tell: this.#tell, begin });
  }

  #assertThere(): void {
    if (this.#signal.aborted) throw new Fault('aborted', 'client is gone', { cause: this.#signal.reason });
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
      entry: () => {
        const { forwardedTo } = pipeline;
        const traffic = { bytesIn: this.#bytesIn, ms: this.#elapsedMs };
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
    else if (spent === undefined) await pipeline.decideAgain(confirmed.value);
    else refuseAll(updates, spent);
  }

  async #quarantine(request: PushRequest): Promise<Quarantine | undefined> {
    return request.expectsPack ? openQuarantine(this.#about.repository.path, this.#parts.clock) : undefined;
  }

  /**
   * Nothing of the push is carried out. Its pack is still read, in bounds: a client that is cut off while it sends does
   * not read why. Over HTTP the answer comes when the request has ended, elsewhere at once.
   */
  async #refuseAll(request: PushRequest, updates: readonly Update[], unpack: string): Promise<ReceiveReport> {
    await this.#journalRefusal(updates, { unpack });
    const answer = (): Promise<void> => this.#sendReport(unpack, updates);
    if (request.expectsPack) await this.#answerAndDrain(answer);
    else await answer();
    return this.#report(updates, true);
  }

  async #answerAndDrain(answer: () => Promise<void>): Promise<void> {
    const { limits } = this.#parts;
    const bounds = { bytesMax: limits.drainBytesMax, ms: limits.drainMs };
    if (this.#conversation.mode === 'rpc') {
      await this.#input.drain(bounds);
      await answer();
      return;
    }
    // The client sends to its end, reads the answer and closes; one that falls silent instead is left.
    const draining = this.#input.drain({ ...bounds, silentMs: HANG_UP_MS });
    await answer();
    await draining;
  }

  /** Tells the client what it may know of a fault. Never throws. */
  async #fail(channel: ClientChannel, error: unknown): Promise<void> {
    const text = publicMessageOf(error, this.#conversation.requestId);
    const isGone = this.#conversation.signal.aborted || (error instanceof Fault && error.code === 'aborted');
    if (isGone) return;
    await this.#answerAndDrain(() => channel.fail(text));
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
    const traffic = { bytesIn: this.#bytesIn, ms: this.#elapsedMs };
    const certificate = this.#certificate;
    const line = { repository, principal, origin, updates, unpack, forwardedTo, certificate, ...traffic };
    await this.#parts.journal.append(journalLine(line));
  }

  /** What is committed is committed: a client that does not read its report changes nothing. */
  async #sendReport(unpack: string, updates: readonly Update[]): Promise<void> {
    try {
      await this.#channel.report(
        encodeReport(
          unpack,
          updates.map((update) => update.fate),
        ),
      );
    } catch (error) {
      this.#parts.log.info({ request: this.#conversation.requestId, error }, 'fail to report to the client');
    }
  }

  #report(updates: readonly Update[], journaled: boolean): ReceiveReport {
    const refusal = mainRefusal(updates);
    const outcome = outcomeOf(updates);
    const bytesIn = this.#bytesIn;
    if (updates.length > 0) this.#parts.metrics.push(outcome, this.#elapsedMs);
    return {
      refs: journalRefs(updates),
      outcome,
      bytesIn,
      ...(refusal === undefined ? {} : { reason: refusal.reason }),
      ...(refusal?.rule === undefined ? {} : { rule: refusal.rule }),
      journaled,
    };
  }

  get #bytesIn(): number {
    return this.#reader.bytesRead + this.#input.bytes;
  }

  get #elapsedMs(): number {
    return this.#parts.clock.monotonicMs() - this.#startMs;
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
