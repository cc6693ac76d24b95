/** A control connection's standard streams, as the program at the gate's end sees them. */
import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { badInput, Fault } from '../base/fault.ts';
import { sliceFrames, STDIN_CREDIT_BYTES } from './frames.ts';

/** Standard input that gives credit back as the command reads. */
export class CreditedInput extends Readable {
  readonly #giveCredit: (bytes: number) => void;
  #unread = 0;
  #owed = 0;
  #over = false;
  #held = false;

  constructor(giveCredit: (bytes: number) => void) {
    super({ highWaterMark: STDIN_CREDIT_BYTES });
    this.#giveCredit = giveCredit;
    // Without a listener a client that goes away would end the process.
    this.on('error', () => {});
  }

  /** Credit is given when somebody reads, and not before: for clients that start with none. */
  hold(): void {
    this.#held = true;
  }

  accept(chunk: Buffer): void {
    if (this.#over) return;
    if (chunk.length === 0) {
      this.finish();
      return;
    }
    this.#unread += chunk.length;
    if (this.#unread > STDIN_CREDIT_BYTES) throw badInput('more standard input than credit');
    this.#owed += chunk.length;
    // While the stream asks for more, what it took counts as read; else `_read` settles it.
    if (this.push(chunk)) this.#settle();
  }

  finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.destroyed) this.push(null);
  }

  /** The client is gone. An end that it did not send must not look like one: half a pack is no pack. */
  cut(): void {
    if (this.#over) return;
    this.#over = true;
    this.destroy(new Fault('aborted', 'control client went away'));
  }

  override _read(): void {
    if (this.#held) {
      this.#held = false;
      if (!this.#over) this.#giveCredit(STDIN_CREDIT_BYTES);
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#owed === 0) return;
    const bytes = this.#owed;
    this.#owed = 0;
    this.#unread -= bytes;
    this.#giveCredit(bytes);
  }
}

/** An output as frames; a write is done when the socket has taken it. */
export class FrameOutput extends Writable {
  readonly #socket: Socket;
  readonly #type: 'stdout' | 'stderr';
  /** Ends the write that waits for room: nobody will make any. */
  #onClose: (() => void) | undefined;

  constructor(socket: Socket, type: 'stdout' | 'stderr') {
    super();
    this.#socket = socket;
    this.#type = type;
    // Without a listener a client that goes away would end the process.
    this.on('error', () => {});
    socket.once('close', () => {
      this.destroy();
      this.#onClose?.();
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (!this.#socket.writable) {
      done(new Fault('aborted', 'control client went away'));
      return;
    }
    let taken = true;
    for (const frame of sliceFrames(this.#type, chunk)) taken = this.#socket.write(frame);
    if (taken) {
      done();
      return;
    }
    const settle = (error?: Error): void => {
      if (this.#onClose === undefined) return;
      this.#onClose = undefined;
      done(error);
    };
    this.#onClose = () => {
      settle(new Fault('aborted', 'control client went away'));
    };
    this.#socket.once('drain', () => {
      settle();
    });
  }
}
