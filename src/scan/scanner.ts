/** What the secret scan promises to those who use it: the push step, the `scan` commands, LFS uploads. */
import type { Finding } from './finding.ts';

/** What lies in front of the scanner: bytes with a name. */
export interface ScanItem {
  /** What it is, for rules and people. `path` is a path in a tree, a refname, or empty. */
  readonly kind: 'blob' | 'commit' | 'tag' | 'tree' | 'path' | 'refname' | 'lfs' | 'text';
  readonly path: string;
  /** Oid of the object; empty where there is none. */
  readonly oid: string;
  /** Bytes, if known. */
  readonly size?: number;
  /** The commit that brought it, if known: allow-lists name commits. */
  readonly commit?: string;
  /** Read once, to its end or to the bound. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
}

export interface ScanReport {
  readonly findings: readonly Finding[];
  readonly items: number;
  readonly bytes: number;
  /** What could not be looked at and why: whoever asked must refuse. */
  readonly unscanned: readonly ScanNote[];
  /** What was not looked into though nothing asks to refuse it: archives that only their owner can open. Bounded. */
  readonly notes: readonly ScanNote[];
  /** Findings beyond the bound: counted, not kept. */
  readonly findingsDropped: number;
}

/** One item and what is to be said of it. */
export interface ScanNote {
  readonly item: Pick<ScanItem, 'kind' | 'path' | 'oid'>;
  readonly reason: string;
}

export interface ScanOptions {
  readonly signal: AbortSignal;
  /** Says how far it is, now and then. */
  readonly tell?: (text: string) => void;
}

export interface Scanner {
  /** Never holds more than a bounded part of an item. Findings are bounded too: more of them are counted, not kept. */
  scan(items: AsyncIterable<ScanItem> | Iterable<ScanItem>, options: ScanOptions): Promise<ScanReport>;
  /** Of the rules in force: changes with them. */
  readonly revision: number;
  close(): Promise<void>;
}
