/** The gate's end of the process that starts a site's own programs: begun with the first of them, again where it died. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileCache } from '../base/compile-cache.ts';
import { Fault } from '../base/fault.ts';
import {
  type HostOrder,
  type HostReport,
  type StartFailure,
  isHostReport,
  PIPES_AT_ONCE,
} from './program-host-link.ts';
import { type ProgramOrder, type ProgramStarter, signalTree, type StartedProgram } from './program-starter.ts';

const MAIN = fileURLToPath(new URL('program-host-main.ts', import.meta.url));
const PIPES_MIN = PIPES_AT_ONCE / 4;

interface Program {
  /** With its process id. */
  readonly started: PromiseWithResolvers<number>;
  readonly exited: PromiseWithResolvers<number>;
}

export class ProgramHost implements ProgramStarter, AsyncDisposable {
  readonly #log: (line: string) => void;
  #life: HostLife | undefined;
  #isClosed = false;

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  async start(order: ProgramOrder): Promise<StartedProgram> {
    if (this.#isClosed) throw new Fault('aborted', 'gate closes');
    if (this.#life === undefined || this.#life.isOver) this.#life = new HostLife(this.#log);
    return this.#life.start(order);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#life?.close();
  }
}

/** One life of that process. */
class HostLife {
  readonly #child: ChildProcess;
  readonly #programs = new Map<number, Program>();
  readonly #pipes: string[] = [];
  readonly #over = Promise.withResolvers<void>();
  #refill: PromiseWithResolvers<void> | undefined;
  /** Of the pipes. */
  #directory: string | undefined;
  #nextId = 1;
  isOver = false;

  constructor(log: (line: string) => void) {
    const child = spawn(process.execPath, ['--max-old-space-size=64', MAIN], {
      cwd: '/',
      // Programs get an environment of their own with each order.
      env: { ...Object.fromEntries(['PATH', 'TMPDIR'].map((name) => [name, process.env[name]])), ...compileCache() },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // A session of its own: the interrupt typed at a terminal is not for it.
      detached: true,
    });
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log(`program host: ${text.trim().slice(0, 2_000)}`);
    });
    if (child.stderr instanceof Socket) child.stderr.unref();
    child.on('message', (message: unknown) => {
      if (isHostReport(message)) this.#onReport(message);
    });
    child.on('error', () => {
      this.#end();
    });
    child.on('exit', () => {
      this.#end();
    });
    this.#keepAlive();
  }

  async start({ input, ...order }: ProgramOrder): Promise<StartedProgram> {
    await using file = input instanceof Uint8Array ? await fileOf(input) : undefined;
    const [stdout, stderr, stdin] = await this.#takePipes(input === 'stream' ? 3 : 2);
    if (stdout === undefined || stderr === undefined) throw new Fault('process', 'program host ended');
    const id = this.#nextId++;
    const program: Program = { started: Promise.withResolvers(), exited: Promise.withResolvers() };
    // Who does not ask how it ended must not bring the gate down.
    program.exited.promise.catch(() => {});
    this.#programs.set(id, program);
    this.#keepAlive();
    const paths = { stdout, stderr, ...(stdin === undefined ? {} : { stdin }) };
    const ends = new PipeEnds(paths);
    this.#send({ kind: 'start', id, ...order, ...paths, ...(file === undefined ? {} : { inputFile: file.path }) });
    try {
      await program.started.promise;
    } catch (cause) {
      ends.close();
      throw new Fault('process', 'site program cannot be started', { cause, context: { file: order.file } });
    }
    return {
      ...ends.streams(),
      exited: program.exited.promise,
      signal: (signal) => {
        this.#send({ kind: 'signal', id, signal });
      },
    };
  }

  async close(): Promise<void> {
    this.#child.ref();
    if (this.#child.connected) this.#child.disconnect();
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), 2_000);
    await this.#over.promise;
    clearTimeout(kill);
  }

  async #takePipes(count: number): Promise<readonly string[]> {
    for (;;) {
      if (this.isOver) throw new Fault('process', 'program host ended');
      if (this.#pipes.length < PIPES_MIN) this.#askForPipes();
      if (this.#pipes.length >= count) return this.#pipes.splice(0, count);
      await this.#refill?.promise;
    }
  }

  #askForPipes(): void {
    if (this.#refill !== undefined) return;
    this.#refill = Promise.withResolvers();
    this.#keepAlive();
    this.#send({ kind: 'pipes' });
  }

  /** Only while something runs: an idle host ends nobody's wait, and by itself when we end. */
  #keepAlive(): void {
    const isNeeded = this.#programs.size > 0 || this.#refill !== undefined;
    if (isNeeded) this.#child.ref();
    else this.#child.unref();
    const channel = this.#child.channel;
    if (isNeeded) channel?.ref();
    else channel?.unref();
  }

  #send(order: HostOrder): void {
    if (!this.isOver && this.#child.connected) this.#child.send(order, () => {});
  }

  #onReport(report: HostReport): void {
    switch (report.kind) {
      case 'pipes':
        this.#directory ??= dirname(report.paths[0] ?? '/');
        this.#pipes.push(...report.paths);
        this.#refill?.resolve();
        this.#refill = undefined;
        break;
      case 'started':
        this.#programs.get(report.id)?.started.resolve(report.pid);
        break;
      case 'failed':
        this.#programs.get(report.id)?.started.reject(errorOf(report));
        this.#programs.delete(report.id);
        break;
      case 'ended':
        this.#programs.get(report.id)?.exited.resolve(report.code);
        this.#programs.delete(report.id);
        break;
      default:
        report satisfies never;
    }
    this.#keepAlive();
  }

  /** One that was killed could not. */
  async #tidy(): Promise<void> {
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }

  #end(): void {
    if (this.isOver) return;
    this.isOver = true;
    const fault = new Fault('process', 'program host ended');
    for (const { started, exited } of this.#programs.values()) {
      // Nobody could tell any more how it ends.
      started.promise.then(killTree, () => {});
      started.reject(fault);
      exited.reject(fault);
    }
    this.#programs.clear();
    this.#refill?.resolve();
    this.#tidy().then(this.#over.resolve, this.#over.resolve);
  }
}

function killTree(pid: number): void {
  signalTree(pid, 'SIGKILL');
}

/**
 * Input that is all there is a file: unlike a named pipe, it can be opened again by name (`< /dev/stdin`) after its writer
 * is gone. It goes away once the program has it open.
 */
async function fileOf(input: Uint8Array): Promise<{ readonly path: string } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-input-'));
  const path = join(directory, 'input');
  await writeFile(path, input, { mode: 0o600 });
  return { path, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

interface PipePaths {
  readonly stdin?: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Our ends of a program's pipes. They are open before the program's are, and read from only when those are too. */
class PipeEnds {
  readonly #stdout: number;
  readonly #stderr: number;
  readonly #stdin: number | undefined;

  constructor({ stdin, stdout, stderr }: PipePaths) {
    this.#stdout = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#stderr = openSync(stderr, constants.O_RDONLY | constants.O_NONBLOCK);
    // For writing alone it would not open before the program reads.
    this.#stdin = stdin === undefined ? undefined : openSync(stdin, constants.O_RDWR | constants.O_NONBLOCK);
  }

  streams(): Pick<StartedProgram, 'stdin' | 'stdout' | 'stderr'> {
    const input = this.#stdin;
    return {
      stdout: new Socket({ fd: this.#stdout, readable: true, writable: false }),
      stderr: new Socket({ fd: this.#stderr, readable: true, writable: false }),
      stdin: input === undefined ? undefined : new Socket({ fd: input, readable: false, writable: true }),
    };
  }

  close(): void {
    for (const descriptor of [this.#stdout, this.#stderr, this.#stdin]) {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }
}

/** As this process would have got it from the system. */
function errorOf({ reason, code }: StartFailure): Error {
  return Object.assign(new Error(reason), code === undefined ? {} : { code });
}
