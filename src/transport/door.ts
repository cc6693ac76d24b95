/** What every door has in common: where it listens, how it closes, how it names a client. */
import type { Server } from 'node:net';
import { formatAddress, type Listen } from '../base/address.ts';
import { Fault } from '../base/fault.ts';
import type { CommandRun, GitRequest, Outcome, RequestOrigin } from '../request/request.ts';

export interface Door {
  /** `HOST:PORT` as bound. */
  readonly address: string;
  /** No new connections or requests; resolves when the running ones have ended, at the latest after the drain. */
  close(): Promise<void>;
}

/** What a door asks of the walk. */
export interface DoorWalk {
  handle(request: GitRequest): Promise<Outcome>;
  readonly draining: boolean;
}

export interface DoorLog {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** What a door counts. */
export interface DoorMetrics {
  connectionOpened(transport: string): void;
  connectionClosed(transport: string): void;
  login(transport: string, outcome: 'served' | 'refused'): void;
}

/** What a door asks of the commands. */
export interface DoorCommands {
  /** The exit code. */
  run(run: CommandRun): Promise<number>;
  /** What a person reads who connects without a command. */
  greeting(origin: RequestOrigin): Promise<string>;
}

/** Binds and resolves with `HOST:PORT` as bound. @throws Fault 'usage' where the address cannot be had. */
export async function listenAt(server: Server, at: Listen): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void => {
      const address = formatAddress(at);
      const why = 'code' in cause && cause.code === 'EADDRINUSE' ? 'it is in use' : cause.message;
      const publicMessage = `cannot listen at ${address}: ${why}`;
      reject(new Fault('usage', 'cannot listen', { cause, context: { address }, publicMessage }));
    };
    server.once('error', onError);
    server.listen({ host: at.host, port: at.port }, () => {
      server.off('error', onError);
      resolve();
    });
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Fault('internal', 'door has no address');
  return formatAddress({ host: at.host, port: bound.port });
}

/** Refusal and error lines as a person reads them: each line names who speaks. */
export function spoken(reason: string): string {
  return reason
    .split('\n')
    .map((line) => `gatehouse: ${line}\n`)
    .join('');
}

/** `version=2` among colon-separated keys (gitprotocol-v2, "HTTP Transport"): the highest we speak, else 0. */
export function parseProtocol(text: string | undefined): 0 | 1 | 2 {
  if (text === 'version=2') return 2;
  if (text === undefined || text.length > 1_024) return 0;
  const versions = text.split(':').flatMap((key) => /^version=([12])$/.exec(key)?.[1] ?? []);
  if (versions.includes('2')) return 2;
  return versions.includes('1') ? 1 : 0;
}
