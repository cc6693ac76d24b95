/**
 * The control socket `<data>/control.sock`: commands from this machine's command line through the running
 * gate. Who may connect is who may open the file (mode 0600): the owner of the data directory.
 */
import { chmod, lstat, rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { badInput, Fault, publicMessageOf, type Parsed } from '../base/fault.ts';
import type { CommandDoor } from './commands.ts';
import { DIED_EXIT } from '../gitolite/words.ts';
import type { Principal } from '../identity/principal.ts';
import type { RequestOrigin } from '../request/request.ts';
import { encodeFrame, FrameReader, type Frame } from './frames.ts';
import { CreditedInput, FrameOutput } from './frame-streams.ts';
import { parseSiteCall, type SiteDoor } from './site-call.ts';

export interface ControlSocketOptions {
  /** Absolute path of the socket. */
  readonly path: string;
  readonly commands: CommandDoor;
  /** Whom a local command acts as: the administrator. `--as USER` is the command `as USER`, asked of policy and journaled. */
  readonly principal: () => Promise<Parsed<Principal>>;
  /** Where this gate serves a gitolite site: its programs. */
  readonly site?: SiteDoor;
  /** Asked to make room for another gate; absent: this one stays. */
  readonly onRelieve?: () => void;
  /** The gate is about to end: calls of the site's programs go to the next one. */
  readonly isClosing?: () => boolean;
  readonly clock: Clock;
  /** Aborted when running commands must end. */
  readonly signal?: AbortSignal;
}

export interface ControlSocket {
  readonly path: string;
  /** Connections that are open. */
  readonly open: number;
  /** When the last one closed, by the monotonic clock; the start where none did. */
  readonly lastClosedMs: number;
  /** Resolves when the calls of the site's programs that are there have ended, or after `ms`. */
  drain(ms: number): Promise<void>;
  /** No new connections, running commands are aborted, the file is removed. */
  close(): Promise<void>;
}

/**
 * Opens the control socket. The socket of a dead gate is replaced, a living one's is left alone.
 * @throws Fault 'conflict' where another gate answers on it.
 */
export async function startControlSocket(options: ControlSocketOptions): Promise<ControlSocket> {
  await clearStale(options.path);
  const sessions = new Set<ControlSession>();
  let lastClosedMs = options.clock.monotonicMs();
  const server = createServer((socket) => {
    const session = new ControlSession(socket, options);
    sessions.add(session);
    socket.once('close', () => {
      sessions.delete(session);
      lastClosedMs = options.clock.monotonicMs();
    });
  });
  server.maxConnections = BOUNDS.controlConnectionsMax;
  await listenPrivately(server, options.path);
  return {
    path: options.path,
    get open() {
      return sessions.size;
    },
    get lastClosedMs() {
      return lastClosedMs;
    },
    async drain(ms) {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = options.clock.after(ms, resolve);
      await Promise.race([Promise.all(Array.from(sessions, ({ siteCall }) => siteCall)), late]);
      cancel();
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      for (const session of sessions) session.end();
      await closed;
      await rm(options.path, { force: true });
    },
  };
}

async function clearStale(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there === undefined) return;
  if (!there.isSocket()) throw new Fault('conflict', 'control socket path is taken', { context: { path } });
  if (await answers(path))
    throw new Fault('conflict', 'another gate answers on the control socket', { context: { path } });
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

/** The file has its mode from the first moment on: nobody else can connect between bind and chmod. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  // `listen` binds before it returns, so the umask is back before any other work can see it.
  const before = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  await listening;
  await chmod(path, 0o600);
}

/** One connection, one command. */
class ControlSession {
  /** Resolves with the end of the call of a site's program; at once where there is none. */
  siteCall = Promise.resolve();
  readonly #socket: Socket;
  readonly #options: ControlSocketOptions;
  readonly #frames = new FrameReader();
  readonly #abort = new AbortController();
  readonly #stdin: CreditedInput;
  readonly #parts: Buffer[] = [];
  #partBytes = 0;
  #running = false;
  #cancelHello: () => void;

  constructor(socket: Socket, options: ControlSocketOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#stdin = new CreditedInput((bytes) => {
      if (socket.writable) socket.write(encodeFrame('credit', String(bytes)));
    });
    this.#cancelHello = options.clock.after(BOUNDS.controlHelloMs, () => socket.destroy());
    const onStop = (): void => {
      this.end();
    };
    options.signal?.addEventListener('abort', onStop, { once: true });
    socket.on('data', (chunk: Buffer) => {
      this.#read(chunk);
    });
    socket.on('error', () => {
      // The 'close' that follows ends the command; there is nobody left to tell.
    });
    socket.once('close', () => {
      options.signal?.removeEventListener('abort', onStop);
      this.#cancelHello();
      this.#abort.abort(new Fault('aborted', 'control client went away'));
      this.#stdin.cut();
    });
  }

  /** Ends the command; the socket closes behind its exit. */
  end(): void {
    this.#abort.abort(new Fault('aborted', 'gate is closing', { publicMessage: 'the server is shutting down' }));
    if (!this.#running) this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.push(chunk)) this.#handle(frame);
    } catch (error) {
      this.#refuse(publicMessageOf(error, 'control'));
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'run':
        this.#begin();
        void this.#run(frame.payload);
        return;
      case 'relieve':
        this.#begin();
        void this.#relieve();
        return;
      case 'part':
        this.#gather(frame.payload);
        return;
      case 'site':
        this.#gather(frame.payload);
        this.#begin();
        this.siteCall = this.#runSite(Buffer.concat(this.#parts.splice(0)));
        return;
      case 'stdin':
        this.#stdin.accept(frame.payload);
        return;
      case 'cancel':
        this.#abort.abort(new Fault('aborted', 'command was cancelled', { publicMessage: 'cancelled' }));
        return;
      case 'accepted':
      case 'foreign':
      case 'credit':
      case 'stdout':
      case 'stderr':
      case 'exit':
        throw badInput(`a client sends no ${frame.type} frame`);
      default:
        frame.type satisfies never;
    }
  }

  async #relieve(): Promise<void> {
    const { onRelieve } = this.#options;
    await this.#finish(onRelieve === undefined ? 1 : 0, []);
    onRelieve?.();
  }

  #begin(): void {
    if (this.#running) throw badInput('one connection carries one command');
    this.#running = true;
    this.#cancelHello();
  }

  #gather(part: Buffer): void {
    if (this.#running) throw badInput('one connection carries one command');
    this.#partBytes += part.length;
    if (this.#partBytes > BOUNDS.siteCallBytesMax) throw badInput('too many arguments or variables');
    this.#parts.push(part);
  }

  /** A program of the site. Standard input flows once it is asked for: the caller's next command may want it. */
  async #runSite(payload: Buffer): Promise<void> {
    const { site } = this.#options;
    const stdout = new FrameOutput(this.#socket, 'stdout');
    const stderr = new FrameOutput(this.#socket, 'stderr');
    let exit = DIED_EXIT;
    try {
      const call = parseSiteCall(payload);
      const isOurs = site !== undefined && (await site.serves(call.env['HOME'] ?? ''));
      // What a call that is running starts is part of it.
      const isNext = this.#options.isClosing?.() === true && (call.env['GL_TID'] ?? '') === '';
      if (!isOurs || isNext || this.#abort.signal.aborted) {
        if (this.#socket.writable) this.#socket.end(encodeFrame('foreign'));
        return;
      }
      this.#socket.write(encodeFrame('accepted'));
      this.#stdin.hold();
      exit = await site.invoke({ ...call, stdin: this.#stdin, stdout, stderr, signal: this.#abort.signal });
    } catch (error) {
      stderr.write(`FATAL: ${publicMessageOf(error, 'control')}\n`);
    }
    await this.#finish(exit, [stdout, stderr]);
  }

  async #run(payload: Buffer): Promise<void> {
    const id = newId(this.#options.clock);
    const stdout = new FrameOutput(this.#socket, 'stdout');
    const stderr = new FrameOutput(this.#socket, 'stderr');
    let exit = 1;
    try {
      const hello = parseHello(payload);
      const principal = await this.#options.principal();
      if (principal.kind === 'refused') {
        stderr.write(`gatehouse: ${principal.reason}\n`);
      } else {
        const origin: RequestOrigin = { id, transport: 'local', address: 'local', principal: principal.value };
        const { signal } = this.#abort;
        const argv = hello.as === undefined ? hello.argv : ['as', hello.as, ...hello.argv];
        const run = { origin, argv, stdin: this.#stdin, stdout, stderr, signal };
        exit = await this.#options.commands.run(run);
      }
    } catch (error) {
      stderr.write(`gatehouse: ${publicMessageOf(error, id)}\n`);
    }
    await this.#finish(exit, [stdout, stderr]);
  }

  async #finish(exit: number, outputs: readonly Writable[]): Promise<void> {
    this.#stdin.finish();
    try {
      for (const output of outputs) {
        output.end();
        await finished(output);
      }
    } catch {
      // The client went away: its command is done all the same.
    }
    if (this.#socket.writable) this.#socket.end(encodeFrame('exit', JSON.stringify({ exit })));
  }

  #refuse(reason: string): void {
    this.#abort.abort(badInput(reason));
    if (!this.#socket.writable) return;
    this.#socket.write(encodeFrame('stderr', `gatehouse: ${reason}\n`));
    this.#socket.end(encodeFrame('exit', JSON.stringify({ exit: 1 })));
  }
}

function parseHello(payload: Buffer): { readonly argv: readonly string[]; readonly as: string | undefined } {
  let hello: unknown;
  try {
    hello = JSON.parse(payload.toString('utf8'));
  } catch {
    throw badInput('the control request is not JSON');
  }
  if (typeof hello !== 'object' || hello === null || !('argv' in hello) || !Array.isArray(hello.argv)) {
    throw badInput('the control request names no command');
  }
  const argv: unknown[] = hello.argv;
  const words = argv.filter((word) => typeof word === 'string');
  if (words.length !== argv.length) throw badInput('the words of a command are strings');
  if (words.length > BOUNDS.commandWordsMax) throw badInput(`a command has at most ${BOUNDS.commandWordsMax} words`);
  const as = 'as' in hello ? hello.as : undefined;
  if (as !== undefined && typeof as !== 'string') throw badInput('the user to act as is a string');
  return { argv: words, as };
}
