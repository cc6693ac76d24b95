/**
 * The client of one push: who speaks when, how long each may take, and what the client reads whatever happens. What becomes
 * of the push is decided in `push-session.ts`.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import { PktReader, type Pkt } from '../git/pkt-line.ts';
import type { Conversation } from '../git/service.ts';
import { encodeAdvertisement, serviceHeader } from './advertisement.ts';
import { ClientChannel } from './client-channel.ts';
import type { ReceiveLog, RefSource } from './commit.ts';
import { askAhead } from './decide.ts';
import type { ReceiveLimits } from './limits.ts';
import { PackInput } from './pack-input.ts';
import type { CertificateDesk } from './push-certificate.ts';
import { readPushRequest, type PushRequest } from './push-request.ts';
import type { PushAbout } from './receive.ts';
import { encodeReport } from './report.ts';
import type { Update } from './update.ts';

export interface PushClientParts {
  readonly refs: RefSource;
  readonly clock: Clock;
  readonly log: ReceiveLog;
  readonly limits: ReceiveLimits;
  readonly agent: string;
  /** Absent: signed pushes are not offered. */
  readonly certificates?: CertificateDesk | undefined;
}

/** How long a client that got its answer may take to hang up. */
const HANG_UP_MS = 5_000;
/** An HTTP body that goes on behind its pack is read this far, so that the connection can be used again. */
const TAIL_BYTES_MAX = 64 * 1024;
const TAIL_MS = 1_000;
/** Longer advertisements are written in pieces, each within its time. */
const BRIEF_BYTES_MAX = 64 * 1024;

export class PushClient implements Disposable {
  readonly #parts: PushClientParts;
  readonly #conversation: Conversation;
  readonly #about: PushAbout;
  readonly #silent = new AbortController();
  readonly #channel: ClientChannel;
  readonly #reader: PktReader;
  readonly #startMs: number;
  #cancelDeadline: () => void;
  #nonce: string | undefined;
  /** The pack, and whatever else comes behind the request. */
  readonly input: PackInput;
  /** Aborted when the client is gone, falls silent or is over its deadline. */
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;

  constructor(parts: PushClientParts, conversation: Conversation, about: PushAbout) {
    const { clock, limits } = parts;
    this.#parts = parts;
    this.#conversation = conversation;
    this.#about = about;
    this.#startMs = clock.monotonicMs();
    this.signal = AbortSignal.any([conversation.signal, this.#silent.signal]);
    this.#channel = new ClientChannel({ ...limits, clock, output: conversation.output, signal: conversation.signal });
    this.tell = this.#channel.tell.bind(this.#channel);
    this.#reader = new PktReader(conversation.input, this.signal);
    this.input = new PackInput({ chunks: this.#reader.rest(), clock, idleMs: limits.idleMs });
    this.#cancelDeadline = clock.after(limits.deadlineMs, () => {
      this.#silent.abort(new Fault('timeout', 'push took too long', { publicMessage: 'the push took too long' }));
    });
  }

  [Symbol.dispose](): void {
    this.waitsForPeople();
    this.#channel[Symbol.dispose]();
  }

  /** A way to tell the person behind the client that it has to wait; undefined: there is none. */
  get notice(): ((text: string) => void) | undefined {
    if (this.#channel.hasSideband) return (text) => this.tell(`gatehouse: ${text}`);
    return this.#conversation.notice;
  }

  /** What was advertised in this conversation, for a push certificate; undefined over HTTP, where another request did it. */
  get nonce(): string | undefined {
    return this.#nonce;
  }

  get bytesIn(): number {
    return this.#reader.bytesRead + this.input.bytes;
  }

  get elapsedMs(): number {
    return this.#parts.clock.monotonicMs() - this.#startMs;
  }

  /** The time that a push may take is not the time that people may take. */
  waitsForPeople(): void {
    this.#cancelDeadline();
    this.#cancelDeadline = () => {};
  }

  /** @throws Fault `aborted` where it is gone. */
  assertThere(): void {
    if (this.signal.aborted) throw new Fault('aborted', 'client is gone', { cause: this.signal.reason });
  }

  /** Why we ended the conversation ourselves, which shows as an abort of whatever ran at that moment; else the error. */
  reasonFor(error: unknown): unknown {
    return this.#silent.signal.aborted ? this.#silent.signal.reason : error;
  }

  async advertise(): Promise<void> {
    const { bytes, nonce } = await advertisementFor(this.#parts, this.#conversation, this.#about);
    this.#nonce = nonce;
    await this.#channel.write(bytes);
  }

  /** The first line may take as long as a person's pre-push hook; from then on silence is bounded. */
  async readRequest(): Promise<PushRequest | undefined> {
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
    const nonce = this.#conversation.mode === 'rpc' ? freshNonce(this.#parts, this.#about) : this.#nonce;
    const format = this.#about.repository.objectFormat;
    return readPushRequest(source, { format, onAbilities, takesCertificates: nonce !== undefined });
  }

  /** What is committed is committed: a client that does not read its report changes nothing. */
  async report(unpack: string, updates: readonly Update[]): Promise<void> {
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

  /** Tells it what it may know of a fault. Never throws. */
  async fail(error: unknown): Promise<void> {
    const text = publicMessageOf(error, this.#conversation.requestId);
    const isGone = this.#conversation.signal.aborted || (error instanceof Fault && error.code === 'aborted');
    if (isGone) return;
    await this.answerAndDrain(() => this.#channel.fail(text));
  }

  /**
   * The answer to who may still be sending: what comes is read, in bounds, since a client that is cut off while it sends
   * does not read why. Over HTTP the answer comes when the request has ended, elsewhere at once.
   */
  async answerAndDrain(answer: () => Promise<void>): Promise<void> {
    const { limits } = this.#parts;
    const bounds = { bytesMax: limits.drainBytesMax, ms: limits.drainMs };
    if (this.#conversation.mode === 'rpc') {
      await this.input.drain(bounds);
      await answer();
      return;
    }
    // The client sends to its end, reads the answer and closes; one that falls silent instead is left.
    const draining = this.input.drain({ ...bounds, silentMs: HANG_UP_MS });
    await answer();
    await draining;
  }

  /** Reads an HTTP body to its end behind the pack. */
  async drainTail(): Promise<void> {
    if (this.#conversation.mode === 'rpc') await this.input.drain({ bytesMax: TAIL_BYTES_MAX, ms: TAIL_MS });
  }
}

/** What is advertised where the transport takes it in one write; undefined: the conversation takes its usual way. */
export async function advertiseBriefly(
  parts: PushClientParts,
  conversation: Conversation,
  about: PushAbout,
): Promise<'told' | undefined> {
  const { brief, mode } = conversation;
  // An upstream may fail, or take its time: the usual way has words and signs of life for that.
  if (brief === undefined || mode !== 'advertise' || about.freshen !== undefined) return undefined;
  // What fails here fails again on the usual way, which tells the client.
  const made = await advertisementFor(parts, conversation, about).catch(() => undefined);
  if (made === undefined || made.bytes.length > BRIEF_BYTES_MAX) return undefined;
  await brief.answer(made.bytes);
  return 'told';
}

/** The refs that may be seen, with the nonce that went out with them. */
async function advertisementFor(
  { refs, clock, agent, certificates }: PushClientParts,
  { protocol, mode }: Conversation,
  about: PushAbout,
): Promise<{ readonly bytes: Buffer; readonly nonce: string | undefined }> {
  const { repository } = about;
  await about.freshen?.();
  // An upstream may have been waited for.
  const mayRead = about.freshen === undefined ? about.mayRead : await stillReadable(about);
  const snapshot = await refs.snapshot(repository);
  await askAhead(snapshot.byName.keys(), { mayRead, clock });
  const nonce = freshNonce({ certificates }, about);
  const { objectFormat: format } = repository;
  const bytes = encodeAdvertisement({ snapshot, format, protocol, mayRead, nonce, agent });
  return { bytes: mode === 'advertise' ? Buffer.concat([serviceHeader(), bytes]) : bytes, nonce };
}

/** Whoever lost the right to push meanwhile sees no ref, others those that they may read by now. @throws Fault `missing` */
async function stillReadable({ confirm }: PushAbout): Promise<PushAbout['mayRead']> {
  const still = await confirm();
  if (still.kind === 'ok') return still.value.mayRead;
  throw new Fault('missing', 'push was refused after a wait', { publicMessage: still.reason });
}

/** Undefined where no check asks for signed pushes. */
function freshNonce({ certificates }: Pick<PushClientParts, 'certificates'>, about: PushAbout): string | undefined {
  return certificates?.nonceFor(about.repository, about.principal);
}
