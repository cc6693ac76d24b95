/** The scanner: items in, findings out, the work done in threads. */
import { Fault } from '../base/fault.ts';
import type { RuleSet } from './rule-set.ts';
import type { Scanner } from './scanner.ts';

export interface ScannerParts {
  readonly rules: RuleSet;
  /** Of `rules`: the scanner's `revision`. Default 1. */
  readonly revision?: number;
  readonly limits?: Partial<ScanLimits>;
}

/** What bounds a scan. Defaults in `DEFAULT_SCAN_LIMITS`. */
export interface ScanLimits {
  /** Threads; started when first needed. */
  readonly workers: number;
  /** Wall time for one item, in ms: beyond it the item is `unscanned`. */
  readonly itemMs: number;
  /** Bytes of one item: a longer one is `unscanned`. */
  readonly itemBytesMax: number;
  readonly findingsPerItemMax: number;
  readonly findingsMax: number;
  /** Archives inside archives. 0: archives are bytes like any other. */
  readonly archiveDepthMax: number;
  readonly archiveEntriesMax: number;
  /** Unpacked bytes of one item, all levels together. */
  readonly archiveBytesMax: number;
  /** Archives that cannot be opened (encrypted, 7z, rar, xz, bzip2): let them pass with a note, or call them unscanned. */
  readonly unopenedArchives: 'allow' | 'refuse';
}

/** A scanner whose rules can be exchanged while it works. */
export interface RuledScanner extends Scanner {
  /** New scans use these; scans under way end with the rules that they began with. */
  use(rules: RuleSet, revision: number): void;
}

export function createScanner(_parts: ScannerParts): RuledScanner {
  throw new Fault('internal', 'secret scan is not built yet');
}
