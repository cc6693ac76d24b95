/** What the gate and the process that starts site programs say to each other; both ends import only this. */
import type { EndSignal, ProgramOrder } from './program-starter.ts';

/** Named pipes that are made at once: making them is a process of its own. */
export const PIPES_AT_ONCE = 48;

export interface StartOrder extends Omit<ProgramOrder, 'input'> {
  readonly kind: 'start';
  readonly id: number;
  /** A file with all of its input. */
  readonly inputFile?: string;
  /** Named pipes, of which the gate holds its ends open already. */
  readonly stdin?: string;
  readonly stdout: string;
  readonly stderr: string;
}

export type HostOrder =
  | { readonly kind: 'pipes' }
  | StartOrder
  | { readonly kind: 'signal'; readonly id: number; readonly signal: EndSignal };

/** Why one could not be started: what is asked about it is the system's code, `ENOENT` above all. */
export interface StartFailure {
  readonly reason: string;
  readonly code?: string;
}

export type HostReport =
  | { readonly kind: 'pipes'; readonly paths: readonly string[] }
  | { readonly kind: 'started'; readonly id: number; readonly pid: number }
  | ({ readonly kind: 'failed'; readonly id: number } & StartFailure)
  | { readonly kind: 'ended'; readonly id: number; readonly code: number };

export function isHostOrder(message: unknown): message is HostOrder {
  return hasKind(message) && ['pipes', 'start', 'signal'].includes(message.kind);
}

export function isHostReport(message: unknown): message is HostReport {
  return hasKind(message) && ['pipes', 'started', 'failed', 'ended'].includes(message.kind);
}

function hasKind(message: unknown): message is { readonly kind: string } {
  return typeof message === 'object' && message !== null && 'kind' in message && typeof message.kind === 'string';
}
