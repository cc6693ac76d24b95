/** Where the control socket is bound. A socket's path has at most 107 bytes, a data directory's may have more. */
import { open } from 'node:fs/promises';
import { platform } from 'node:process';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';

const SOCKET_PATH_BYTES_MAX = 107;
export const CONTROL_NAME = 'control.sock';

export interface ControlPath extends AsyncDisposable {
  readonly path: string;
}

/**
 * The path to bind or connect to; good until it is disposed. A path that is too long is reached through a descriptor
 * of its directory, which the kernel shows under a short name.
 */
export async function controlPath(dataDirectory: string): Promise<ControlPath> {
  const path = join(dataDirectory, CONTROL_NAME);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return { path, async [Symbol.asyncDispose]() {} };
  if (platform !== 'linux') {
    const publicMessage = `${dataDirectory} is too long for a control socket: choose a shorter path with --data`;
    throw new Fault('usage', 'data directory path is too long', { publicMessage });
  }
  const directory = await open(dataDirectory, 'r');
  return {
    path: `/proc/self/fd/${directory.fd}/${CONTROL_NAME}`,
    [Symbol.asyncDispose]: () => directory.close(),
  };
}
