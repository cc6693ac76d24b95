/** git:// upstreams (gitprotocol-pack, "Git Transport"): no credential, no encryption, a connection for each call. */
import type { Clock } from '../../base/clock.ts';
import { encodePkt } from '../../git/pkt-line.ts';
import { writeAll } from '../../git/stream.ts';
import type { Upstream } from '../upstream.ts';
import { bracketed } from '../upstream-url.ts';
import type { Call } from './call.ts';
import type { WireLimits } from './limits.ts';
import { Memory } from './memory.ts';
import type { Link, Session, WireService } from './session.ts';
import { openSocket } from './socket.ts';
import { StreamSession } from './stream-session.ts';
import type { Words } from './words.ts';

const DEFAULT_PORT = 9418;

export interface DaemonParts {
  readonly upstream: Upstream;
  readonly words: Words;
  readonly clock: Clock;
  readonly limits: WireLimits;
}

export class DaemonLink implements Link {
  readonly #parts: DaemonParts;
  readonly #memory: Memory;

  constructor(parts: DaemonParts) {
    this.#parts = parts;
    this.#memory = new Memory(parts.clock, parts.limits.capabilitiesMs);
  }

  async open(service: WireService, call: Call): Promise<Session> {
    const { upstream, words } = this.#parts;
    try {
      const socket = await call.within(call.limits.connectMs, openSocket(upstream.url, words, call.signal));
      await call.within(call.limits.silenceMs, writeAll(socket, this.#request(service), call.signal));
      return new StreamSession(
        {
          input: socket,
          output: socket,
          isKept: false,
          lastWords: () => Promise.resolve(undefined),
          cut(reason) {
            socket.destroy(reason);
          },
          release(isWell) {
            if (isWell) socket.destroySoon();
            else socket.destroy();
            return Promise.resolve();
          },
        },
        call,
        service === 'upload-pack' ? this.#memory : undefined,
      );
    } catch (error) {
      throw call.translate(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** v2 is asked for behind a second NUL, where old daemons do not look (gitprotocol-pack, "Extra Parameters"). */
  #request(service: WireService): Buffer {
    const { host, port, path } = this.#parts.upstream.url;
    const at = port === DEFAULT_PORT ? bracketed(host) : `${bracketed(host)}:${port}`;
    const version = service === 'upload-pack' ? '\0version=2\0' : '';
    return encodePkt(`git-${service} ${path}\0host=${at}\0${version}`);
  }
}
