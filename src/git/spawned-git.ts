/** A git that runs: its streams, its end, and how it is ended. */
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import type { GitExit, GitProcess } from './processes.ts';
import type { Report } from './spawner-link.ts';

interface SpawnedGitParts {
  readonly stdin: Socket;
  readonly stdout: Socket;
  /** Asks the spawner to end the process tree. */
  readonly end: () => void;
}

export class SpawnedGit implements GitProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly exit: Promise<GitExit>;
  pid: number | undefined;
  readonly #end: () => void;
  readonly #settle: { readonly resolve: (exit: GitExit) => void; readonly reject: (error: Fault) => void };
  #aborted = false;
  #over = false;
  #onOver: () => void = () => {};

  constructor({ stdin, stdout, end }: SpawnedGitParts) {
    const { promise, resolve, reject } = Promise.withResolvers<GitExit>();
    this.exit = promise;
    this.#settle = { resolve, reject };
    this.#end = end;
    // Who does not ask how it ended must not bring the gate down.
    promise.catch(() => {});
    // git says nothing on its standard input: reading only notices that it closed it, so that a write does not hang.
    stdin.resume();
    this.stdin = stdin;
    this.stdout = stdout;
  }

  watch(signal: AbortSignal | undefined, onOver: () => void): void {
    const onAbort = (): void => {
      this.abort();
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#onOver = () => {
      signal?.removeEventListener('abort', onAbort);
      onOver();
    };
    if (signal?.aborted === true) this.abort();
  }

  abort(): void {
    if (this.#over) return;
    this.#aborted = true;
    this.#end();
  }

  conclude(report: Exclude<Report, { kind: 'started' }>): void {
    if (report.kind === 'failed') {
      this.#finish();
      this.#hangUp(new Fault('process', 'git was not started'));
      this.#settle.reject(new Fault('process', 'git could not be started', { context: { reason: report.reason } }));
      return;
    }
    const ended = report.overdue ? 'deadline' : this.#aborted ? 'aborted' : undefined;
    this.#finish();
    this.#settle.resolve({ code: report.code, stderr: report.stderr, ...(ended ? { ended } : {}) });
  }

  /** The spawner is gone, and with it whoever would tell us of the end. */
  lose(): void {
    if (this.#over) return;
    if (this.pid !== undefined) killGroup(this.pid);
    this.#finish();
    this.#hangUp(new Fault('process', 'spawner ended'));
    this.#settle.reject(new Fault('process', 'spawner ended'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.#end();
    await this.exit.catch(() => {});
    this.stdin.destroy();
    this.stdout.destroy();
  }

  /**
   * Closes both streams: a git whose pid we never heard of, started in the spawner's last moment, cannot be killed. It
   * ends when its standard input does, or when it next writes.
   */
  #hangUp(fault: Fault): void {
    this.stdin.destroy();
    this.stdout.destroy(fault);
  }

  #finish(): void {
    this.#over = true;
    this.#onOver();
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}
