/**
 * The narrow interface behind which git runs. `spawner.ts` implements it with a small process of its own
 * that does nothing but spawn (spawning from a process with large caches stops its event loop), confined
 * as `sandbox.ts` finds possible.
 */
import type { Readable, Writable } from 'node:stream';

/** Every git subcommand the product may start, with nothing else reachable. */
export const SUBCOMMANDS = [
  'upload-pack',
  'upload-archive',
  'index-pack',
  'pack-objects',
  'rev-list',
  'cat-file',
  'diff-tree',
  'ls-tree',
  'update-ref',
  'symbolic-ref',
  'pack-refs',
  'for-each-ref',
  'fsck',
  'gc',
  'repack',
  'prune',
  'count-objects',
  'init',
  'hash-object',
  'mktree',
  'commit-tree',
  'merge-base',
  'commit-graph',
  'multi-pack-index',
  'clone',
  'verify-pack',
] as const;
export type Subcommand = (typeof SUBCOMMANDS)[number];

export interface GitSpec {
  readonly subcommand: Subcommand;
  /** Options only, each starting with `-`. Checked. Input from outside never goes here. */
  readonly options?: readonly string[];
  /** Operands; written behind `--end-of-options`, or `--` where the subcommand knows only that. */
  readonly operands?: readonly string[];
  /** `-c key=value` configuration over the built-in hardening. */
  readonly config?: Readonly<Record<string, string>>;
  /** The bare repository: GIT_DIR. Absent only for `init` and `clone`. */
  readonly gitDir?: string;
  /** Where the process may write; everything else is read-only or invisible. Default: nowhere. */
  readonly writable?: readonly string[];
  /** Other directories it may read: alternates, a second repository. */
  readonly readable?: readonly string[];
  /** Quarantine: new objects go here, the repository's objects are the alternate. */
  readonly objectDirectory?: string;
  /** The largest single allocation it may make (GIT_ALLOC_LIMIT): an object that git would hold whole is refused. */
  readonly allocationBytesMax?: number;
  /** GIT_PROTOCOL. */
  readonly protocol?: 1 | 2;
  /** The whole process tree is killed after this many milliseconds. Required: nothing runs for ever. */
  readonly deadlineMs: number;
  /** Abort kills the whole process tree. */
  readonly signal?: AbortSignal;
  /**
   * Asked by who holds another question, which goes on when this one is answered: it has turns of its own, so that such
   * pairs never wait for each other. Nothing else is asked while it runs.
   */
  readonly isInner?: boolean;
  /** For the log. */
  readonly requestId?: string;
}

export interface GitExit {
  /** The exit code; 128 + signal where a signal ended it. */
  readonly code: number;
  /** Why it was ended by us, if it was. */
  readonly ended?: 'deadline' | 'aborted';
  /** The last `BOUNDS.stderrBytesMax` bytes. For the log and for people: never branched on. */
  readonly stderr: string;
}

/** A running git. Dispose kills what still runs and waits for it. */
export interface GitProcess extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly exit: Promise<GitExit>;
}

export interface GitProcesses {
  start(spec: GitSpec): Promise<GitProcess>;
  /** How many processes were started since the gate opened (metric; tests count with it). */
  readonly started: number;
  close(): Promise<void>;
}

/** For questions asked while another is held. */
export function innerProcesses(processes: Pick<GitProcesses, 'start'>): Pick<GitProcesses, 'start'> {
  return { start: (spec) => processes.start({ ...spec, isInner: true }) };
}

export interface GitRun {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}
