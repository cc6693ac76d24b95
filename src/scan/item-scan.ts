/** One item, from its bytes to what is said of it: text, archives and what lies in them, path. Runs in a thread. */
import { readArchive, ScanBound } from './archive-reader.ts';
import { Conveyor } from './conveyor.ts';
import { sniff, SNIFF_BYTES, type ArchiveKind } from './archive-kind.ts';
import { ByteScan, type ItemContext, type StreamPlace } from './byte-scan.ts';
import type { CompiledRules } from './compiled-rules.ts';
import type { Finding } from './finding.ts';
import { FindingCollector } from './finding-collector.ts';
import type { ItemFacts } from './judge.ts';
import type { ScanLimits } from './scan-limits.ts';
import { runGuarded, type Guarded } from './step-guard.ts';

/** Bytes looked at in one go: about ten milliseconds' work. */
export const PIECE_BYTES = 512 * 1024;
/** Remarks about one item. */
const NOTES_MAX = 20;

export interface ItemResult {
  readonly findings: readonly Finding[];
  readonly dropped: number;
  readonly bytes: number;
  /** Why the item does not count as looked at. */
  readonly unscanned?: string;
  readonly notes: readonly string[];
}

export interface ItemScanParts {
  readonly rules: CompiledRules;
  readonly limits: ScanLimits;
  readonly facts: ItemFacts;
  /** Number of the item in its batch. Default 0. */
  readonly item?: number;
}

/** An item being scanned. Either `begin` and later `result`, for one whose bytes are all here, or `scan`. */
export class ItemScan {
  readonly #parts: ItemScanParts;
  readonly #context: ItemContext;
  readonly #collector: FindingCollector;
  readonly #notes: string[] = [];
  #closed: string | undefined;
  #unscanned: string | undefined;
  #bytes = 0;
  #entries = 0;
  #unpacked = 0;

  constructor(parts: ItemScanParts) {
    this.#parts = parts;
    const { rules, limits, facts } = parts;
    this.#collector = new FindingCollector({ rules, facts, findingsMax: limits.findingsPerItemMax });
    this.#context = { rules, collector: this.#collector, slow: new Set(), item: parts.item ?? 0 };
  }

  /** What must be run for bytes that are no archive and fit into one piece; undefined: `scan` them. */
  begin(bytes: Buffer): readonly Guarded[] | undefined {
    if (bytes.length > PIECE_BYTES || this.#sniff(bytes, 0).kind !== 'plain') return undefined;
    this.#bytes = bytes.length;
    return [...this.#ownPath(), ...new ByteScan(this.#context, this.#place('')).feed(bytes, true)];
  }

  /** Reads to the end, or to a bound. */
  async scan(source: AsyncIterable<Buffer>): Promise<void> {
    try {
      runGuarded(this.#ownPath());
      await this.#stream(this.#counted(source), { inner: '', depth: 0 });
    } catch (error) {
      if (!(error instanceof ScanBound)) throw error;
      this.#unscanned = error.message;
    }
  }

  result(): ItemResult {
    const { findings, dropped, overflow } = this.#collector.report();
    const tooMany = overflow ? 'too many matches of rules that need one another' : undefined;
    const closed = this.#parts.limits.unopenedArchives === 'refuse' ? this.#closed : undefined;
    const unscanned = this.#unscanned ?? closed ?? tooMany;
    const said = { findings, dropped, bytes: this.#bytes, notes: this.#notes };
    return unscanned === undefined ? said : { ...said, unscanned };
  }

  /** The path is text as well where it is the item, and rules about paths look at files. */
  #ownPath(): readonly Guarded[] {
    const { kind, path } = this.#parts.facts;
    if (kind === 'path' || kind === 'refname') return this.#pathText(path, '');
    if (kind === 'blob' || kind === 'lfs' || kind === 'text') this.#checkPath(path, '');
    return [];
  }

  #pathText(path: string, inner: string): readonly Guarded[] {
    return new ByteScan(this.#context, { inner, path }).feed(Buffer.from(path), true);
  }

  #checkPath(path: string, inner: string): void {
    if (path === '') return;
    for (const rule of this.#parts.rules.pathRules) {
      if (rule.path?.test(path) === true) this.#collector.takePath(rule, path, inner);
    }
  }

  #place(inner: string): StreamPlace {
    const { path } = this.#parts.facts;
    return { inner, path: inner === '' ? path : inner };
  }

  async *#counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.#bytes += chunk.length;
      if (this.#bytes > this.#parts.limits.itemBytesMax) throw new ScanBound('is larger than a scan may be');
      yield chunk;
    }
  }

  /** One stream: its bytes as they are, and if it is an archive what is in it. */
  async #stream(source: AsyncIterable<Buffer>, at: { readonly inner: string; readonly depth: number }): Promise<void> {
    const bytes = new ByteScan(this.#context, this.#place(at.inner));
    let archive: Conveyor | undefined;
    let first = true;
    let pending: Buffer | undefined;
    let broken: { readonly error: unknown } | undefined;
    try {
      for await (const piece of pieces(source)) {
        if (first) {
          const sniffed = this.#sniff(piece, at.depth);
          if (sniffed.kind === 'archive') archive = this.#open(sniffed.archive, at);
          else if (sniffed.kind === 'closed')
            this.#note(at.inner, `is a ${sniffed.format} file, which cannot be opened`);
          first = false;
        }
        if (pending !== undefined) bytes.scan(pending, false);
        await archive?.push(piece);
        pending = piece;
      }
    } catch (error) {
      broken = { error };
    }
    // What came before something broke can be read by others, too.
    bytes.scan(pending ?? Buffer.alloc(0), true);
    await archive?.end();
    if (broken !== undefined) throw broken.error;
  }

  #sniff(head: Buffer, depth: number): ReturnType<typeof sniff> {
    const sniffed = sniff(head.subarray(0, SNIFF_BYTES));
    if (this.#parts.limits.archiveDepthMax === 0 && depth === 0) return { kind: 'plain' };
    if (sniffed.kind === 'archive' && depth >= this.#parts.limits.archiveDepthMax) {
      throw new ScanBound(`has archives inside one another, deeper than ${this.#parts.limits.archiveDepthMax}`);
    }
    return sniffed;
  }

  #open(kind: ArchiveKind, at: { readonly inner: string; readonly depth: number }): Conveyor {
    // A packed tar is one archive to people: unpacking alone adds no level.
    const depth = at.depth + (kind === 'gzip' || kind === 'zstd' ? 0.5 : 1);
    return new Conveyor((source) =>
      readArchive(kind, source, {
        entry: async (name, content) => this.#entry(content, { outer: at.inner, name, depth }),
        note: (reason) => this.#note(at.inner, reason),
        heldBytesMax: this.#parts.limits.archiveHeldBytesMax,
      }),
    );
  }

  async #entry(
    content: AsyncIterable<Buffer>,
    at: { readonly outer: string; readonly name: string; readonly depth: number },
  ): Promise<void> {
    this.#entries += 1;
    const { archiveEntriesMax } = this.#parts.limits;
    if (this.#entries > archiveEntriesMax) throw new ScanBound(`has more than ${archiveEntriesMax} archive entries`);
    const inner = join(at.outer, at.name);
    if (at.name !== '') {
      runGuarded(this.#pathText(at.name, at.outer));
      this.#checkPath(at.name, inner);
    }
    await this.#stream(this.#unpack(content), { inner, depth: at.depth });
  }

  async *#unpack(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of content) {
      this.#unpacked += chunk.length;
      if (this.#unpacked > this.#parts.limits.archiveBytesMax)
        throw new ScanBound('unpacks to more than a scan may read');
      yield chunk;
    }
  }

  #note(inner: string, reason: string): void {
    const text = inner === '' ? reason : `${inner} ${reason}`;
    this.#closed ??= text;
    if (this.#notes.length < NOTES_MAX) this.#notes.push(text);
  }
}

/** `outer!/name`; what a gzip file holds has no name of its own. */
function join(inner: string, name: string): string {
  if (name === '') return inner;
  return inner === '' ? name : `${inner}!/${name}`;
}

/** Chunks put together to pieces of about one size. Where the source breaks, what came before is given out first. */
async function* pieces(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of source) {
      held.push(chunk);
      bytes += chunk.length;
      if (bytes < PIECE_BYTES) continue;
      const all = held.length === 1 ? chunk : Buffer.concat(held);
      held = [];
      bytes = 0;
      for (let at = 0; at < all.length; at += PIECE_BYTES) yield all.subarray(at, at + PIECE_BYTES);
    }
  } catch (error) {
    if (bytes > 0) yield Buffer.concat(held);
    throw error;
  }
  if (bytes > 0) yield Buffer.concat(held);
}
