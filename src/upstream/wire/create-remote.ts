/** An upstream to talk to, over the connection that its address asks for. */
import { systemClock, type Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { Call } from './call.ts';
import { DaemonLink } from './daemon.ts';
import { fetchPack, type FetchAsked } from './fetch.ts';
import { HttpLink } from './http.ts';
import { WIRE_LIMITS, type WireLimits } from './limits.ts';
import { listRefs } from './ls-refs.ts';
import { pushTo } from './push.ts';
import { Places } from './places.ts';
import type { PushAsked, Remote, RemoteCall, RemoteOptions, RemotePush, RemoteRefs } from './remote.ts';
import type { Link, Session, WireService } from './session.ts';
import { quoted, SshLink } from './ssh.ts';
import { Words } from './words.ts';

/** What tests replace. */
export interface RemoteParts {
  readonly clock?: Clock;
  readonly limits?: Partial<WireLimits>;
}

/** Connects at the first call. */
export function createRemote(options: RemoteOptions, { clock = systemClock, limits = {} }: RemoteParts = {}): Remote {
  return new WireRemote(options, clock, { ...WIRE_LIMITS, ...limits });
}

class WireRemote implements Remote {
  readonly #clock: Clock;
  readonly #limits: WireLimits;
  readonly #words: Words;
  readonly #link: Link;
  readonly #places: Places;

  constructor({ upstream, credential }: RemoteOptions, clock: Clock, limits: WireLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#words = new Words(upstream.url, limits.reasonBytesMax);
    // git daemon cannot share a connection, and has a short queue for new ones.
    const places = limits.connectionsMax * (upstream.url.scheme === 'git' ? 1 : limits.channelsMax);
    this.#places = new Places(places, limits.waitingMax);
    const parts = { upstream, credential, words: this.#words, clock, limits };
    switch (upstream.url.scheme) {
      case 'ssh':
        this.#link = new SshLink(parts);
        break;
      case 'git':
        this.#link = new DaemonLink(parts);
        break;
      case 'https':
      case 'http':
        this.#link = new HttpLink(parts);
        break;
      default:
        throw new Fault('internal', 'unknown scheme', { context: { scheme: upstream.url.scheme satisfies never } });
    }
  }

  async lsRefs(asked: RemoteCall & { readonly prefixes: readonly string[] }): Promise<RemoteRefs> {
    using call = this.#call(asked, this.#limits.listMs);
    const [refs, session] = await this.#converse('upload-pack', call, (open) => listRefs(open, call, asked.prefixes));
    await session.close(true);
    return refs;
  }

  async fetch(asked: RemoteCall & FetchAsked): Promise<AsyncIterable<Uint8Array>> {
    const call = this.#call(asked, this.#limits.packMs);
    try {
      const [pack, session] = await this.#converse('upload-pack', call, (open) => fetchPack(open, call, asked));
      // Whoever asked may never read it.
      call.signal.addEventListener('abort', () => void session.close(false), { once: true });
      return readOut(pack, session, call);
    } catch (error) {
      call[Symbol.dispose]();
      throw error;
    }
  }

  async push(asked: PushAsked): Promise<RemotePush> {
    using call = this.#call(asked, this.#limits.packMs);
    const [result, session] = await this.#converse('receive-pack', call, (open) => pushTo(open, call, asked));
    await session.close(result.kind !== 'unknown');
    return result;
  }

  async run(asked: RemoteCall & { readonly words: readonly string[] }): Promise<string> {
    using call = this.#call(asked, this.#limits.listMs);
    if (this.#link.run === undefined) throw this.#words.fault('upstream runs nothing', 'the upstream runs no commands');
    await this.#places.take(call);
    try {
      return await this.#link.run(asked.words.map(quotedWord).join(' '), call);
    } catch (error) {
      throw call.translate(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link[Symbol.asyncDispose]();
  }

  #call(asked: RemoteCall, totalMs: number): Call {
    return new Call(asked, totalMs, { words: this.#words, clock: this.#clock, limits: this.#limits });
  }

  /**
   * What a conversation comes to, and its session, still open. It is begun once more where what was kept may be to blame: a
   * connection that does not even bring a greeting, or what is remembered of a server that is another by now. A push sends
   * nothing before its greeting, and remembers nothing: it is never begun again once something was sent that changes anything.
   */
  async #converse<T>(
    service: WireService,
    call: Call,
    talk: (session: Session) => Promise<T>,
  ): Promise<readonly [T, Session]> {
    await this.#places.take(call);
    for (let attempt = 0; ; attempt += 1) {
      const session = await this.#link.open(service, call);
      try {
        return [await talk(session), session];
      } catch (error) {
        const isStale = session.mayBeStale && attempt === 0 && !call.isOver;
        await session.close(false);
        if (!isStale) throw call.translate(error);
      }
    }
  }
}

function quotedWord(word: string): string {
  return /^[A-Za-z][A-Za-z-]*$/.test(word) ? word : quoted(word);
}

/** Gives everything back at the end of the pack, wherever that is. */
async function* readOut(
  pack: AsyncGenerator<Buffer, void, undefined>,
  session: Session,
  call: Call,
): AsyncGenerator<Buffer, void, undefined> {
  let isWell = false;
  try {
    yield* pack;
    isWell = true;
  } catch (error) {
    throw call.translate(error);
  } finally {
    await session.close(isWell);
    call[Symbol.dispose]();
  }
}
