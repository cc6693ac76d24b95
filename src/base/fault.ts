/**
 * The one exception of the product. A refusal is a value (see `Refusal`); a `Fault` is something that
 * went wrong: bad input where no refusal fits, a broken disk, a bug next door.
 */

/** Every code a `Fault` may carry; transports map them, tests name them. */
export const FAULT_CODES = [
  'bad-input', // the client broke the protocol or a limit
  'usage', // the command line or configuration is wrong
  'conflict', // somebody else changed it first: read again and retry
  'missing', // what was named does not exist
  'busy', // a limit is reached: try again later
  'timeout', // a deadline passed
  'aborted', // the client went away or the server is shutting down
  'corrupt', // state on disk contradicts itself
  'process', // a child process failed
  'upstream', // the host behind a mirror does not answer, or says no
  'internal', // our bug
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

export interface FaultOptions {
  /** What was thrown to us, always passed on. */
  readonly cause?: unknown;
  /** Data for the log. Never a secret. */
  readonly context?: Readonly<Record<string, unknown>>;
  /** All that a client may read. Absent: the client reads "internal error" and the request id. */
  readonly publicMessage?: string;
}

export class Fault extends Error {
  readonly code: FaultCode;
  readonly context: Readonly<Record<string, unknown>>;
  readonly publicMessage: string | undefined;

  /** @param message constant, lower case, without data: data goes to `context`. */
  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, { cause: options.cause });
    this.name = 'Fault';
    this.code = code;
    this.context = options.context ?? {};
    this.publicMessage = options.publicMessage;
  }
}

/** A fault whose text the client may read: its input is to blame. */
export function badInput(publicMessage: string, context?: Readonly<Record<string, unknown>>): Fault {
  return new Fault('bad-input', 'bad input', { publicMessage, ...(context ? { context } : {}) });
}

/** What the client reads of anything thrown: the public message, or "internal error" and the request id. */
export function publicMessageOf(error: unknown, requestId: string): string {
  if (error instanceof Fault && error.publicMessage !== undefined) return error.publicMessage;
  return `internal error (request ${requestId})`;
}

/** A decision against the asker: a value, never thrown. `reason` says which rule and what would be allowed. */
export interface Refusal {
  readonly kind: 'refused';
  readonly reason: string;
}

export function refuse(reason: string): Refusal {
  return { kind: 'refused', reason };
}

/** The answer of a parser that must not throw: what was made, or why not. */
export type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | Refusal;

export function ok<T>(value: T): Parsed<T> {
  return { kind: 'ok', value };
}
