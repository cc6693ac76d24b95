/** What is asked of the commit protocol, and what came of it. */
import type { JournalEntry } from '../audit/entry.ts';
import type { Repository } from '../repository/repository.ts';
import type { Check, Write } from '../store/store.ts';
import type { ReceiveConfig } from './limits.ts';
import type { LoggedUpdate } from './log-entry.ts';
import type { Update } from './update.ts';

export interface CommitRequest {
  readonly repository: Repository;
  /** Refused ones are passed over; those that no longer fit are refused here. */
  readonly updates: readonly Update[];
  readonly atomic: boolean;
  readonly config?: ReceiveConfig | undefined;
  readonly objectDirectory: string | undefined;
  readonly requestId: string;
  readonly principal: string;
  /** The journal line, asked for when every fate is known. */
  readonly entry: () => JournalEntry;
  /** Runs in the repository's turn before anything is prepared: refuses what may not be committed any more. */
  readonly confirm?: () => Promise<void>;
  /**
   * Runs right after that, with what still fits: takes the push elsewhere before it is committed here. What it returns is
   * disposed at the end of the turn, however that comes.
   */
  readonly forward?: () => Promise<AsyncDisposable | undefined>;
  /** Is true, and becomes so, with the commit point and not without it. Asked for when the updates are known. */
  readonly alongside?: () => { readonly checks: readonly Check[]; readonly writes: readonly Write[] };
  /**
   * Whether it may commit together with others that wait for the same repository's turn: never where `forward` takes it
   * elsewhere, or where what follows it within the turn changes what others may do. Absent: it may not.
   */
  readonly sharesTurn?: () => boolean;
  /** Runs when the refs are in place, within the repository's turn. */
  readonly onApplied?: (updates: readonly LoggedUpdate[]) => Promise<void>;
}

/** The transaction, which may be that of other pushes too; undefined where no update was left: the journal has no line then. */
export type Committed = {
  readonly generation: number;
  readonly txid: string;
  readonly updates: readonly LoggedUpdate[];
};
