/** What the gate and the spawner say to each other over their IPC channel; both ends import only this. */

/** Sockets that the spawner keeps connected ahead of need: a start then waits for no connection. */
export const READY_SOCKETS = 16;
/** First bytes on each of these sockets: the spawner's secret (32 hex digits) and the socket's number (8 hex digits). */
export const PREAMBLE_BYTES = 40;

export interface StartOrder {
  readonly kind: 'start';
  readonly id: number;
  /** The sockets that become its standard input and output. */
  readonly stdin: number;
  readonly stdout: number;
  readonly file: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  /** It may hold lock files: when it must end, it is asked first. */
  readonly isGentle: boolean;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Absent: the spawner's own. */
  readonly umask?: number;
}

export type Order =
  | { readonly kind: 'open'; readonly socketPath: string; readonly secret: string; readonly stderrBytesMax: number }
  | StartOrder
  | { readonly kind: 'end'; readonly id: number };

export type Report =
  | { readonly kind: 'started'; readonly id: number; readonly pid: number }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string }
  | {
      readonly kind: 'ended';
      readonly id: number;
      readonly code: number;
      readonly overdue: boolean;
      readonly stderr: string;
    };

export function isOrder(message: unknown): message is Order {
  return hasKind(message) && ['open', 'start', 'end'].includes(message.kind);
}

export function isReport(message: unknown): message is Report {
  return hasKind(message) && ['started', 'failed', 'ended'].includes(message.kind);
}

function hasKind(message: unknown): message is { readonly kind: string } {
  return typeof message === 'object' && message !== null && 'kind' in message && typeof message.kind === 'string';
}
