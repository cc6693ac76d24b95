/**
 * A session channel as three plain streams. Output is paced by the connection (a client that stops reading, or
 * holds up a key exchange, holds a bounded number of bytes here), and destroying a stream never cuts the others.
 */
import { once } from 'node:events';
import { Writable, type Readable } from 'node:stream';
import type { Connection, ServerChannel } from 'ssh2';
import { Fault } from '../base/fault.ts';
import { declareExact } from '../git/stream.ts';
import { boundUnread, endOnce, forgetSent, isRekeying } from '../base/ssh-internals.ts';
import { PeerInput } from './peer-input.ts';
import type { SshWire } from './ssh-wire.ts';

/** Bytes handed to ssh2 at a time: a few of the packets it makes of them, which leave in one write. */
const SLICE_BYTES = 128 * 1024;
/** Unread bytes from the client beyond which its window stays shut (ssh2's window of 2 MiB comes on top). */
const UNREAD_BYTES = 256 * 1024;

export interface ChannelStreams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Flushes both outputs, sends the exit code and closes the channel. Never throws. */
  finish(exit: number): Promise<void>;
}

export interface ChannelParts {
  readonly client: Connection;
  readonly wire: SshWire;
  readonly channel: ServerChannel;
  /** Aborted when the channel or the connection is gone. */
  readonly signal: AbortSignal;
}

export function openChannel(parts: ChannelParts): ChannelStreams {
  const { channel } = parts;
  // ssh2 reports a broken connection here too; the signal says the same.
  channel.on('error', () => {});
  channel.stderr.on('error', () => {});
  boundUnread(channel, UNREAD_BYTES);
  endOnce(channel);
  const lane = new Lane(parts);
  const stdin = new PeerInput(channel, parts.signal);
  const stdout = new ChannelOutput(lane, channel);
  const stderr = new ChannelOutput(lane, channel.stderr);
  return {
    stdin,
    stdout,
    stderr,
    async finish(exit) {
      await flushed(stdout);
      await flushed(stderr);
      stdin.destroy();
      try {
        channel.exit(exit);
        channel.end();
      } catch {
        // The connection is gone: nobody is left to read an exit code.
      }
    },
  };
}

/** Resolves when all is sent that could be. */
async function flushed(output: ChannelOutput): Promise<void> {
  // Ending a stream costs several turns of the queue.
  if (output.isIdle) return;
  await new Promise<void>((resolve) => {
    // An error is why no more could be sent.
    output.end(() => {
      resolve();
    });
  });
}

/** Both outputs of a channel in one order. ssh2 confuses them when both wait for the client's window. */
class Lane {
  readonly #parts: ChannelParts;
  #last: Promise<void> = Promise.resolve();
  /** Ends the wait for ssh2, which never calls back for a write to a channel that the client closed. */
  #giveUp: (() => void) | undefined;

  constructor(parts: ChannelParts) {
    this.#parts = parts;
    parts.signal.addEventListener('abort', () => this.#giveUp?.(), { once: true });
  }

  /** @throws Fault 'aborted' when the client is gone. */
  send(target: Writable, chunks: readonly Buffer[]): Promise<void> {
    const sent = this.#last.then(() => this.#send(target, chunks));
    this.#last = sent.catch(() => {});
    return sent;
  }

  async #send(target: Writable, chunks: readonly Buffer[]): Promise<void> {
    for (const chunk of chunks) {
      for (let start = 0; start < chunk.length; start += SLICE_BYTES) {
        if (!this.#isClear()) await this.#clear();
        await this.#write(target, chunk.length <= SLICE_BYTES ? chunk : chunk.subarray(start, start + SLICE_BYTES));
        forgetSent(this.#parts.channel);
      }
    }
  }

  #write(target: Writable, slice: Buffer): Promise<void> {
    const { signal } = this.#parts;
    return new Promise((resolve, reject) => {
      this.#giveUp = () => {
        reject(gone(signal));
      };
      target.write(slice, (error) => {
        this.#giveUp = undefined;
        if (error) reject(gone(signal, error));
        else resolve();
      });
    });
  }

  #isClear(): boolean {
    const { client, wire, signal } = this.#parts;
    return !signal.aborted && !wire.congested && !isRekeying(client);
  }

  /** Waits until the connection takes more. */
  async #clear(): Promise<void> {
    const { client, wire, signal } = this.#parts;
    for (;;) {
      if (signal.aborted) throw gone(signal);
      const rekeying = isRekeying(client);
      if (!rekeying && !wire.congested) return;
      try {
        if (rekeying) await once(client, 'rekey', { signal });
        else await once(wire, 'drain', { signal });
      } catch (error) {
        throw gone(signal, error);
      }
    }
  }
}

function gone(signal: AbortSignal, cause?: unknown): Fault {
  return new Fault('aborted', 'ssh client is gone', { cause: cause ?? signal.reason });
}

class ChannelOutput extends Writable {
  readonly #lane: Lane;
  readonly #target: Writable;

  constructor(lane: Lane, target: Writable) {
    super({ highWaterMark: SLICE_BYTES });
    this.#lane = lane;
    this.#target = target;
    // ssh2 has encrypted or copied what it has called back for; what waits for the client's window has not been.
    declareExact(this);
    // Who writes gets the error from the write; without a listener it would end the process as well.
    this.on('error', () => {});
  }

  /** Nothing waits to be sent, and nobody for its end. */
  get isIdle(): boolean {
    return this.writableLength === 0 && !this.writableEnded;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#forward([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const buffers = chunks.map(({ chunk }) => chunk);
    void this.#forward(buffers, done);
  }

  async #forward(chunks: readonly Buffer[], done: (error?: Error | null) => void): Promise<void> {
    try {
      await this.#lane.send(this.#target, chunks);
    } catch (error) {
      done(error instanceof Error ? error : new Fault('aborted', 'ssh write failed', { cause: error }));
      return;
    }
    done();
  }
}
