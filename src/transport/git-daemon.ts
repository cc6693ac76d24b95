/** The git:// door: reads only, for everybody, nothing but what anonymous may read. */
import { createServer, type Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import type { Listen } from '../base/address.ts';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import { encodePkt } from '../git/pkt-line.ts';
import { ANONYMOUS } from '../identity/principal.ts';
import { clientAddress } from '../request/address.ts';
import type { Outcome } from '../request/request.ts';
import { listenAt, type Door, type DoorLog, type DoorMetrics, type DoorWalk } from './door.ts';
import { parseGitRequest, type GitDaemonRequest } from './git-request.ts';
import { PeerInput } from './peer-input.ts';
import { turnedAway, type TurnedAway, type TurnedAwayAbout } from './turned-away.ts';

export interface GitDaemonOptions {
  readonly listen: Listen;
  readonly walk: DoorWalk;
  readonly clock: Clock;
  readonly log: DoorLog;
  /** Told of whom the door turns away before the walk hears of it. */
  readonly onTurnedAway?: TurnedAway;
  readonly metrics?: DoorMetrics;
  /** Connections at once. Default 200. */
  readonly clientsMax?: number;
  readonly limits?: Partial<GitDaemonLimits>;
}

export interface GitDaemonLimits {
  /** From the connection to the last byte of the request. */
  readonly requestMs: number;
  /** Without a byte in either direction. */
  readonly silenceMs: number;
  /** After our last byte, for the client to close. */
  readonly lingerMs: number;
}

export const GIT_DAEMON_LIMITS: GitDaemonLimits = { requestMs: 10_000, silenceMs: 120_000, lingerMs: 5_000 };

const CLIENTS_MAX = 200;

export async function startGit(options: GitDaemonOptions): Promise<Door> {
  const { clock, clientsMax = CLIENTS_MAX } = options;
  const connections = new Map<Socket, GitConnection>();
  // A client may close its half after its wants and still read the answer.
  const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) => {
    const isCrowded = connections.size >= clientsMax;
    const connection = new GitConnection(socket, options);
    connections.set(socket, connection);
    options.metrics?.connectionOpened('git');
    socket.once('close', () => {
      options.metrics?.connectionClosed('git');
      connections.delete(socket);
    });
    // A reset connection must not end the process; 'close' follows.
    socket.on('error', () => {});
    void connection.run(isCrowded);
  });
  const address = await listenAt(server, options.listen);
  server.on('error', (error) => {
    options.log.warn({ door: 'git', error }, 'fail to accept');
  });
  return {
    address,
    async close() {
      const cancel = clock.after(BOUNDS.drainMs + BOUNDS.closeGraceMs, () => {
        for (const socket of connections.keys()) socket.destroy();
      });
      for (const [socket, connection] of connections) if (!connection.serving) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      cancel();
    },
  };
}

/** One connection, one conversation. */
class GitConnection {
  readonly #socket: Socket;
  readonly #options: GitDaemonOptions;
  readonly #limits: GitDaemonLimits;
  readonly #gone = new AbortController();
  readonly #id: string;
  #serving = false;

  constructor(socket: Socket, options: GitDaemonOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#limits = { ...GIT_DAEMON_LIMITS, ...options.limits };
    this.#id = newId(options.clock);
    socket.once('close', () => {
      this.#gone.abort(new Fault('aborted', 'git client went away'));
    });
    socket.setTimeout(this.#limits.silenceMs, () => socket.destroy());
  }

  /** A request is with the walk. */
  get serving(): boolean {
    return this.#serving;
  }

  /** Never throws. */
  async run(isCrowded: boolean): Promise<void> {
    try {
      if (isCrowded) this.#refuse('the server is busy: try again later');
      else await this.#converse(await this.#readRequest());
    } catch (error) {
      const reason = publicMessageOf(error, this.#id);
      this.#refuse(reason);
      // Who says nothing at all only looks whether the port is open.
      if (!this.#serving && this.#socket.bytesRead > 0) this.#turnAway({ event: 'connect', reason });
    }
    this.#part();
  }

  async #converse(request: GitDaemonRequest): Promise<void> {
    if (request.service === 'receive-pack') {
      const reason = 'git:// is read-only: push over ssh or http';
      this.#refuse(reason);
      this.#turnAway({ event: 'push', reason, requestedPath: request.path });
      return;
    }
    const { walk } = this.#options;
    const { signal } = this.#gone;
    const input = new PeerInput(this.#socket, signal);
    this.#serving = true;
    const outcome = await walk.handle({
      id: this.#id,
      transport: 'git',
      address: clientAddress(this.#socket.remoteAddress),
      principal: ANONYMOUS,
      service: request.service,
      requestedPath: request.path,
      protocol: request.protocol,
      mode: 'stateful',
      input,
      output: this.#socket,
      signal,
    });
    await this.#conclude(outcome);
    input.destroy();
  }

  async #conclude(outcome: Outcome): Promise<void> {
    if (outcome.kind === 'served') {
      if (!this.#socket.writableEnded) this.#socket.end();
      await finished(this.#socket, { readable: false });
    } else if (outcome.kind !== 'faulted' || !outcome.inBand) {
      this.#refuse(outcome.reason);
    }
  }

  /** The first pkt-line; what follows it goes back to the socket. @throws Fault 'bad-input', 'timeout', 'aborted'. */
  #readRequest(): Promise<GitDaemonRequest> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      let head: Buffer = Buffer.alloc(0);
      const settle = (act: () => void): void => {
        cancel();
        socket.off('data', onData).off('end', onEnd).off('close', onEnd);
        socket.pause();
        act();
      };
      const fail = (fault: unknown): void => {
        settle(() => {
          reject(fault instanceof Error ? fault : new Fault('internal', 'request failed', { cause: fault }));
        });
      };
      const onData = (chunk: Buffer): void => {
        head = Buffer.concat([head, chunk]);
        try {
          const parsed = parseGitRequest(head);
          if (parsed === undefined) return;
          settle(() => {
            if (parsed.rest.length > 0) socket.unshift(parsed.rest);
            resolve(parsed.request);
          });
        } catch (error) {
          fail(error);
        }
      };
      const onEnd = (): void => {
        fail(
          new Fault('aborted', 'git client left before its request', { publicMessage: 'the request is incomplete' }),
        );
      };
      const cancel = this.#options.clock.after(this.#limits.requestMs, () => {
        fail(new Fault('timeout', 'git request is late', { publicMessage: 'the request came too slowly' }));
      });
      socket.on('data', onData).once('end', onEnd).once('close', onEnd);
    });
  }

  /** One ERR pkt, as the only thing said (gitprotocol-common, "pkt-line"; gitprotocol-pack, "Git Transport"). */
  #refuse(reason: string): void {
    const socket = this.#socket;
    if (!socket.writable || socket.bytesWritten > 0) return;
    const [line = ''] = reason.split('\n');
    socket.write(encodePkt(`ERR gatehouse: ${line}`));
  }

  #turnAway(about: TurnedAwayAbout): void {
    const address = clientAddress(this.#socket.remoteAddress);
    this.#options.onTurnedAway?.(turnedAway({ id: this.#id, transport: 'git', address }, about));
  }

  /** Our end of the connection; the client has a moment for its own. */
  #part(): void {
    const socket = this.#socket;
    if (!socket.writableEnded) socket.end();
    socket.resume();
    const cancel = this.#options.clock.after(this.#limits.lingerMs, () => socket.destroy());
    socket.once('close', cancel);
  }
}
