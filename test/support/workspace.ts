/** Temporary directories, real git and other programs for tests: nothing of the machine's own configuration shows through. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where `after` can be asked for: a test, or a whole run of a soak. */
export type Scope = Pick<TestContext, 'after'>;

/** A scope for what a whole suite shares: hand it to `startSite` in `before`, close it in `after`. */
export function suiteScope(): Scope & { close(): Promise<void> } {
  const cleanups: (() => unknown)[] = [];
  return {
    after: (cleanup) => {
      cleanups.push(cleanup as () => unknown);
    },
    async close() {
      for (const cleanup of cleanups.toReversed()) await cleanup();
    },
  };
}

/**
 * A directory of the test's own, removed after it. Whoever the test started may still be writing there: `rm` waits between
 * its tries, `rmSync` does not, and stops without a word at a name that vanished.
 */
export function workspace(scope: Scope, name = 'gatehouse-test-'): string {
  const directory = mkdtempSync(join(tmpdir(), name));
  scope.after(() => rm(directory, { recursive: true, force: true, maxRetries: 10 }));
  return directory;
}

/** An environment that owes nothing to the person or machine running the test. */
export function cleanEnvironment(home: string): NodeJS.ProcessEnv {
  const compiled = process.env['NODE_COMPILE_CACHE'];
  return {
    PATH: process.env['PATH'],
    HOME: home,
    // Programs of ours start faster.
    ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
    LC_ALL: 'C.UTF-8',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: 'Test Author',
    GIT_AUTHOR_EMAIL: 'author@example.org',
    GIT_COMMITTER_NAME: 'Test Committer',
    GIT_COMMITTER_EMAIL: 'committer@example.org',
  };
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string | Uint8Array;
  /** The program is killed after this long; default two minutes. */
  readonly deadlineMs?: number;
}

/** Runs a program to its end, collecting what it says. Never throws for an exit code. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], {
      cwd: options.cwd,
      env: options.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.deadlineMs ?? 120_000,
      killSignal: 'SIGKILL',
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.stdin.on('error', () => {}); // the program may end without reading
    child.stdin.end(options.stdin ?? '');
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({
        code: code ?? 128,
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString() + (signal === null ? '' : `\n(ended by ${signal})`),
      });
    });
  });
}

/** Runs a program that has to succeed, and gives its standard output without the last newline. */
export async function expectRun(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const ended = await run(program, args, options);
  if (ended.code !== 0) {
    throw new Error(`${program} ${args.join(' ')} ended with ${ended.code}\n${ended.stdout}${ended.stderr}`);
  }
  return ended.stdout.replace(/\n$/, '');
}

/** False where a program that only some machines have is missing: the test says so and is skipped. */
export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' }).status === 0;
}

/** Free a moment ago: for programs that cannot be asked for a port of their own choice. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const bound = server.address();
      server.close(() => {
        resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
      });
    });
  });
}
