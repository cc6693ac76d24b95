/**
 * The audit journal: append-only JSON lines in a SHA-256 chain, over numbered files. Lines get their
 * number in the order of the calls; those that wait at the same time share one fsync. What is recorded
 * without waiting reaches the page cache in the same turn and the disk within a second.
 */
import { mkdirSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Journal, JournalLine } from './entry.ts';
import { HashChainJournal, reasonOf } from './hash-chain.ts';
import { JournalFile, realDisk, type Disk } from './journal-file.ts';
import type { ChainEnd } from './line.ts';
import type { Log } from './log.ts';
import type { JournalFilter } from './read.ts';
import { findEnd } from './recovery.ts';
import type { VerifyOptions, VerifyReport } from './verify.ts';

export interface JournalOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** A file that has this many bytes is followed by the next. Default 64 MiB. */
  readonly rotateBytes?: number;
  /** Whether an earlier run is known to have left a journal: its absence is then reported. Default false. */
  readonly expected?: boolean;
  /** Called after each fsync with its duration and the lines that it made durable. */
  readonly onSync?: (ms: number, lines: number) => void;
  readonly disk?: Disk;
}

export interface OpenJournal extends Journal {
  /** Why nothing can be written now; `undefined` in health. `append` rejects with it. */
  readonly failure: Fault | undefined;
  /** The last line on disk: copy it elsewhere, and `verify` can tell a rewritten journal (docs/audit.md). */
  readonly head: ChainEnd;
  /** Resolves when every line recorded so far is on disk. */
  sync(): Promise<void>;
  /** Lines on disk, in order. Memory stays bounded whatever their number. */
  read(filter?: JournalFilter): AsyncIterable<JournalLine>;
  /** Lines from now on (from `filter.since` on where given), as they reach the disk, until the signal aborts. */
  follow(filter: JournalFilter, signal: AbortSignal): AsyncIterable<JournalLine>;
  /** @throws as `verifyJournal` does. */
  verify(options?: Omit<VerifyOptions, 'to'>): Promise<VerifyReport>;
  close(): Promise<void>;
}

/**
 * Opens or begins a journal. Reads only the end of it. Damage does not keep it from opening: it is logged,
 * becomes a `recover` entry and is reported by every later `verify`.
 * @throws Fault 'internal' where the directory cannot be written.
 */
export async function openJournal(options: JournalOptions): Promise<OpenJournal> {
  const { directory, log, disk = realDisk } = options;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const end = await findEnd(directory, options.expected ?? false);
    const file = await JournalFile.open({ directory, disk, ...end });
    const journal = new HashChainJournal(options, file, end.chain);
    try {
      await journal.begin(end.notes);
    } catch (error) {
      file.abandon();
      throw error;
    }
    return journal;
  } catch (error) {
    log.error({ directory, error }, 'open journal failed');
    throw new Fault('internal', 'journal cannot be opened', {
      cause: error,
      context: { directory },
      publicMessage: `the audit journal in ${directory} cannot be opened: ${reasonOf(error)}`,
    });
  }
}
