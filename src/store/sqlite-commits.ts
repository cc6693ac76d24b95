/**
 * The queue in front of the writing thread. One batch is under way at a time; what arrives meanwhile is
 * the next batch, so that the number of fsyncs falls as the load rises.
 */
import { Worker } from 'node:worker_threads';
import { Fault } from '../base/fault.ts';
import { postTo } from '../base/threads.ts';
import { isFatal, sqliteFault } from './sqlite-fault.ts';
import type { RowResult, RowTransaction } from './sqlite-writer.ts';
import type { WriterAnswer, WriterOptions, WriterRequest } from './sqlite-writer-thread.ts';

/** Transactions in one commit, and waiting for one. */
const BATCH_MAX = 256;
const QUEUE_MAX = 20_000;

export type Applied = Exclude<RowResult, { readonly kind: 'failed' }>;

interface Waiting {
  readonly transaction: RowTransaction;
  readonly resolve: (result: Applied) => void;
  readonly reject: (fault: Fault) => void;
}

export class SqliteCommits {
  readonly #options: WriterOptions;
  #thread: Worker | undefined;
  #queue: Waiting[] = [];
  #batch: readonly Waiting[] = [];
  #failure: Fault | undefined;
  #closing = false;
  #onIdle: (() => void)[] = [];

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Resolves when the transaction is on disk, or did not hold. A rejection of code 'corrupt' leaves it open which. */
  apply(transaction: RowTransaction): Promise<Applied> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      if (this.#closing) {
        reject(new Fault('aborted', 'store is closed'));
        return;
      }
      if (this.#queue.length >= QUEUE_MAX) {
        reject(
          new Fault('busy', 'store queue is full', { publicMessage: 'the server is overloaded; try again later' }),
        );
        return;
      }
      this.#queue.push({ transaction, resolve, reject });
      // After the current tick, so that calls made together go together.
      if (this.#batch.length === 0 && this.#queue.length === 1) queueMicrotask(() => this.#next());
    });
  }

  /** Resolves when nothing waits; takes no more from then on. */
  async drained(): Promise<void> {
    this.#closing = true;
    if (this.#queue.length > 0 || this.#batch.length > 0)
      await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined || this.#failure !== undefined) {
      await thread?.terminate();
      return;
    }
    const exited = new Promise<void>((resolve) => {
      thread.once('exit', () => resolve());
    });
    thread.ref();
    post(thread, { kind: 'close' });
    await exited;
  }

  #next(): void {
    if (this.#batch.length > 0) return;
    if (this.#queue.length === 0) {
      this.#thread?.unref();
      for (const resolve of this.#onIdle.splice(0)) resolve();
      return;
    }
    this.#batch = this.#queue.slice(0, BATCH_MAX);
    this.#queue = this.#queue.slice(BATCH_MAX);
    const thread = (this.#thread ??= this.#start());
    // Held while a commit is under way, so that the process does not end in the middle of it.
    thread.ref();
    post(thread, { kind: 'apply', transactions: this.#batch.map((one) => one.transaction) });
  }

  #start(): Worker {
    const thread = new Worker(new URL('./sqlite-writer-thread.ts', import.meta.url), {
      workerData: this.#options,
      execArgv: [],
    });
    thread.on('message', (answer: WriterAnswer) => this.#settle(answer));
    thread.on('error', (error) => this.#fail(new Fault('internal', 'store thread failed', { cause: error })));
    thread.on('exit', (code) => {
      if (!this.#closing || this.#batch.length > 0) {
        this.#fail(new Fault('internal', 'store thread ended', { context: { code } }));
      }
    });
    return thread;
  }

  #settle(answer: WriterAnswer): void {
    const batch = this.#batch;
    this.#batch = [];
    for (const [index, waiting] of batch.entries()) {
      const result = answer[index];
      if (result !== undefined && result.kind !== 'failed') {
        waiting.resolve(result);
        continue;
      }
      const fault = sqliteFault({ errcode: result?.errcode, message: result?.message });
      waiting.reject(fault);
      // After a failed fsync nobody knows what the disk holds: stop, and let a reopening find out.
      if (isFatal(result?.errcode)) this.#failure ??= fault;
    }
    if (this.#failure !== undefined) this.#fail(this.#failure);
    else this.#next();
  }

  #fail(fault: Fault): void {
    this.#failure ??= fault;
    for (const waiting of [...this.#batch, ...this.#queue]) waiting.reject(this.#failure);
    this.#batch = [];
    this.#queue = [];
    this.#next();
  }
}

function post(thread: Worker, request: WriterRequest): void {
  postTo(thread, request);
}
