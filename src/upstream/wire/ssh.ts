/**
 * ssh upstreams: connections are kept for a while and shared, so that a refresh costs no handshake. One that broke while
 * nobody used it is replaced without a word, as long as nothing was sent.
 */
import { Fault } from '../../base/fault.ts';
import { readChunk } from '../../git/stream.ts';
import type { Call } from './call.ts';
import { Memory } from './memory.ts';
import type { Link, Session, WireService } from './session.ts';
import { unlessAborted } from './socket.ts';
import type { CommandChannel } from './ssh-channel.ts';
import { openSshConnection, type SshConnection, type SshConnectionParts } from './ssh-connection.ts';
import { StreamSession, type Carrier } from './stream-session.ts';

/** A server that lets nothing be heard of a channel on a kept connection for so long is taken for gone. */
const CHANNEL_MS_MAX = 10_000;
/** How long the end of a channel is waited for before its connection is not used again. */
const FINISH_MS = 5_000;
/** Of a command that is no service of Git's. */
const WRITTEN_BYTES_MAX = 64 * 1024;
/** Standard error may come a moment behind the end. */
const LAST_WORDS_MS = 1_000;

/** One connection, perhaps still coming up. */
interface Entry {
  readonly connection: Promise<SshConnection>;
  /** Undefined: not yet logged in. */
  ready: SshConnection | undefined;
  inUse: number;
  /** Not for new calls: closed when the last one is through. */
  isRetired: boolean;
  cancelIdle: () => void;
}

export class SshLink implements Link {
  readonly #parts: SshConnectionParts;
  readonly #entries = new Set<Entry>();
  readonly #waiting = new Set<() => void>();
  readonly #memory: Memory;
  #isClosed = false;

  constructor(parts: SshConnectionParts) {
    this.#parts = parts;
    this.#memory = new Memory(parts.clock, parts.limits.capabilitiesMs);
  }

  async open(service: WireService, call: Call): Promise<Session> {
    const command = `git-${service} ${quoted(this.#parts.upstream.url.path)}`;
    // v2 only knows fetches; a server that takes no such variable answers v0.
    const environment = service === 'upload-pack' ? { GIT_PROTOCOL: 'version=2' } : {};
    const memory = service === 'upload-pack' ? this.#memory : undefined;
    return new StreamSession(await this.#start(command, environment, call), call, memory);
  }

  async run(command: string, call: Call): Promise<string> {
    const carrier = await this.#start(command, {}, call);
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isWell = false;
    try {
      carrier.output.end();
      for (;;) {
        const chunk = await call.within(call.limits.silenceMs, readChunk(carrier.input, call.signal));
        if (chunk === undefined) break;
        bytes += chunk.length;
        if (bytes > WRITTEN_BYTES_MAX) throw call.words.broke('a command that writes without an end');
        chunks.push(chunk);
      }
      isWell = true;
      if (bytes === 0) throw call.words.brokeOff(await carrier.lastWords());
      return Buffer.concat(chunks).toString();
    } finally {
      await carrier.release(isWell);
    }
  }

  async #start(command: string, environment: Readonly<Record<string, string>>, call: Call): Promise<Carrier> {
    for (;;) {
      const entry = await this.#lease(call);
      const isKept = entry.ready !== undefined;
      try {
        const connection = await this.#connected(entry, call);
        const channel = await this.#exec({ connection, command, environment, call, isKept });
        return this.#carrier(entry, channel, isKept);
      } catch (error) {
        this.#release(entry, false);
        if (call.isOver) throw call.translate(error);
        // Others use it and it took no further channel: it is whole. Alone and kept: it broke, or will not serve any more.
        if (isKept || entry.inUse > 0) continue;
        throw this.#refused(error);
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const entry of this.#entries) {
      this.#drop(entry);
      void closeWhenOpen(entry.connection);
    }
    for (const wake of this.#waiting) wake();
    return Promise.resolve();
  }

  /** A place on a connection: a kept one, a new one, or after waiting. */
  async #lease(call: Call): Promise<Entry> {
    for (;;) {
      if (this.#isClosed) throw new Fault('aborted', 'upstream is closed');
      const found = [...this.#entries].find((entry) => this.#isFree(entry)) ?? this.#add();
      if (found !== undefined) {
        found.inUse += 1;
        found.cancelIdle();
        return found;
      }
      if (this.#waiting.size >= this.#parts.limits.waitingMax) throw tooMany(call);
      await this.#freed(call);
    }
  }

  #isFree(entry: Entry): boolean {
    return !entry.isRetired && entry.ready?.isGone !== true && entry.inUse < this.#parts.limits.channelsMax;
  }

  #add(): Entry | undefined {
    const { limits } = this.#parts;
    if (this.#entries.size >= limits.connectionsMax) return undefined;
    // Not bound to the call that happens to need it first: others wait for it as well.
    const connection = openSshConnection(this.#parts);
    const entry: Entry = {
      connection,
      ready: undefined,
      inUse: 0,
      isRetired: false,
      cancelIdle: () => {},
    };
    this.#entries.add(entry);
    void this.#follow(entry);
    return entry;
  }

  async #follow(entry: Entry): Promise<void> {
    try {
      const ready = await entry.connection;
      entry.ready = ready;
      ready.gone.addEventListener('abort', () => {
        this.#drop(entry);
      });
      if (ready.isGone) this.#drop(entry);
      // Whoever asked for it may have given up meanwhile.
      if (entry.inUse === 0) this.#rest(entry);
    } catch {
      // Whoever asked for it is told why.
      this.#drop(entry);
    }
  }

  async #freed(call: Call): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = (): void => {
      resolve(undefined);
    };
    this.#waiting.add(wake);
    try {
      await call.within(call.limits.workMs, unlessAborted(call.signal, promise));
    } catch (error) {
      throw call.translate(error);
    } finally {
      this.#waiting.delete(wake);
    }
  }

  async #connected(entry: Entry, call: Call): Promise<SshConnection> {
    const connection = await unlessAborted(call.signal, entry.connection);
    if (connection.isGone) throw new Fault('aborted', 'ssh connection to upstream is gone');
    return connection;
  }

  async #exec(about: {
    readonly connection: SshConnection;
    readonly command: string;
    readonly environment: Readonly<Record<string, string>>;
    readonly call: Call;
    readonly isKept: boolean;
  }): Promise<CommandChannel> {
    const { connection, command, environment, call, isKept } = about;
    const started = connection.exec(command, environment);
    const ms = isKept ? Math.min(CHANNEL_MS_MAX, call.limits.silenceMs) : call.limits.silenceMs;
    const late = Promise.withResolvers<never>();
    const cancel = this.#parts.clock.after(ms, () => {
      late.reject(call.words.late(ms));
    });
    try {
      return await unlessAborted(call.signal, Promise.race([started, late.promise]));
    } catch (error) {
      // A channel that opens after all is nobody's.
      void cutWhenOpen(started);
      throw error;
    } finally {
      cancel();
    }
  }

  #carrier(entry: Entry, channel: CommandChannel, isKept: boolean): Carrier {
    const { input, output } = channel;
    let isReleased = false;
    return {
      input,
      output,
      isKept,
      lastWords: async () => {
        // The order within a channel holds, but a break may be noticed before what came in front of it was read.
        if (channel.stderr() === '') await this.#settled(channel, LAST_WORDS_MS);
        return channel.stderr();
      },
      cut(reason) {
        channel.cut(reason);
      },
      release: (isWell) => {
        if (isReleased) return Promise.resolve();
        isReleased = true;
        if (!isWell) {
          channel.cut(new Fault('aborted', 'conversation with upstream is over'));
          this.#release(entry, false);
          return Promise.resolve();
        }
        // In the background: nobody waits until the server's process has ended.
        void this.#releaseLater(entry, channel);
        return Promise.resolve();
      },
    };
  }

  async #releaseLater(entry: Entry, channel: CommandChannel): Promise<void> {
    this.#release(entry, await this.#settled(channel, FINISH_MS));
  }

  /** Whether the server closed the channel in time. */
  async #settled(channel: CommandChannel, ms: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancel = this.#parts.clock.after(ms, () => {
      resolve(false);
    });
    try {
      return await Promise.race([promise, channel.finish()]);
    } finally {
      cancel();
    }
  }

  /** Gives a place back. Not well: the connection takes no further calls. */
  #release(entry: Entry, isWell: boolean): void {
    entry.inUse -= 1;
    if (!isWell) this.#drop(entry);
    if (entry.inUse === 0) {
      if (entry.isRetired) {
        this.#entries.delete(entry);
        entry.ready?.close();
      } else if (entry.ready !== undefined) this.#rest(entry);
    }
    for (const wake of this.#waiting) wake();
  }

  /** It counts until its last call is through. */
  #drop(entry: Entry): void {
    entry.isRetired = true;
    entry.cancelIdle();
    if (entry.inUse === 0) this.#entries.delete(entry);
    for (const wake of this.#waiting) wake();
  }

  /** Nobody uses it: it is closed after a while. */
  #rest(entry: Entry): void {
    entry.cancelIdle();
    entry.cancelIdle = this.#parts.clock.after(this.#parts.limits.idleMs, () => {
      if (entry.inUse > 0) return;
      this.#drop(entry);
      entry.ready?.close();
    });
  }

  #refused(error: unknown): Fault {
    const { words } = this.#parts;
    if (error instanceof Fault && error.code !== 'aborted') {
      return error.code === 'bad-input' ? words.broke(error.publicMessage ?? '', error) : error;
    }
    if (error instanceof Fault) return words.brokeOff(undefined, error);
    const said = error instanceof Error ? error.message : '';
    return words.fault(
      'upstream runs no git',
      `the upstream ${words.label} does not let git be run: ${words.reason(said)}`,
      error,
    );
  }
}

async function closeWhenOpen(opening: Promise<SshConnection>): Promise<void> {
  const connection = await opening.catch(() => undefined);
  connection?.close();
}

async function cutWhenOpen(opening: Promise<CommandChannel>): Promise<void> {
  const channel = await opening.catch(() => undefined);
  channel?.cut(new Fault('aborted', 'channel came too late'));
}

function tooMany(call: Call): Fault {
  const publicMessage = `too many requests to the upstream ${call.words.label} at once: try again later`;
  return new Fault('busy', 'too many calls to upstream', { publicMessage });
}

/** In single quotes as git itself sends it: servers with a shell and servers without read the same. */
export function quoted(path: string): string {
  return `'${path.replaceAll(/['!]/g, (character) => `'\\${character}'`)}'`;
}
