/**
 * The scanner: items in, findings out, the work done in threads. Small items go in batches, long ones a chunk at a time;
 * an item is read only when a thread is free for it, so nothing piles up.
 */
import { systemClock, type Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { BatchItem } from './crew-thread.ts';
import { PIECE_BYTES, type ItemResult } from './item-scan.ts';
import type { ItemFacts } from './judge.ts';
import { ReportBuilder } from './report-builder.ts';
import type { RuleSet } from './rule-set.ts';
import { ScanCrew } from './scan-crew.ts';
import { DEFAULT_SCAN_LIMITS, type ScanLimits } from './scan-limits.ts';
import type { ScanItem, Scanner, ScanOptions, ScanReport } from './scanner.ts';

export type { ScanLimits } from './scan-limits.ts';

export interface ScannerParts {
  readonly rules: RuleSet;
  /** Of `rules`: the scanner's `revision`. Default 1. */
  readonly revision?: number;
  readonly limits?: Partial<ScanLimits>;
  readonly clock?: Clock;
}

/** A scanner whose rules can be exchanged while it works. */
export interface RuledScanner extends Scanner {
  /** New scans use these; scans under way end with the rules that they began with. */
  use(rules: RuleSet, revision: number): void;
}

/** Items of one batch, and its bytes: a few milliseconds' work each. */
const BATCH_ITEMS_MAX = 512;
const BATCH_BYTES_MAX = PIECE_BYTES;
/** How often `tell` is called. */
const TELL_ITEMS = 5_000;
const TELL_BYTES = 64 * 1024 * 1024;

/** Starts no thread before the first scan. */
export function createScanner(parts: ScannerParts): RuledScanner {
  return new ThreadedScanner(parts);
}

class ThreadedScanner implements RuledScanner {
  readonly #limits: ScanLimits;
  readonly #clock: Clock;
  #crew: ScanCrew;
  #revision: number;
  readonly #retiring = new Set<Promise<void>>();
  #closed = false;

  constructor({ rules, revision, limits, clock }: ScannerParts) {
    this.#limits = { ...DEFAULT_SCAN_LIMITS, ...limits };
    this.#clock = clock ?? systemClock;
    this.#revision = revision ?? 1;
    this.#crew = this.#muster(rules);
  }

  get revision(): number {
    return this.#revision;
  }

  use(rules: RuleSet, revision: number): void {
    const old = this.#crew;
    this.#crew = this.#muster(rules);
    this.#revision = revision;
    const retiring = old.retire().finally(() => this.#retiring.delete(retiring));
    this.#retiring.add(retiring);
  }

  /** @throws Fault 'aborted' where the signal says so or the scanner is closed; 'internal' where threads do not start. */
  async scan(items: AsyncIterable<ScanItem> | Iterable<ScanItem>, options: ScanOptions): Promise<ScanReport> {
    if (this.#closed) throw new Fault('aborted', 'secret scan is closed');
    const crew = this.#crew;
    crew.enter();
    try {
      return await new ScanRun({ crew, limits: this.#limits, options }).run(items);
    } finally {
      await crew.leave();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#crew.close(), ...this.#retiring]);
  }

  #muster(rules: RuleSet): ScanCrew {
    return new ScanCrew({ rules, limits: this.#limits, clock: this.#clock });
  }
}

interface RunParts {
  readonly crew: ScanCrew;
  readonly limits: ScanLimits;
  readonly options: ScanOptions;
}

interface Which {
  readonly facts: ItemFacts;
  /** Among the items of this scan. */
  readonly order: number;
}

type OrderedItem = BatchItem & Which;

/** One scan. */
class ScanRun {
  readonly #parts: RunParts;
  readonly #report: ReportBuilder;
  readonly #jobs = new Set<Promise<void>>();
  readonly #abort = Promise.withResolvers<never>();
  #batch: OrderedItem[] = [];
  #order = 0;
  #batchBytes = 0;
  #failure: unknown;
  #toldItems = 0;
  #toldBytes = 0;

  constructor(parts: RunParts) {
    this.#parts = parts;
    this.#report = new ReportBuilder(parts.limits);
  }

  async run(items: AsyncIterable<ScanItem> | Iterable<ScanItem>): Promise<ScanReport> {
    const { signal } = this.#parts.options;
    const onAbort = (): void =>
      this.#abort.reject(new Fault('aborted', 'secret scan aborted', { cause: signal.reason }));
    this.#abort.promise.catch(() => undefined);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for await (const item of items) await this.#orAbort(this.#take(item));
      await this.#orAbort(this.#flush());
      while (this.#jobs.size > 0) await this.#orAbort(Promise.race(this.#jobs));
      this.#check();
      return this.#report.report();
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#failure ??= new Fault('aborted', 'secret scan ended');
    }
  }

  #orAbort<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#abort.promise]);
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #take(item: ScanItem): Promise<void> {
    const facts = factsOf(item);
    const order = this.#order;
    this.#order += 1;
    const bytes = await this.#gather(item, { facts, order });
    if (bytes === undefined) return;
    if (this.#batchBytes + bytes.length > BATCH_BYTES_MAX) await this.#flush();
    this.#batch.push({ facts, bytes, order });
    this.#batchBytes += bytes.length;
    if (this.#batch.length >= BATCH_ITEMS_MAX) await this.#flush();
  }

  /** The item's bytes if they are few; else it was scanned chunk by chunk, before anything behind it is asked for. */
  async #gather({ content, size }: ScanItem, which: Which): Promise<Uint8Array | undefined> {
    if (content instanceof Uint8Array) {
      if (content.length <= BATCH_BYTES_MAX) return content;
      await this.#stream(which, slices(content));
      return undefined;
    }
    if (size !== undefined && size > BATCH_BYTES_MAX) {
      await this.#stream(which, rechunk(content));
      return undefined;
    }
    const held: Uint8Array[] = [];
    let bytes = 0;
    const iterator = content[Symbol.asyncIterator]();
    while (bytes <= BATCH_BYTES_MAX) {
      const next = await iterator.next();
      if (next.done === true) return Buffer.concat(held);
      held.push(next.value);
      bytes += next.value.length;
    }
    await this.#stream(which, rechunk(resume(held, iterator)));
    return undefined;
  }

  async #stream({ facts, order }: Which, content: AsyncIterable<Uint8Array>): Promise<void> {
    const { crew } = this.#parts;
    this.#add(facts, await crew.run((thread) => thread.stream(facts, this.#untilAborted(content))), order);
  }

  /** A source that is slow, or endless, does not keep a thread beyond the scan. */
  async *#untilAborted(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const iterator = content[Symbol.asyncIterator]();
    let whole = false;
    try {
      for (;;) {
        const next = await this.#orAbort(iterator.next());
        whole = next.done === true;
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Not waited for: where `next` hangs, so does this.
      if (!whole) void iterator.return?.().catch(() => undefined);
    }
  }

  /** Hands the batch on; waits where every thread has work already. */
  async #flush(): Promise<void> {
    this.#check();
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    const { crew } = this.#parts;
    const job = crew
      .run(async (thread) => {
        if (this.#failure !== undefined) return;
        const results = await thread.batch(batch);
        for (const [index, { facts, order }] of batch.entries()) {
          const result = results[index];
          if (result !== undefined) this.#add(facts, result, order);
        }
      })
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => this.#jobs.delete(job));
    this.#jobs.add(job);
    while (this.#jobs.size > crew.size) await Promise.race(this.#jobs);
  }

  #add(facts: ItemFacts, result: ItemResult, order: number): void {
    this.#report.add(facts, result, order);
    const { items, bytes } = this.#report;
    if (items - this.#toldItems < TELL_ITEMS && bytes - this.#toldBytes < TELL_BYTES) return;
    this.#toldItems = items;
    this.#toldBytes = bytes;
    this.#parts.options.tell?.(`looked for secrets in ${items} objects, ${Math.floor(bytes / (1024 * 1024))} MiB`);
  }
}

function factsOf({ kind, path, oid, commit }: ScanItem): ItemFacts {
  return { kind, path, oid, ...(commit === undefined ? {} : { commit }) };
}

async function* slices(content: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES);
}

/** Chunks of a size that is worth a message, and none that would hold up the event loop. */
async function* rechunk(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of content) {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes < PIECE_BYTES / 2) continue;
    yield* slices(held.length === 1 ? chunk : Buffer.concat(held));
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held);
}

async function* resume(held: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* held;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
