/** What bounds a scan. */

export interface ScanLimits {
  /** Threads; started when first needed. */
  readonly workers: number;
  /** Time for one item, in ms: beyond it the item is `unscanned`. For a long one this is between two of its pieces. */
  readonly itemMs: number;
  /** Bytes of one item: a longer one is `unscanned`. */
  readonly itemBytesMax: number;
  readonly findingsPerItemMax: number;
  readonly findingsMax: number;
  /** Items named in `unscanned`, and in `notes`; beyond it the last one says that there are more. */
  readonly notesMax: number;
  /** Archives inside archives. 0: archives are bytes like any other. */
  readonly archiveDepthMax: number;
  readonly archiveEntriesMax: number;
  /** Unpacked bytes of one item, all levels together. */
  readonly archiveBytesMax: number;
  /** A zip is read from its end, so it is held: a larger one counts as unopened. */
  readonly archiveHeldBytesMax: number;
  /** Archives that cannot be opened (encrypted, 7z, rar, xz, bzip2): let them pass with a note, or call them unscanned. */
  readonly unopenedArchives: 'allow' | 'refuse';
}

const MIB = 1024 * 1024;

export const DEFAULT_SCAN_LIMITS: ScanLimits = {
  workers: 1,
  itemMs: 20_000,
  itemBytesMax: 2 * 1024 * MIB,
  findingsPerItemMax: 100,
  findingsMax: 1_000,
  notesMax: 200,
  archiveDepthMax: 3,
  archiveEntriesMax: 20_000,
  archiveBytesMax: 512 * MIB,
  archiveHeldBytesMax: 64 * MIB,
  unopenedArchives: 'allow',
};
