/** One conversation with a service of the upstream, whatever carries it. */
import type { Call } from './call.ts';
import type { Greeting, GreetingV2 } from './greeting.ts';
import type { Incoming } from './incoming.ts';

export type WireService = 'upload-pack' | 'receive-pack';
export type Body = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface Session {
  /** Each request stands for itself (HTTP): the server remembers none before. */
  readonly isStateless: boolean;
  /** The connection, or what is remembered of the server, is older than this call. */
  readonly isKept: boolean;
  /** What the server is taken for before it said anything; undefined: its greeting is to be waited for. Only of fetches. */
  readonly expected: GreetingV2 | undefined;
  /** Whether a failure may mean only that what was kept is no good any more, and the same can be tried anew without it. */
  readonly mayBeStale: boolean;
  /** What the server says first: its capabilities, in v0 with its refs. @throws Fault as `Remote` says. */
  greeting(): Promise<Greeting>;
  /**
   * Sends `body` while the answer is already read. Where `body` itself throws, the answer's reader does, and the connection is cut.
   * @param answerMs for the first sign of an answer.
   */
  request(body: Body, answerMs?: number): Promise<Incoming>;
  /** Gives back what it holds. `isWell`: the conversation came to its proper end, so the connection can be used again. Never throws. */
  close(isWell: boolean): Promise<void>;
}

/** How one upstream is reached. */
export interface Link extends AsyncDisposable {
  open(service: WireService, call: Call): Promise<Session>;
  /** What a command writes; absent where there is no such thing. */
  run?(command: string, call: Call): Promise<string>;
}
