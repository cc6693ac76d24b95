/**
 * The journal at work: gives lines their numbers and hashes, writes and syncs them together, and gets up
 * again after the disk failed. `journal.ts` opens it.
 */
import { Fault } from '../base/fault.ts';
import type { JournalEntry, JournalLine } from './entry.ts';
import type { Place } from './files.ts';
import { JournalFile, realDisk, type Disk } from './journal-file.ts';
import type { JournalOptions, OpenJournal } from './journal.ts';
import { encodeLine, LINE_BYTES_MAX, type ChainEnd } from './line.ts';
import { PendingLines, type PendingLine } from './pending.ts';
import { readLines, type JournalFilter } from './read.ts';
import type { RecoveryNote } from './recovery.ts';
import { verifyJournal, type VerifyOptions, type VerifyReport } from './verify.ts';

const ROTATE_BYTES = 64 * 1024 * 1024;
/** Recorded lines reach the disk within this time. */
const SYNC_MS = 1_000;
/** Bytes waiting to be written at once: beyond it, calls block until the kernel has taken them. */
const UNWRITTEN_BYTES_MAX = 256 * 1024;
/** Bytes not yet on disk that are kept for another attempt while the disk fails; beyond it, lines are lost and counted. */
const PENDING_BYTES_MAX = 16 * 1024 * 1024;
/** Time between two attempts to write again after the disk failed. */
const REOPEN_MS = 1_000;

export class HashChainJournal implements OpenJournal {
  readonly #options: JournalOptions;
  readonly #disk: Disk;
  readonly #rotateBytes: number;
  readonly #pending = new PendingLines();
  readonly #followers = new Set<() => void>();
  #file: JournalFile;
  /** The last line that has a number. */
  #chain: ChainEnd;
  /** The last line that was handed to the file. */
  #written: ChainEnd;
  #lastMs = Number.NaN;
  #lastTime = '';
  #writeScheduled = false;
  #cancelTimer: (() => void) | undefined;
  #flushing: Promise<void> | undefined;
  /** Set while the disk fails, with what is kept and what was lost meanwhile. */
  #failure: { readonly fault: Fault; readonly kept: readonly PendingLine[]; refused: number; lost: number } | undefined;
  #failedAt = 0;
  #reopening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #ended = false;

  constructor(options: JournalOptions, file: JournalFile, chain: ChainEnd) {
    this.#options = options;
    this.#disk = options.disk ?? realDisk;
    this.#rotateBytes = options.rotateBytes ?? ROTATE_BYTES;
    this.#file = file;
    this.#chain = chain;
    this.#written = chain;
  }

  get failure(): Fault | undefined {
    return this.#failure?.fault;
  }

  get head(): ChainEnd {
    const { seq, hash } = this.#file.durable;
    return { seq, hash };
  }

  /** Writes down what was found at opening. */
  async begin(notes: readonly RecoveryNote[]): Promise<void> {
    for (const note of notes) {
      if (note.outcome === 'faulted') this.#options.log.error({ ...note }, 'journal was found damaged');
      else this.#options.log.warn({ ...note }, 'journal was repaired');
      await this.append(recoverEntry(note));
    }
    this.#options.log.info({ ...this.head }, 'journal opened');
  }

  async append(entry: JournalEntry): Promise<void> {
    if (this.#closing !== undefined) throw closedFault();
    if (this.#failure !== undefined) await this.#reopen();
    await new Promise<void>((resolve, reject) => {
      this.#add(entry, { resolve, reject });
      this.#flushSoon();
    });
  }

  record(entry: JournalEntry): void {
    if (this.#closing !== undefined) throw closedFault();
    this.#add(entry);
    if (this.#pending.bytes > PENDING_BYTES_MAX) this.#syncNow();
    else if (this.#pending.unwrittenBytes > UNWRITTEN_BYTES_MAX) this.#write();
    else this.#writeSoon();
    this.#cancelTimer ??= this.#options.clock.after(SYNC_MS, () => {
      this.#cancelTimer = undefined;
      // A failure is logged and kept in `failure`; nobody waits here.
      this.sync().catch(() => {});
    });
  }

  async sync(): Promise<void> {
    if (this.#failure !== undefined) await this.#reopen();
    const { seq } = this.#chain;
    while (this.#pending.count > 0 && this.#file.durable.seq < seq) {
      this.#flushSoon();
      await this.#flushing;
      if (this.#failure !== undefined) throw this.#failure.fault;
    }
  }

  async *read(filter: JournalFilter = {}): AsyncGenerator<JournalLine> {
    await this.#syncIfHealthy();
    yield* readLines(this.#options.directory, { filter, to: this.#file.durable });
  }

  async *follow(filter: JournalFilter, signal: AbortSignal): AsyncGenerator<JournalLine> {
    await this.#syncIfHealthy();
    const { directory } = this.#options;
    let from: Place | undefined = filter.since === undefined ? this.#file.durable : undefined;
    let left = filter.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0 && !signal.aborted) {
      const to = this.#file.durable;
      const places = from === undefined ? { to } : { from, to };
      for await (const line of readLines(directory, { filter: { ...filter, limit: left }, ...places })) {
        if (signal.aborted) return;
        yield line;
        left -= 1;
      }
      from = to;
      // A sync during the reading moved `durable` already; else wait for the next one.
      if (this.#file.durable.seq === to.seq && !this.#ended) await this.#nextSync(signal);
      if (this.#file.durable.seq === to.seq && this.#ended) return;
    }
  }

  async verify(options: Omit<VerifyOptions, 'to'> = {}): Promise<VerifyReport> {
    await this.#syncIfHealthy();
    return await verifyJournal(this.#options.directory, { ...options, to: this.#file.durable });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.sync();
      this.#file.syncHead();
    } finally {
      this.#cancelTimer?.();
      await this.#flushing;
      this.#file.abandon();
      this.#ended = true;
      this.#options.log.info({ ...this.head }, 'journal closed');
      this.#notify();
    }
  }

  /** Gives the entry its number. @throws Fault 'bad-input' where the line would be longer than a line may be. */
  #add(entry: JournalEntry, settle?: PendingLine['settle']): void {
    const time = this.#timeText(this.#options.clock.now());
    const line = encodeLine(entry, this.#chain, time);
    if (line.text.length > LINE_BYTES_MAX / 4 && Buffer.byteLength(line.text) > LINE_BYTES_MAX) {
      throw new Fault('bad-input', 'journal entry is too long', { context: { event: entry.event } });
    }
    const failure = this.#failure;
    if (failure !== undefined && settle !== undefined) {
      failure.refused += 1;
      settle.reject(failure.fault);
    } else if (failure !== undefined && this.#pending.bytes > PENDING_BYTES_MAX) {
      failure.lost += 1;
    } else {
      this.#chain = line;
      this.#pending.add({ entry, time, line, ...(settle === undefined ? {} : { settle }) });
    }
  }

  /** ISO 8601, written once for all lines of a millisecond. */
  #timeText(ms: number): string {
    if (ms !== this.#lastMs) {
      this.#lastMs = ms;
      this.#lastTime = new Date(ms).toISOString();
    }
    return this.#lastTime;
  }

  #writeSoon(): void {
    if (this.#writeScheduled) return;
    this.#writeScheduled = true;
    setImmediate(() => {
      this.#writeScheduled = false;
      this.#write();
    });
  }

  #write(): void {
    if (this.#failure !== undefined || this.#pending.unwrittenBytes === 0) return;
    try {
      this.#file.write(this.#pending.takeUnwritten());
      this.#written = this.#chain;
    } catch (error) {
      this.#fail(error);
      return;
    }
    // Lines that are written are kept until they are synced, so that many of them are synced early.
    if (this.#pending.bytes > PENDING_BYTES_MAX / 2) this.#flushSoon();
  }

  /** Where the disk is slower than what is recorded, the recorder waits. */
  #syncNow(): void {
    this.#write();
    if (this.#failure !== undefined) return;
    try {
      this.#file.syncNow(this.#chain);
      this.#settle(this.#chain.seq);
    } catch (error) {
      this.#fail(error);
    }
  }

  #flushSoon(): void {
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    // In a later turn of the loop, so that calls made together share one fsync.
    await new Promise<void>((resolve) => setImmediate(resolve));
    do await this.#syncOnce();
    while (this.#failure === undefined && (this.#pending.waiting > 0 || this.#pending.bytes > PENDING_BYTES_MAX / 2));
    this.#flushing = undefined;
  }

  /** One fsync for everything that has a number by now. Never rejects: a failure is told to those who wait. */
  async #syncOnce(): Promise<void> {
    if (this.#failure !== undefined) return;
    const file = this.#file;
    try {
      if (file.bytes >= this.#rotateBytes) this.#rotate();
      this.#write();
      if (this.#failed() || this.#pending.count === 0) return;
      const chain = this.#chain;
      const before = file.durable.seq;
      const startMs = this.#options.clock.monotonicMs();
      await file.sync(chain);
      this.#options.onSync?.(this.#options.clock.monotonicMs() - startMs, chain.seq - before);
      if (file === this.#file) this.#settle(chain.seq);
    } catch (error) {
      // A file that was given up meanwhile has told already.
      if (file === this.#file && this.#failure === undefined) this.#fail(error);
    }
  }

  #failed(): boolean {
    return this.#failure !== undefined;
  }

  #rotate(): void {
    this.#file.rotate(this.#written);
    this.#settle(this.#written.seq);
    // Whoever keeps the log elsewhere keeps an anchor of the chain with it.
    this.#options.log.info({ ...this.head }, 'journal rotated');
  }

  #settle(seq: number): void {
    this.#pending.settle(seq);
    this.#notify();
  }

  /** Those who wait hear that nothing is certain; what nobody waits for is kept for the next opening. */
  #fail(error: unknown): void {
    const { seq } = this.#file.durable;
    const fault = new Fault('busy', 'journal cannot be written', {
      cause: error,
      context: { directory: this.#options.directory, seq },
      publicMessage: `the audit journal cannot be written (${reasonOf(error)}); try again later`,
    });
    this.#file.abandon();
    this.#failedAt = this.#options.clock.monotonicMs();
    this.#failure = { fault, ...this.#pending.drop(fault), lost: 0 };
    this.#options.log.error({ error, ...this.head }, 'write journal failed');
  }

  /** @throws Fault the failure, while the disk still fails or was asked less than a second ago. */
  async #reopen(): Promise<void> {
    const failure = this.#failure;
    if (failure === undefined) return;
    const waitedMs = this.#options.clock.monotonicMs() - this.#failedAt;
    if (this.#reopening === undefined && waitedMs < REOPEN_MS) throw failure.fault;
    this.#reopening ??= this.#openAgain().finally(() => {
      this.#reopening = undefined;
    });
    await this.#reopening;
  }

  /** Cuts the file back to what is known to be on disk, and writes the kept lines anew behind it. */
  async #openAgain(): Promise<void> {
    const { directory, log } = this.#options;
    const { durable, resumeAt: place } = this.#file;
    const end = { place, fresh: false, chain: durable, rewriteFrom: place.offset };
    try {
      this.#file = await JournalFile.open({ directory, disk: this.#disk, ...end });
    } catch (error) {
      this.#failedAt = this.#options.clock.monotonicMs();
      log.error({ error, directory }, 'reopen journal failed');
      throw this.#failure?.fault ?? error;
    }
    const { fault, kept, refused, lost } = this.#failure ?? { fault: undefined, kept: [], refused: 0, lost: 0 };
    this.#failure = undefined;
    this.#chain = { seq: durable.seq, hash: durable.hash };
    this.#written = this.#chain;
    // Numbers are given anew: those given before the failure were never told to anybody.
    const lines = [...kept, ...this.#pending.takeAll()];
    for (const { entry, time } of lines) {
      const line = encodeLine(entry, this.#chain, time);
      this.#chain = line;
      this.#pending.add({ entry, time, line });
    }
    const counts = `${refused} entries were refused, ${lines.length} written later, ${lost} lost`;
    const reason = `writing failed (${reasonOf(fault?.cause)}) behind line ${durable.seq}: ${counts}`;
    log.warn({ reason }, 'journal is written again');
    this.#add(recoverEntry({ outcome: lost > 0 ? 'faulted' : 'served', reason }));
    this.#flushSoon();
  }

  /** A journal that cannot be written can still be read, up to what is on disk. */
  async #syncIfHealthy(): Promise<void> {
    await this.sync().catch(() => {});
  }

  #nextSync(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#followers.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#followers.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #notify(): void {
    for (const done of this.#followers) done();
  }
}

function closedFault(): Fault {
  return new Fault('aborted', 'journal is closed');
}

function recoverEntry(note: RecoveryNote): JournalEntry {
  const { outcome, reason } = note;
  return {
    event: 'recover',
    outcome,
    reason,
    request: 'journal',
    transport: 'local',
    address: 'local',
    principal: 'gatehouse',
  };
}

/** What a person reads of an error: its code where it has one. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return error instanceof Error ? error.message : 'unknown reason';
}
