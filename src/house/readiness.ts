/** What `/readyz` answers: whether a balancer should send anybody here. */
import type { Fault } from '../base/fault.ts';

export interface Observed {
  readonly walk: { readonly draining: boolean };
  readonly journal: {
    /** Why nothing can be written now. */
    readonly failure: Fault | undefined;
    /** Tries to write again. */
    sync(): Promise<void>;
  };
}

/** Undefined: ready. Asking lets a journal whose disk failed try again, for while it is not ready nobody else comes. */
export function unreadyReason({ walk, journal }: Observed): string | undefined {
  if (walk.draining) return 'the gate is closing';
  const { failure } = journal;
  if (failure === undefined) return undefined;
  journal.sync().catch(() => {}); // the next question tells
  return failure.publicMessage ?? 'the audit journal cannot be written';
}
