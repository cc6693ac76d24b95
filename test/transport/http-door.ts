/** An HTTP door whose walk a test writes, and raw connections to it. */
import { connect, type Socket } from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import type { GitRequest, Outcome } from '../../src/request/request.ts';
import { startHttp, type HttpDoor, type HttpOptions } from '../../src/transport/http.ts';
import { SILENT, UNCOUNTED } from './kit.ts';

export interface OpenDoor {
  readonly door: HttpDoor;
  /** What goes wrong with the connection is not told. */
  readonly dial: () => Socket;
}

export async function openDoor(
  handle: (request: GitRequest) => Promise<Outcome>,
  limits: NonNullable<HttpOptions['limits']> = {},
): Promise<OpenDoor> {
  const door = await startHttp({
    listen: { host: '127.0.0.1', port: 0 },
    walk: { handle, draining: false },
    directory: { byToken: async () => undefined },
    clock: systemClock,
    log: SILENT,
    metrics: { ...UNCOUNTED, contentType: 'text/plain', text: async () => '' },
    unready: () => undefined,
    limits,
  });
  const dial = (): Socket => {
    const socket = connect({ host: '127.0.0.1', port: Number(door.address.split(':').at(-1)) });
    return socket.on('error', () => {});
  };
  return { door, dial };
}
