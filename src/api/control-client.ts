/** The client's side of the control socket: the command line talks to the running gate through it. */
import { createConnection, type Socket } from 'node:net';
import { Writable, type Readable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import { encodeFrame, FrameReader, STDIN_CREDIT_BYTES, type Frame, FRAME_BYTES_MAX } from './frames.ts';
import { encodeSiteCall, type SiteCall } from './site-call.ts';

export interface ControlConnection {
  /**
   * Runs one command and resolves with its exit code. Standard input is read as the command reads it. An abort
   * cancels the command; its exit code still comes.
   * @throws Fault 'aborted' where the gate ends without answering.
   */
  run(command: ControlCommand): Promise<number>;
  /**
   * Calls a program of the site that the gate serves, and resolves with its exit code; undefined where the gate did not
   * take the call. Standard input is left alone until the program reads.
   * @throws Fault 'aborted' where the gate ends after it took the call.
   */
  call(call: SiteCall, streams: SiteStreams): Promise<number | undefined>;
  /**
   * Asks a gate that was started on demand to end. False: it was started by a person, and stays. Undefined: it ended
   * without answering.
   */
  relieve(): Promise<boolean | undefined>;
  close(): void;
}

export interface ControlStreams {
  readonly stdin?: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
}

export interface SiteStreams extends ControlStreams {
  /** The gate took the call: from here on it takes as long as the program does. */
  readonly onTaken?: () => void;
}

export interface ControlCommand extends ControlStreams {
  readonly argv: readonly string[];
  /** Act as this user instead of the administrator. */
  readonly as?: string;
  readonly signal?: AbortSignal;
}

/** A connection to the gate that serves this data directory, or undefined where none runs. */
export function connectControl(path: string): Promise<ControlConnection | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path, allowHalfOpen: true });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(new ClientConnection(socket));
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(new Fault('process', 'cannot open the control socket', { cause: error, context: { path } }));
    });
  });
}

class ClientConnection implements ControlConnection {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #credit = STDIN_CREDIT_BYTES;
  #stdin: Readable | undefined;
  #exit: number | undefined;
  #taken: 'unknown' | 'taken' | 'foreign' = 'unknown';
  #onCredit: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  close(): void {
    this.#socket.destroy();
  }

  async run(command: ControlCommand): Promise<number> {
    const { argv, as, signal } = command;
    const onAbort = (): void => {
      if (this.#socket.writable) this.#socket.write(encodeFrame('cancel'));
    };
    try {
      this.#socket.write(encodeFrame('run', JSON.stringify({ argv, ...(as === undefined ? {} : { as }) })));
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
      if (command.stdin === undefined) this.#socket.write(encodeFrame('stdin'));
      else this.#feed(command.stdin);
      return (await this.#listen(command)) ?? 1;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#stdin?.pause();
      this.#socket.destroy();
    }
  }

  async relieve(): Promise<boolean | undefined> {
    const unheard = new Writable({
      write(_chunk, _encoding, done) {
        done();
      },
    });
    try {
      this.#socket.write(encodeFrame('relieve'));
      return (await this.#listen({ stdout: unheard, stderr: unheard })) === 0;
    } catch (error) {
      if (error instanceof Fault && error.code === 'aborted') return undefined;
      throw error;
    } finally {
      this.#socket.destroy();
    }
  }

  async call(call: SiteCall, streams: SiteStreams): Promise<number | undefined> {
    const { stdin } = streams;
    try {
      const bytes = encodeSiteCall(call);
      const last = Math.max(0, bytes.length - 1) - (Math.max(0, bytes.length - 1) % FRAME_BYTES_MAX);
      for (let at = 0; at < last; at += FRAME_BYTES_MAX) {
        this.#socket.write(encodeFrame('part', bytes.subarray(at, at + FRAME_BYTES_MAX)));
      }
      this.#socket.write(encodeFrame('site', bytes.subarray(last)));
      this.#credit = 0;
      this.#onCredit = () => {
        if (stdin !== undefined) this.#feed(stdin);
        else if (this.#socket.writable) this.#socket.write(encodeFrame('stdin'));
      };
      return await this.#listen(streams);
    } catch (error) {
      if (this.#taken === 'unknown') return undefined;
      throw error;
    } finally {
      stdin?.pause();
      this.#socket.destroy();
    }
  }

  /** Sends standard input as far as the credit goes; holds one chunk beyond it, and pauses the source. */
  #feed(stdin: Readable): void {
    this.#stdin = stdin;
    let pending: Buffer = Buffer.alloc(0);
    let ended = false;
    const send = (): void => {
      while (this.#credit > 0 && pending.length > 0 && this.#socket.writable) {
        const part = pending.subarray(0, Math.min(this.#credit, FRAME_BYTES_MAX));
        pending = pending.subarray(part.length);
        this.#credit -= part.length;
        this.#socket.write(encodeFrame('stdin', part));
      }
      if (pending.length > 0) stdin.pause();
      else if (!ended) stdin.resume();
      else if (this.#socket.writable) this.#socket.write(encodeFrame('stdin'));
    };
    const end = (): void => {
      if (ended) return;
      ended = true;
      send();
    };
    this.#onCredit = send;
    stdin.on('data', (chunk: Buffer | string) => {
      pending = Buffer.concat([pending, typeof chunk === 'string' ? Buffer.from(chunk) : chunk]);
      send();
    });
    stdin.once('end', end);
    stdin.once('error', end);
    if (stdin.readableEnded || stdin.destroyed) end();
  }

  /** Undefined: the gate did not take the call of a site's program. */
  async #listen(command: SiteStreams): Promise<number | undefined> {
    try {
      for await (const chunk of this.#socket) {
        if (!Buffer.isBuffer(chunk)) continue;
        for (const frame of this.#frames.push(chunk)) await this.#handle(frame, command);
        if (this.#taken === 'foreign') return undefined;
        if (this.#exit !== undefined) return this.#exit;
      }
    } catch (error) {
      if (error instanceof Fault) throw error;
      throw lost(error);
    }
    throw lost();
  }

  async #handle(frame: Frame, command: SiteStreams): Promise<void> {
    switch (frame.type) {
      case 'stdout':
        return write(command.stdout, frame.payload);
      case 'stderr':
        return write(command.stderr, frame.payload);
      case 'credit':
        this.#credit += Number(frame.payload.toString('ascii'));
        this.#onCredit();
        return undefined;
      case 'exit':
        this.#exit = exitCodeOf(frame.payload);
        return undefined;
      case 'accepted':
        this.#taken = 'taken';
        command.onTaken?.();
        return undefined;
      case 'foreign':
        this.#taken = 'foreign';
        return undefined;
      case 'run':
      case 'part':
      case 'site':
      case 'relieve':
      case 'stdin':
      case 'cancel':
        throw new Fault('bad-input', 'gate sent a frame out of place', { context: { type: frame.type } });
      default:
        return frame.type satisfies never;
    }
  }
}

function exitCodeOf(payload: Buffer): number {
  const body: unknown = JSON.parse(payload.toString('utf8'));
  const exit: unknown = typeof body === 'object' && body !== null && 'exit' in body ? body.exit : undefined;
  return typeof exit === 'number' ? exit : 1;
}

function write(output: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

function lost(cause?: unknown): Fault {
  return new Fault('aborted', 'gate went away', {
    cause,
    publicMessage: 'the running gate went away before it answered',
  });
}
