/**
 * One life of the spawner: the child process, its IPC channel, and the sockets it keeps connected to us. `spawner.ts`
 * starts another when it dies.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BOUNDS } from '../base/bounds.ts';
import { compileCache } from '../base/compile-cache.ts';
import { Fault } from '../base/fault.ts';
import { isReport, type Order, PREAMBLE_BYTES, type Report } from './spawner-link.ts';

const MAIN = fileURLToPath(new URL('spawner-main.ts', import.meta.url));
/** A socket that does not say who it is within this time is closed. */
const PREAMBLE_MS = 5_000;
const SECRET_DIGITS = 32;

export interface ReadySocket {
  readonly number: number;
  readonly socket: Socket;
}

export interface SpawnerProcessOptions {
  /** A directory nobody else may enter. */
  readonly directory: string;
  /** What the spawner itself is started through: `unshare ... prlimit ...`. */
  readonly prefix: readonly string[];
  readonly log: (line: string) => void;
  readonly onReport: (report: Report) => void;
  /** Once, when it is gone, for whatever reason. */
  readonly onEnd: () => void;
}

export class SpawnerProcess {
  readonly #secret = randomBytes(SECRET_DIGITS / 2).toString('hex');
  readonly #server: Server;
  readonly #options: SpawnerProcessOptions;
  #child: ChildProcess | undefined;
  readonly #ready: ReadySocket[] = [];
  readonly #waiting = new Set<() => void>();
  #over = false;

  constructor(options: SpawnerProcessOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      this.#welcome(socket);
    });
  }

  /** Starts it. Resolves once it runs and a first socket is there. @throws Fault `process`. */
  static async start(options: SpawnerProcessOptions): Promise<SpawnerProcess> {
    const spawner = new SpawnerProcess(options);
    const socketPath = join(options.directory, `${randomBytes(4).toString('hex')}.sock`);
    await new Promise<void>((resolve, reject) => {
      spawner.#server.once('error', reject);
      spawner.#server.listen(socketPath, resolve);
    });
    spawner.#fork();
    const { stderrBytesMax } = BOUNDS;
    spawner.send({ kind: 'open', socketPath, secret: spawner.#secret, stderrBytesMax });
    await spawner.#until(() => spawner.#ready.length >= 2);
    return spawner;
  }

  get isOver(): boolean {
    return this.#over;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  send(order: Order): void {
    if (!this.#over && this.#child?.connected === true) this.#child.send(order, () => {});
  }

  /** Two connected sockets. @throws Fault `process` where the spawner ends first, `aborted`. */
  async takePair(signal?: AbortSignal): Promise<readonly [ReadySocket, ReadySocket]> {
    for (;;) {
      const [stdin, stdout] = this.#ready;
      if (stdin !== undefined && stdout !== undefined) {
        this.#ready.splice(0, 2);
        return [stdin, stdout];
      }
      await this.#until(() => this.#ready.length >= 2, signal);
    }
  }

  /** Ends it and all that it started. */
  async close(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise<void>((resolve) => {
        child.once('exit', () => {
          resolve();
        });
      });
      if (child.connected) child.disconnect();
      const kill = setTimeout(() => child.kill('SIGKILL'), 2_000);
      await gone;
      clearTimeout(kill);
    }
    this.#end();
  }

  #fork(): void {
    const { prefix, log } = this.#options;
    const [file, ...argv] = [...prefix, process.execPath, '--max-old-space-size=128', MAIN];
    assert(file !== undefined);
    const child = spawn(file, argv, {
      cwd: '/',
      // It starts faster with what Node compiled before. Git gets an environment of its own with each order.
      env: compileCache(),
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // A session of its own: the interrupt typed at a terminal is not for it.
      detached: true,
    });
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log(`spawner: ${text.trim().slice(0, 2_000)}`);
    });
    child.on('message', (message: unknown) => {
      if (isReport(message)) this.#options.onReport(message);
    });
    child.on('error', (error) => {
      log(`spawner: ${error.message}`);
      this.#end();
    });
    child.on('exit', () => {
      this.#end();
    });
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#server.close();
    for (const { socket } of this.#ready.splice(0)) socket.destroy();
    for (const wake of this.#waiting) wake();
    this.#options.onEnd();
  }

  /** Reads who connected: exactly the preamble, so that git's own bytes stay in the stream. */
  #welcome(socket: Socket): void {
    socket.on('error', () => {});
    const timer = setTimeout(() => socket.destroy(), PREAMBLE_MS);
    const onReadable = (): void => {
      const preamble: unknown = socket.read(PREAMBLE_BYTES);
      if (!Buffer.isBuffer(preamble)) return;
      clearTimeout(timer);
      socket.off('readable', onReadable);
      const text = preamble.toString('latin1');
      const isOurs = timingSafeEqual(Buffer.from(text.slice(0, SECRET_DIGITS), 'latin1'), Buffer.from(this.#secret));
      if (!isOurs || this.#over) {
        socket.destroy();
        return;
      }
      this.#ready.push({ number: Number.parseInt(text.slice(SECRET_DIGITS), 16), socket });
      for (const wake of this.#waiting) wake();
    };
    socket.on('readable', onReadable);
    socket.once('close', () => {
      clearTimeout(timer);
    });
  }

  #until(isSo: () => boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (fault?: Fault): void => {
        this.#waiting.delete(look);
        signal?.removeEventListener('abort', onAbort);
        if (fault === undefined) resolve();
        else reject(fault);
      };
      const look = (): void => {
        if (this.#over) settle(new Fault('process', 'spawner ended'));
        else if (isSo()) settle();
      };
      const onAbort = (): void => {
        settle(new Fault('aborted', 'wait was aborted', { cause: signal?.reason }));
      };
      this.#waiting.add(look);
      signal?.addEventListener('abort', onAbort);
      if (signal?.aborted === true) onAbort();
      else look();
    });
  }
}
