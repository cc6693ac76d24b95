/** The three services of a Git server and what flows through one conversation. */
import type { Readable, Writable } from 'node:stream';
import type { Parsed } from '../base/fault.ts';

export const GIT_SERVICES = ['upload-pack', 'receive-pack', 'upload-archive'] as const;
export type GitService = (typeof GIT_SERVICES)[number];

/** `git-upload-pack`, `git upload-pack` or `upload-pack`: the service, or undefined. */
export function parseGitService(text: string): GitService | undefined {
  const bare = text.replace(/^git[- ]/, '');
  return GIT_SERVICES.find((service) => service === bare);
}

/** The wire of one admitted request (see `GitRequest` in request/request.ts for the meaning of the fields). */
export interface Conversation {
  readonly protocol: 0 | 1 | 2;
  readonly mode: 'stateful' | 'advertise' | 'rpc';
  readonly input: Readable;
  readonly output: Writable;
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Absent: nobody has to wait. */
  readonly work?: WorkGate;
  /** Whether all this is still allowed, asked after each wait and right before the first byte of a pack; absent: it is. */
  readonly confirm?: () => Promise<Parsed<StillAllowed>>;
  /** A word for the person behind the client, where the transport has a way for it beside Git's. Never throws. */
  readonly notice?: (text: string) => void;
  /** Where the transport can do without streams for what is short. */
  readonly brief?: BriefExchange | undefined;
}

/** What whoever asks may do by now. */
export interface StillAllowed {
  /** Which refs may be read; undefined: all but the gate's own. The same function as before where the answers are the same. */
  readonly mayRead: ((refname: string) => boolean) | undefined;
}

/**
 * A short exchange without streams, over HTTP: a request that is whole before it is answered, and an answer that is whole
 * before its first byte goes out.
 */
export interface BriefExchange {
  /** The request; `input` gives it again. @throws Fault as reading `input` does. */
  read(): Promise<Buffer>;
  /** What was read came later than the turn of the event loop that began with its head: an older look is no answer to it. */
  readonly cameLate: boolean;
  /**
   * Nothing else is written then. Resolves when the client has taken it.
   * @throws Fault `aborted` where it has not; nothing was written where that is known before.
   */
  answer(bytes: Buffer): Promise<void>;
}

/**
 * Places among what costs much, for one request about one repository: the making of a pack, the judgement of a push. What it
 * resolves with gives the place back when it is disposed. `tell` is called while it is waited for. Throws Fault `busy`, `aborted`.
 */
export interface WorkGate {
  (about: WaitingFor): Promise<Disposable>;
  /** A place without a wait; undefined: none is free. Throws Fault `busy` where the gate closes. Absent: none ever is. */
  readonly ifFree?: () => Disposable | undefined;
  /** The same for a walk that proves what may be read; these places are others. Absent: nobody has to wait. */
  readonly walk?: (about: WaitingFor) => Promise<Disposable>;
}

export interface WaitingFor {
  readonly signal: AbortSignal;
  /** Absent: there is no way to who waits, who is sent away earlier then. */
  readonly tell?: ((text: string) => void) | undefined;
}
