/**
 * One scanning thread as its owner sees it: a request, an answer, and an end where the answer does not come in time. What
 * the thread was at is then known from memory that both share; it is the item that was not looked at.
 */
import { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { postTo } from '../base/threads.ts';
import type { ItemResult } from './item-scan.ts';
import type { ItemFacts } from './judge.ts';
import type { RuleSet } from './rule-set.ts';
import type { ScanLimits } from './scan-limits.ts';
import type { ThreadAnswer, ThreadData, ThreadRequest } from './scan-protocol.ts';

/** Memory of a thread, beyond the bytes that it holds outside of V8's heap. */
const HEAP_MB_MAX = 512;
/** Rules are compiled before anything else: this long at most. */
const START_MS = 60_000;

export interface BatchItem {
  readonly facts: ItemFacts;
  readonly bytes: Uint8Array;
}

export interface CrewParts {
  readonly rules: RuleSet;
  readonly limits: ScanLimits;
  readonly clock: Clock;
}

/** The thread did not answer: it is gone, and the next request starts another. */
class ThreadLost extends Error {
  readonly started: boolean;
  readonly reason: string;

  constructor(started: boolean, reason: string) {
    super('scan thread lost');
    this.started = started;
    this.reason = reason;
  }
}

interface Running {
  readonly worker: Worker;
  readonly progress: Int32Array;
  started: boolean;
}

export class CrewThread {
  readonly #parts: CrewParts;
  #running: Running | undefined;
  #waiting:
    | { readonly resolve: (answer: ThreadAnswer) => void; readonly reject: (lost: ThreadLost) => void }
    | undefined;
  #closed = false;
  #stopped: Promise<unknown> = Promise.resolve();
  /** What the thread that was lost last was at. */
  #lastItem = 0;

  constructor(parts: CrewParts) {
    this.#parts = parts;
  }

  /** A result for each item, in order; for one that ended the thread, a result that says so. */
  async batch(items: readonly BatchItem[]): Promise<readonly ItemResult[]> {
    const results: (ItemResult | undefined)[] = items.map(() => undefined);
    for (;;) {
      const left = items.flatMap((item, index) => (results[index] === undefined ? [{ item, index }] : []));
      if (left.length === 0) return results.flatMap((result) => (result === undefined ? [] : [result]));
      try {
        const answer = await this.#ask(packBatch(left.map(({ item }) => item)));
        const given = answer.kind === 'results' ? answer.results : [];
        for (const [place, { index }] of left.entries())
          results[index] = given[place] ?? unscanned('the scan of it failed');
      } catch (error) {
        const culprit = left[this.#blame(error).item] ?? left[0];
        if (culprit !== undefined) results[culprit.index] = unscanned(this.#blame(error).reason);
      }
    }
  }

  /** One item of any length, a chunk at a time. */
  async stream(facts: ItemFacts, content: AsyncIterable<Uint8Array>): Promise<ItemResult> {
    try {
      await this.#ask({ kind: 'open', facts });
      for await (const chunk of content) {
        const answer = await this.#ask({ kind: 'chunk', bytes: new Uint8Array(chunk) });
        if (answer.kind === 'taken' && answer.done) break;
      }
    } catch (error) {
      if (error instanceof ThreadLost) return unscanned(this.#blame(error).reason);
      await this.#forget();
      throw error;
    }
    try {
      const answer = await this.#ask({ kind: 'end' });
      return (answer.kind === 'results' ? answer.results[0] : undefined) ?? unscanned('the scan of it failed');
    } catch (error) {
      return unscanned(this.#blame(error).reason);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#lose('the scan was closed');
    await this.#stopped;
  }

  /** After the source of an item failed: the thread is to be as if it had never heard of it. */
  async #forget(): Promise<void> {
    try {
      await this.#ask({ kind: 'drop' });
    } catch {
      // Then the thread is gone, and the item with it.
    }
  }

  /** @throws Fault 'internal' where threads do not even start, and whatever else is not about this thread's life. */
  #blame(error: unknown): { readonly item: number; readonly reason: string } {
    if (!(error instanceof ThreadLost)) throw error;
    if (this.#closed) throw new Fault('aborted', 'secret scan is closed', { cause: error });
    if (!error.started) throw new Fault('internal', 'scan thread does not start', { cause: error });
    return { item: this.#lastItem, reason: error.reason };
  }

  async #ask(request: ThreadRequest): Promise<ThreadAnswer> {
    if (this.#closed) throw new Fault('aborted', 'secret scan is closed');
    const running = this.#running ?? (await this.#start());
    running.worker.ref();
    try {
      return await this.#answer(this.#parts.limits.itemMs, () => {
        postTo(running.worker, request, 'bytes' in request ? [request.bytes.buffer as ArrayBuffer] : []);
      });
    } finally {
      running.worker.unref();
    }
  }

  async #start(): Promise<Running> {
    const progress = new Int32Array(new SharedArrayBuffer(8));
    const data: ThreadData = { rules: this.#parts.rules, limits: this.#parts.limits, progress };
    const worker = new Worker(new URL('./scan-thread.ts', import.meta.url), {
      workerData: data,
      execArgv: [],
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    });
    const running: Running = { worker, progress, started: false };
    this.#running = running;
    const lose = (reason: string): void => {
      if (this.#running === running) this.#lose(reason);
    };
    worker.on('message', (answer: ThreadAnswer) => {
      if (this.#running !== running) return;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve(answer);
    });
    worker.on('error', () => lose('its scan ended the thread: out of memory, or a bug'));
    worker.on('exit', () => lose('its scan ended the thread'));
    await this.#answer(START_MS, () => undefined);
    running.started = true;
    return running;
  }

  #answer(ms: number, ask: () => void): Promise<ThreadAnswer> {
    return new Promise((resolve, reject) => {
      const stop = this.#parts.clock.after(ms, () => this.#lose('took too long'));
      this.#waiting = {
        resolve: (answer) => {
          stop();
          resolve(answer);
        },
        reject: (lost) => {
          stop();
          reject(lost);
        },
      };
      ask();
    });
  }

  #lose(what: string): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#lastItem = running.progress[0] ?? 0;
    const rule = this.#parts.rules.rules[(running.progress[1] ?? 0) - 1];
    const reason = rule === undefined ? what : `${what} (at rule ${rule.id})`;
    this.#stopped = running.worker.terminate();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new ThreadLost(running.started, reason));
  }
}

function packBatch(items: readonly BatchItem[]): ThreadRequest {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + item.bytes.length, 0));
  let at = 0;
  for (const item of items) {
    bytes.set(item.bytes, at);
    at += item.bytes.length;
  }
  return { kind: 'batch', bytes, items: items.map(({ facts, bytes }) => ({ facts, length: bytes.length })) };
}

function unscanned(reason: string): ItemResult {
  return { findings: [], dropped: 0, bytes: 0, notes: [], unscanned: reason };
}
