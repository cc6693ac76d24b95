/** What a transport hands to the walk, and what comes back. A transport differs in these few lines only. */
import type { Readable, Writable } from 'node:stream';
import type { Run } from '../gitolite/run.ts';
import type { Principal } from '../identity/principal.ts';
import type { BriefExchange, GitService } from '../git/service.ts';

export const TRANSPORTS = ['ssh', 'http', 'git', 'local'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface RequestOrigin {
  /** Given by the transport; in every log line, journal line and internal error. */
  readonly id: string;
  readonly transport: Transport;
  /** The client's address as the journal shows it, without port; `local` for the control socket. */
  readonly address: string;
  readonly principal: Principal;
}

export interface GitRequest extends RequestOrigin {
  readonly service: GitService;
  /** As the client wrote it: `/team/api.git`. */
  readonly requestedPath: string;
  /** The version the client asked for. */
  readonly protocol: 0 | 1 | 2;
  /**
   * `stateful`: ssh and git://, one conversation. `advertise`: http info/refs. `rpc`: http POST, one
   * request, one answer, no advertisement.
   */
  readonly mode: 'stateful' | 'advertise' | 'rpc';
  readonly input: Readable;
  /** Nothing is written before the request is admitted: an http transport can still choose its status. */
  readonly output: Writable;
  /** Aborted when the client is gone or the drain at shutdown is over. */
  readonly signal: AbortSignal;
  /** A way without streams, where the transport has one for this request. */
  readonly brief?: BriefExchange | undefined;
  /** For people, where the transport has such a way beside Git's. */
  readonly stderr?: Writable;
  /** The invocation of a gitolite site's shell that it came by. */
  readonly run?: Run;
}

/** One command line, however it arrived. */
export interface CommandRun {
  readonly origin: RequestOrigin;
  readonly argv: readonly string[];
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

/** How a request ended. Refused and missing at admission: nothing was written to `output`. */
export type Outcome =
  | { readonly kind: 'served' }
  /**
   * The repository does not exist or may not be read: one answer for both (`request/walk.ts`). `native`: gitolite's own
   * words, where its conf decided: `R any foo alice DENIED by fallthru`.
   */
  | { readonly kind: 'missing'; readonly reason: string; readonly native?: string }
  /** The repository may be read, but not this. */
  | { readonly kind: 'refused'; readonly reason: string; readonly native?: string }
  /**
   * `inBand`: the client already got an error in the protocol; nothing more can be said. `cause`: what was thrown, where
   * a site's shell has words of its own for it.
   */
  | {
      readonly kind: 'faulted';
      readonly reason: string;
      readonly code: string;
      readonly inBand: boolean;
      readonly cause?: unknown;
    };
