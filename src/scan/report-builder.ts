/** Results of items put together to one report, within bounds. */
import type { Finding } from './finding.ts';
import type { ItemResult } from './item-scan.ts';
import type { ItemFacts } from './judge.ts';
import type { ScanLimits } from './scan-limits.ts';
import type { ScanNote, ScanReport } from './scanner.ts';

export class ReportBuilder {
  readonly #limits: ScanLimits;
  readonly #findings = new Map<string, Finding>();
  readonly #unscanned: ScanNote[] = [];
  readonly #notes: ScanNote[] = [];
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

  add({ kind, path, oid }: ItemFacts, result: ItemResult): void {
    const item = { kind, path, oid };
    this.#items += 1;
    this.#bytes += result.bytes;
    this.#dropped += result.dropped;
    for (const finding of result.findings) this.#addFinding(finding);
    if (result.unscanned !== undefined) this.#say(this.#unscanned, { item, reason: result.unscanned });
    for (const reason of result.notes) this.#say(this.#notes, { item, reason });
  }

  report(): ScanReport {
    return {
      findings: [...this.#findings.values()],
      items: this.#items,
      bytes: this.#bytes,
      unscanned: this.#unscanned,
      notes: this.#notes,
      findingsDropped: this.#dropped,
    };
  }

  /** A secret that lies at one place counts once, and without its excuse where it was also found without one. */
  #addFinding(finding: Finding): void {
    const key = [finding.fingerprint, finding.kind, finding.oid, finding.path].join('\0');
    const known = this.#findings.get(key);
    if (known === undefined && this.#findings.size >= this.#limits.findingsMax) this.#dropped += 1;
    else if (known === undefined || (known.excused !== undefined && finding.excused === undefined)) {
      this.#findings.set(key, finding);
    }
  }

  #say(list: ScanNote[], note: ScanNote): void {
    if (list.length < this.#limits.notesMax - 1) list.push(note);
    else if (list.length === this.#limits.notesMax - 1)
      list.push({ ...note, reason: `${note.reason} (and there is more)` });
  }
}
