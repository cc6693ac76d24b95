/**
 * One command at an ssh upstream, as two plain streams. They do what ssh2's channel does not: wait while the socket is full
 * or keys are exchanged, refuse a packet size that would never end, and give an end that nobody sent as a break.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import { Fault } from '../../base/fault.ts';
import { boundUnread, isRekeying, serverPacketBytes, watchUnread } from '../../base/ssh-internals.ts';

const SLICE_BYTES = 32 * 1024;
/** Taken in of what nobody reads yet; far above: a peer that does not keep to its window (2 MiB in ssh2). */
const UNREAD_BYTES = 256 * 1024;
const UNREAD_BYTES_MAX = 8 * 1024 * 1024;
/** RFC 4253, 6.1 asks for 32,768. ssh2 sends packets of any size, and loops for ever on 0. */
const PACKET_BYTES_MIN = 512;

export interface CommandChannel {
  readonly input: Readable;
  readonly output: Writable;
  /** What came on standard error so far. */
  stderr(): string;
  /** Both ways, now. */
  cut(reason: Error): void;
  /** Says that nothing more comes, and reads on without keeping anything; resolves with true when the server closed it, too. */
  finish(): Promise<boolean>;
}

export interface ChannelParts {
  readonly client: Client;
  readonly socket: Socket;
  readonly channel: ClientChannel;
  /** Aborted when the connection is gone. */
  readonly gone: AbortSignal;
  readonly stderrBytesMax: number;
}

/** @throws Fault `upstream` for a server whose packets are too small. */
export function openCommand(parts: ChannelParts): CommandChannel {
  const { channel, gone } = parts;
  const packetBytes = serverPacketBytes(channel);
  if (packetBytes === undefined || packetBytes < PACKET_BYTES_MIN) {
    channel.close();
    throw new Fault('bad-input', 'bad input', { publicMessage: 'ssh packets that are too small' });
  }
  const closed = new AbortController();
  const life = AbortSignal.any([gone, closed.signal]);
  channel.on('error', () => {});
  channel.once('close', () => {
    closed.abort();
  });
  boundUnread(channel, UNREAD_BYTES);
  const input = new ChannelInput(channel, gone);
  const output = new ChannelOutput(parts, life);
  watchUnread(channel, UNREAD_BYTES_MAX, () => {
    parts.socket.destroy();
  });
  const stderr = keepStderr(channel, parts.stderrBytesMax);
  return {
    input,
    output,
    stderr,
    cut(reason) {
      input.destroy(reason);
      output.destroy(reason);
      channel.close();
      channel.resume();
    },
    async finish() {
      output.end();
      input.destroy();
      channel.resume();
      if (!life.aborted) await once(life, 'abort');
      return !gone.aborted;
    },
  };
}

function keepStderr(channel: ClientChannel, bytesMax: number): () => string {
  const kept: Buffer[] = [];
  let bytes = 0;
  channel.stderr.on('error', () => {});
  // Always read, or ssh2 would never open the window again.
  channel.stderr.on('data', (chunk: Buffer) => {
    if (bytes < bytesMax) kept.push(chunk.subarray(0, bytesMax - bytes));
    bytes += chunk.length;
  });
  return () => Buffer.concat(kept).toString();
}

/** An end that comes because the connection broke must not look like one. */
class ChannelInput extends Readable {
  readonly #channel: ClientChannel;

  constructor(channel: ClientChannel, gone: AbortSignal) {
    super({ highWaterMark: UNREAD_BYTES });
    this.#channel = channel;
    this.on('error', () => {});
    channel.on('data', (chunk: Buffer) => {
      if (!this.destroyed && !this.push(chunk)) channel.pause();
    });
    channel.once('end', () => {
      if (gone.aborted) this.destroy(broken(gone));
      else if (!this.destroyed) this.push(null);
    });
    channel.pause();
    const onGone = (): void => {
      if (!this.readableEnded) this.destroy(broken(gone));
    };
    gone.addEventListener('abort', onGone, { once: true });
    this.once('close', () => {
      gone.removeEventListener('abort', onGone);
    });
  }

  override _read(): void {
    this.#channel.resume();
  }
}

class ChannelOutput extends Writable {
  readonly #parts: ChannelParts;
  readonly #life: AbortSignal;

  constructor(parts: ChannelParts, life: AbortSignal) {
    super({ highWaterMark: SLICE_BYTES });
    this.#parts = parts;
    this.#life = life;
    this.on('error', () => {});
    const onEnd = (): void => {
      this.destroy(broken(life));
    };
    life.addEventListener('abort', onEnd, { once: true });
    this.once('close', () => {
      life.removeEventListener('abort', onEnd);
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#forward(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#parts.channel.end();
    done();
  }

  async #forward(chunk: Buffer, done: (error?: Error | null) => void): Promise<void> {
    try {
      await this.#send(chunk);
    } catch (error) {
      done(error instanceof Error ? error : broken(this.#life));
      return;
    }
    done();
  }

  async #send(chunk: Buffer): Promise<void> {
    const { channel } = this.#parts;
    for (let start = 0; start < chunk.length; start += SLICE_BYTES) {
      await this.#clear();
      await this.#written((done) => channel.write(chunk.subarray(start, start + SLICE_BYTES), done));
    }
  }

  /** Waits until the connection takes more: ssh2 would put it into memory without a bound. */
  async #clear(): Promise<void> {
    const { client, socket } = this.#parts;
    for (;;) {
      if (this.#life.aborted) throw broken(this.#life);
      const isFull = socket.writableNeedDrain;
      if (!isFull && !isRekeying(client)) return;
      if (isFull) await once(socket, 'drain', { signal: this.#life });
      else await once(client, 'handshake', { signal: this.#life });
    }
  }

  /** ssh2 never calls back for a write to a channel that the server closed. */
  #written(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    const life = this.#life;
    return new Promise((resolve, reject) => {
      const onEnd = (): void => {
        reject(broken(life));
      };
      life.addEventListener('abort', onEnd, { once: true });
      start((error) => {
        life.removeEventListener('abort', onEnd);
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

function broken(signal: AbortSignal): Fault {
  return new Fault('aborted', 'ssh connection to upstream is gone', { cause: signal.reason });
}
