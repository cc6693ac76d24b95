/**
 * One git upload-pack or upload-archive between us and the client: fed by us, its answer streamed through with
 * back-pressure. The one place where a pack is made. A client that goes away ends the process at once.
 */
import type { Writable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import { PktReader } from '../git/pkt-line.ts';
import type { GitExit, GitProcesses, GitSpec } from '../git/processes.ts';
import { writeAll } from '../git/stream.ts';
import { AnswerTracker } from './answer-tracker.ts';
import { WaitingClient, type WaitingOptions } from './waiting.ts';
import type { Wire } from './wire.ts';

/** Hands bytes to git; false where it takes no more because it has ended. */
export type ToGit = (bytes: Uint8Array) => Promise<boolean>;

export interface Exchange extends WaitingOptions {
  readonly processes: GitProcesses;
  readonly wire: Wire;
  readonly spec: GitSpec;
  /** Writes git's whole input; it may read from the client meanwhile. */
  readonly feed: (toGit: ToGit) => Promise<void>;
  /** After a wait: whoever lost the right to any of this meanwhile gets nothing. @throws Fault */
  readonly still: () => Promise<void>;
  /** A stateful git advertises first what the client has from us already. */
  readonly skipAdvertisement?: boolean;
}

/** @throws Fault after telling the client where that is possible. */
export async function exchange(options: Exchange): Promise<void> {
  const { processes, wire, spec, feed } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([wire.signal, ending.signal]);
  const tracker = new AnswerTracker();
  const waiting = new WaitingClient(wire, tracker, options);
  using _ = await placeFor(options, waiting, tracker);
  await using child = await processes.start({ ...spec, signal });
  child.stdin.on('error', () => {});
  child.stdout.on('error', () => {});
  let feedFault: unknown;
  const relaying = relay({ answer: new PktReader(child.stdout, signal), options, tracker, waiting });
  const feeding = feed((bytes) => handOver(child.stdin, bytes, signal))
    .then(() => child.stdin.end())
    .catch((cause: unknown) => {
      feedFault = cause;
      ending.abort(cause);
    });
  const relayFault = await relaying.then(
    () => undefined,
    (cause: unknown) => cause ?? new Fault('internal', 'relay failed'),
  );
  if (relayFault !== undefined) ending.abort(relayFault);
  const [exit, exitFault] = await child.exit.then(
    (value) => [value, undefined] as const,
    (cause: unknown) => [undefined, cause] as const,
  );
  const fault = faultOf({ wire, exit, spec, causes: [feedFault, relayFault, exitFault] });
  if (fault !== undefined) await wire.lastWords(tracker.lastWords(wordsOf(fault, wire)));
  // Nothing more goes to git, and with a stateful one nothing more is expected from the client.
  ending.abort(new Fault('aborted', 'exchange is over'));
  if (options.skipAdvertisement === true) wire.stop();
  await feeding;
  if (fault !== undefined) throw fault;
}

/** @throws Fault after telling the client: there was no place for too long, or the client is gone. */
async function placeFor(
  { wire, still }: Exchange,
  { tell }: WaitingClient,
  tracker: AnswerTracker,
): Promise<Disposable> {
  try {
    using stack = new DisposableStack();
    stack.use(wire.holdPlace(await wire.conversation.work?.({ signal: wire.signal, tell })));
    await still();
    return stack.move();
  } catch (cause) {
    const fault = wire.signal.aborted ? goneOf(wire) : cause;
    if (fault instanceof Fault) await wire.lastWords(tracker.lastWords(wordsOf(fault, wire)));
    throw fault;
  }
}

/** What a client reads of a fault in the middle of an answer. */
export function wordsOf(fault: Fault, wire: Wire): string {
  return fault.publicMessage ?? `the server could not complete this (request ${wire.conversation.requestId})`;
}

/** False where git takes no more because it has ended. @throws Fault `aborted` by `signal`. */
export async function handOver(stdin: Writable, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
  try {
    await writeAll(stdin, bytes, signal);
    return true;
  } catch (cause) {
    if (cause instanceof Fault && !signal.aborted) return false;
    throw cause;
  }
}

interface Relay {
  readonly answer: PktReader;
  readonly options: Exchange;
  readonly tracker: AnswerTracker;
  readonly waiting: WaitingClient;
}

async function relay({ answer, options, tracker, waiting }: Relay): Promise<void> {
  if (options.skipAdvertisement === true) {
    for (let pkt = await answer.next(); pkt?.kind !== 'flush'; pkt = await answer.next()) {
      if (pkt === undefined) throw new Fault('process', 'git did not advertise');
    }
  }
  for await (const chunk of answer.rest()) {
    const rest = await waiting.rest(chunk);
    await options.wire.write(rest);
    tracker.take(rest);
  }
}

interface Ending {
  readonly wire: Wire;
  readonly exit: GitExit | undefined;
  readonly spec: GitSpec;
  readonly causes: readonly unknown[];
}

function faultOf({ wire, exit, spec, causes }: Ending): Fault | undefined {
  return wire.signal.aborted ? goneOf(wire) : failureOf({ exit, spec, causes });
}

/** Why the client's side is over. */
export function goneOf(wire: Wire): Fault {
  const reason: unknown = wire.signal.reason;
  return reason instanceof Fault ? reason : new Fault('aborted', 'client is gone', { cause: reason });
}

/** Why git did not answer to its end; undefined where it did. `causes`: what was thrown on our side, if anything. */
export function failureOf({ exit, spec, causes }: Omit<Ending, 'wire'>): Fault | undefined {
  const { subcommand } = spec;
  if (exit?.ended === 'deadline') {
    return new Fault('timeout', 'git took too long', {
      context: { subcommand },
      publicMessage: 'the server gave up: this took too long',
    });
  }
  const cause = causes.find((fault) => fault !== undefined);
  if (cause instanceof Fault) return cause;
  if (exit?.code === 0 && cause === undefined) return undefined;
  const context = { subcommand, code: exit?.code, stderr: exit?.stderr };
  return new Fault('process', 'git failed', { cause, context });
}
