/** What runs a program of the site's, and a program that runs. Who starts it is the site's: this process, or a small one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import type { Env } from './run.ts';

export interface ProgramOrder {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** The whole of it. */
  readonly env: Env;
  readonly umask: number;
  /** What it reads: nothing, these bytes, or what is written to its `stdin` once it runs. */
  readonly input: 'none' | 'stream' | Uint8Array;
}

export type EndSignal = 'SIGTERM' | 'SIGKILL';

export interface StartedProgram {
  /** Where its input is a stream. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit code; 128 + signal where a signal ended it. Rejects where nobody can tell any more. */
  readonly exited: Promise<number>;
  /** To its whole tree. */
  signal(signal: EndSignal): void;
}

export interface ProgramStarter {
  /** @throws Fault `process` where it cannot be started. */
  start(order: ProgramOrder): Promise<StartedProgram>;
}

/** In this process. Its streams are sockets, which a program cannot open again by name (`> /dev/stderr`). */
export const startHere: ProgramStarter = {
  async start(order) {
    const child = spawnWithUmask(order, [order.input === 'none' ? 'ignore' : 'pipe', 'pipe', 'pipe']);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        reject(new Fault('process', 'site program cannot be started', { cause, context: { file: order.file } }));
      });
    });
    const { stdin, stdout, stderr } = child;
    if (stdout === null || stderr === null) throw new Fault('internal', 'site program has no output');
    // A program may stop reading when it knows enough.
    stdin?.on('error', () => {});
    if (order.input instanceof Uint8Array) stdin?.end(order.input);
    return {
      stdin: order.input === 'stream' ? (stdin ?? undefined) : undefined,
      stdout,
      stderr,
      exited: new Promise((resolve) => {
        child.once('exit', (code, signal) => {
          resolve(exitCodeOf(code, signal));
        });
      }),
      signal: (signal) => {
        signalTree(child.pid, signal);
      },
    };
  },
};

type Stdio = 'ignore' | 'pipe' | number;

export function spawnWithUmask(
  { file, args, cwd, env, umask }: Omit<ProgramOrder, 'input'>,
  stdio: readonly [Stdio, Stdio, Stdio],
): ChildProcess {
  // A child takes the umask of the moment: it is back before any other work can see it.
  const before = process.umask(umask);
  try {
    // A process group of its own: its whole tree is ended at once.
    return spawn(file, args, { cwd, env, detached: true, stdio: [...stdio] });
  } finally {
    process.umask(before);
  }
}

export function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

export function signalTree(pid: number | undefined, signal: EndSignal): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Already gone.
  }
}
