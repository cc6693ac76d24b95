/**
 * One SSH connection's bytes, between the socket and ssh2. It does what ssh2 does not: gives up on a silent
 * client, hands over the identification line whole, writes one packet as one segment instead of three, and
 * stops reading from a client that does not read its answers.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { releaseSealed } from '../base/ssh-cipher.ts';

/** The client's identification line (RFC 4253, 4.2: 255 characters with CR LF). */
const IDENTIFICATION_BYTES_MAX = 255;
/** Bytes written and not yet taken by the kernel before the writers wait. */
const BACKLOG_BYTES = 256 * 1024;
/** With that many unread answers the client's further requests wait too. */
const BACKLOG_BYTES_MAX = 4 * 1024 * 1024;
/** Packets up to this in sum are copied into one chunk: cheaper than to write each. */
const COPY_BYTES_MAX = 16 * 1024;
/** So many bytes go at once, without waiting for the turn to end, where a packet ends. */
const FLUSH_BYTES = 128 * 1024;
/** A short chunk ends a packet: it is the MAC. Alone it would be a segment of its own. */
const MAC_BYTES_MAX = 64;
/** After our end of the connection the client gets this long to close its own. */
const LINGER_MS = 5_000;

type WriteCallback = (error: Error | null | undefined) => void;

export class SshWire extends Duplex {
  /** ssh2 reads these three; the address is this connection's id, by which the door finds it again. */
  readonly remoteAddress: string;
  readonly remoteFamily = 'IPv4';
  readonly remotePort: number;
  readonly #socket: Socket;
  readonly #clock: Clock;
  #head: Buffer | undefined = Buffer.alloc(0);
  #wanted = false;
  /** Packets of this turn of the event loop, not yet written. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #cancelLinger: () => void = () => {};

  constructor(options: { readonly socket: Socket; readonly id: string; readonly clock: Clock }) {
    super({
      allowHalfOpen: false,
      emitClose: false,
      readableHighWaterMark: 64 * 1024,
      writableHighWaterMark: BACKLOG_BYTES,
    });
    const { socket, id, clock } = options;
    this.remoteAddress = id;
    this.remotePort = socket.remotePort ?? 0;
    this.#socket = socket;
    this.#clock = clock;
    // Without a listener a reset connection would end the process; 'close' follows and tells everybody.
    this.on('error', () => {});
    socket.on('error', (error) => this.destroy(error));
    socket.once('close', () => this.destroy());
    socket.once('end', () => {
      this.#flushHead();
      this.push(null);
    });
    socket.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
    });
    socket.pause();
  }

  /** Whether the writers should wait for 'drain'. */
  get congested(): boolean {
    // So many waiting bytes are more than the stream's mark: when they are written, a 'drain' follows.
    return this.writableNeedDrain || this.#waitingBytes >= BACKLOG_BYTES;
  }

  /** Bytes that the client sent. */
  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  setNoDelay(): void {
    // The listening socket set it already; ssh2 may ask again.
  }

  override _read(): void {
    this.#wanted = true;
    this.#resume();
  }

  /** Packets of one turn leave together: ssh2 writes most as length, body and MAC, and several answer one packet. */
  override write(chunk: Uint8Array, encoding?: BufferEncoding | WriteCallback, callback?: WriteCallback): boolean {
    if (encoding !== undefined || callback !== undefined || this.writableEnded) {
      this.#flush();
      return typeof encoding === 'function'
        ? super.write(chunk, encoding)
        : super.write(chunk, encoding ?? 'utf8', callback);
    }
    if (this.#waiting.length === 0) setImmediate(this.#flush);
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    const isEnd = chunk.length <= MAC_BYTES_MAX || this.#waitingBytes >= 2 * FLUSH_BYTES;
    if (this.#waitingBytes >= FLUSH_BYTES && isEnd) this.#flush();
    return !this.congested;
  }

  override end(): this {
    this.#flush();
    return super.end();
  }

  readonly #flush = (): void => {
    const [chunks, bytes] = [this.#waiting, this.#waitingBytes];
    const [first] = chunks;
    if (first === undefined) return;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (this.writableEnded || this.destroyed) return;
    if (chunks.length === 1) super.write(first);
    else if (bytes <= COPY_BYTES_MAX) super.write(Buffer.concat(chunks, bytes));
    else {
      this.cork();
      for (const chunk of chunks) super.write(chunk);
      this.uncork();
    }
  };

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end();
    this.#cancelLinger = this.#clock.after(LINGER_MS, () => this.destroy());
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#cancelLinger();
    this.#socket.destroy();
    done(error);
    process.nextTick(this.#emitClose);
  }

  /** ssh2 makes an error of each end, in case a channel is still open: its stack would cost more than the rest of the end. */
  readonly #emitClose = (): void => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      this.emit('close');
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  };

  #send(chunks: readonly Buffer[], done: () => void): void {
    const socket = this.#socket;
    if (!socket.writable) {
      done();
      return;
    }
    // Called without an error, the kernel has copied this batch and everything before it.
    const onSent = (error?: Error | null): void => {
      if (error === undefined || error === null) for (const chunk of chunks) releaseSealed(chunk);
    };
    let taken = true;
    let left = chunks.length;
    socket.cork();
    for (const chunk of chunks) taken = (left -= 1) === 0 ? socket.write(chunk, onSent) : socket.write(chunk);
    socket.uncork();
    const finish = (): void => {
      done();
      this.#resume();
    };
    if (taken) finish();
    else socket.once('drain', finish);
  }

  #receive(chunk: Buffer): void {
    let data = chunk;
    if (this.#head !== undefined) {
      this.#head = Buffer.concat([this.#head, chunk]);
      // ssh2 loses the middle of an identification line that comes in three pieces.
      if (!this.#head.includes(0x0a)) {
        if (this.#head.length > IDENTIFICATION_BYTES_MAX) this.destroy();
        return;
      }
      data = this.#head;
      this.#head = undefined;
    }
    this.#wanted = this.push(data);
    if (!this.#mayRead()) this.#socket.pause();
  }

  #flushHead(): void {
    if (this.#head !== undefined && this.#head.length > 0) this.push(this.#head);
    this.#head = undefined;
  }

  #mayRead(): boolean {
    return this.#wanted && this.writableLength + this.#waitingBytes < BACKLOG_BYTES_MAX;
  }

  #resume(): void {
    if (this.#mayRead() && !this.destroyed) this.#socket.resume();
  }
}
