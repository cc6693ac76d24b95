/** One line of the audit journal: who asked for what and what came of it. */

export const JOURNAL_OUTCOMES = ['served', 'refused', 'faulted'] as const;
export type JournalOutcome = (typeof JOURNAL_OUTCOMES)[number];

export interface JournalRef {
  readonly name: string;
  readonly old: string;
  readonly new: string;
  /** 'ok' or the reason the client got. */
  readonly result: string;
}

/** What a caller gives; the journal adds `seq`, `time`, `prev` and `hash`. */
export interface JournalEntry {
  /** `fetch`, `push`, `refresh` (of a mirror), `scan` (what the secret scan of a push found), `archive`, `ls-refs`, `command`, `connect` and `login` (turned away at a door), `exchange` (of a CI identity for a pass), `hook` (a forge says that a mirror's upstream changed), `gate` (what a gate for one job made and took away), `lfs` (Git LFS; `argv` has what was asked), `start`, `stop`, `recover`, `hold`, `policy`. */
  readonly event: string;
  readonly outcome: JournalOutcome;
  readonly request: string;
  readonly transport: string;
  readonly address: string;
  readonly principal: string;
  /** Who really asks under `as USER`. */
  readonly asking?: string;
  /** `key SHA256:... (laptop)`, `token ci-1`, `local`. Never a secret. */
  readonly credential?: string;
  /** Of a pass: its id, and what it was issued for. */
  readonly pass?: string;
  readonly purpose?: string;
  readonly repository?: string;
  readonly refs?: readonly JournalRef[];
  /** Of a push to a mirror: the upstream that was asked to take it. `refs` say what that took. */
  readonly forwardedTo?: string;
  /** Of a signed push: the certificate as it came, its signature at its end. */
  readonly certificate?: string;
  /** A command's words, secrets taken out. */
  readonly argv?: readonly string[];
  readonly reason?: string;
  /** `rules/house.lace:41`. */
  readonly rule?: string;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  readonly ms?: number;
}

/** An entry as it stands in the file. */
export interface JournalLine extends JournalEntry {
  /** 1, 2, 3 ... over all files, without a gap. */
  readonly seq: number;
  /** ISO 8601, UTC, milliseconds. */
  readonly time: string;
  /** `hash` of the line before; 64 zeros for the first. */
  readonly prev: string;
  /** SHA-256, hex, over `prev` and the canonical JSON of the rest. */
  readonly hash: string;
}

export interface Journal {
  /** Resolves when the line is on disk (fsync; calls made together share one). */
  append(entry: JournalEntry): Promise<void>;
  /** Written in order with the others, synced with the next `append` or within a second: for reads. */
  record(entry: JournalEntry): void;
}
