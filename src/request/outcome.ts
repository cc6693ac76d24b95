/** What a thrown thing becomes for the client: the one translation from exceptions to outcomes. */
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { Outcome } from './request.ts';

export type FaultedOutcome = Extract<Outcome, { readonly kind: 'faulted' }>;

/**
 * The outcome of a request that threw. The reason is the fault's public message, or "internal error" with the
 * request id. `inBand`: the part that served told the client already.
 */
export function outcomeOf(
  error: unknown,
  { requestId, inBand }: { readonly requestId: string; readonly inBand: boolean },
): FaultedOutcome {
  const fault = faultOf(error);
  return {
    kind: 'faulted',
    reason: publicMessageOf(fault ?? error, requestId),
    code: fault?.code ?? 'internal',
    inBand,
  };
}

/** The fault thrown, also where the platform reports an abort in its own words. */
function faultOf(error: unknown): Fault | undefined {
  if (error instanceof Fault) return error;
  if (!(error instanceof Error)) return undefined;
  const code: unknown = Reflect.get(error, 'code');
  const isGone = error.name === 'AbortError' || (typeof code === 'string' && GONE.has(code));
  if (!isGone) return undefined;
  if (error.cause instanceof Fault) return error.cause;
  return new Fault('aborted', 'conversation was cut', { cause: error, publicMessage: 'the connection was lost' });
}

const GONE = new Set(['ABORT_ERR', 'ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED']);
