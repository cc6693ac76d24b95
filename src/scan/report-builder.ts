/** Results of items put together to one report, within bounds. */
import type { Finding } from './finding.ts';
import type { ItemResult } from './item-scan.ts';
import type { ItemFacts } from './judge.ts';
import type { ScanLimits } from './scan-limits.ts';
import type { ScanNote, ScanReport } from './scanner.ts';

export class ReportBuilder {
  readonly #limits: ScanLimits;
  readonly #findings = new Map<string, Ordered<Finding>>();
  readonly #unscanned: Ordered<ScanNote>[] = [];
  readonly #notes: Ordered<ScanNote>[] = [];
  #items = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(limits: ScanLimits) {
    this.#limits = limits;
  }

  get items(): number {
    return this.#items;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param order of the item among all: the report has them in order, whichever was done first. */
  add({ kind, path, oid }: ItemFacts, result: ItemResult, order: number): void {
    const item = { kind, path, oid };
    this.#items += 1;
    this.#bytes += result.bytes;
    this.#dropped += result.dropped;
    for (const finding of result.findings) this.#addFinding({ order, value: finding });
    if (result.unscanned !== undefined)
      this.#say(this.#unscanned, { order, value: { item, reason: result.unscanned } });
    for (const reason of result.notes) this.#say(this.#notes, { order, value: { item, reason } });
  }

  report(): ScanReport {
    return {
      findings: inOrder([...this.#findings.values()]),
      items: this.#items,
      bytes: this.#bytes,
      unscanned: inOrder(this.#unscanned),
      notes: inOrder(this.#notes),
      findingsDropped: this.#dropped,
    };
  }

  /** A secret that lies at one place counts once, and without its excuse where it was also found without one. */
  #addFinding(found: Ordered<Finding>): void {
    const finding = found.value;
    const key = [finding.fingerprint, finding.kind, finding.oid, finding.path].join('\0');
    const known = this.#findings.get(key);
    if (known === undefined && this.#findings.size >= this.#limits.findingsMax) this.#dropped += 1;
    else if (known === undefined || (known.value.excused !== undefined && finding.excused === undefined)) {
      this.#findings.set(key, found);
    }
  }

  #say(list: Ordered<ScanNote>[], note: Ordered<ScanNote>): void {
    const { notesMax } = this.#limits;
    if (list.length < notesMax - 1) list.push(note);
    else if (list.length === notesMax - 1) {
      list.push({ order: note.order, value: { ...note.value, reason: `${note.value.reason} (and there is more)` } });
    }
  }
}

interface Ordered<T> {
  readonly order: number;
  readonly value: T;
}

function inOrder<T>(list: readonly Ordered<T>[]): readonly T[] {
  return [...list].sort((one, other) => one.order - other.order).map(({ value }) => value);
}
