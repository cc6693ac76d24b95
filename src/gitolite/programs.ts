/**
 * A site's own programs: commands, triggers, virtual refs, sugar. They get the environment of the invocation and what they
 * say goes where the invocation's goes; each is ended with it.
 */
import { access, constants, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import { readChunk, writeAll } from '../git/stream.ts';
import { confine } from './confine.ts';
import { glExtra } from './gl-log.ts';
import { type ProgramOrder, startHere, type StartedProgram } from './program-starter.ts';
import type { Rc } from './rc.ts';
import type { Env, Run } from './run.ts';

export type ProgramKind = 'commands' | 'triggers' | 'VREF' | 'syntactic-sugar';

export interface ProgramSpec {
  /** Absolute, or a name that is looked up in the PATH of the environment. */
  readonly file: string;
  readonly args: readonly string[];
  /** Default: the invocation's. */
  readonly cwd?: string;
  /** Over the invocation's. */
  readonly env?: Env;
  /** `inherit`: the invocation's. Default: none. */
  readonly stdin?: Uint8Array | Readable | 'inherit' | 'none';
  /** `show` (default): the invocation's standard output; `stderr`: its standard error; `collect`: returned. */
  readonly stdout?: 'show' | 'collect' | 'stderr';
  readonly timeoutMs?: number;
  /** Reads all that the account reads, writes nothing but `writable` and a temporary directory of its own. */
  readonly confined?: boolean;
  /** A confined program reaches no network. */
  readonly isOffline?: boolean;
  /** Where a confined program may write. */
  readonly writable?: readonly string[];
}

export interface ProgramEnd {
  /** The exit code; 128 + signal where a signal ended it. */
  readonly code: number;
  /** What was collected, else empty. */
  readonly stdout: string;
}

const KILL_AFTER_MS = 2_000;
/** A program that left something behind which holds its output open is not waited for longer than this. */
const LINGER_MS = 200;

/** The site's own before what came with the server; undefined where there is none that can be run. */
export async function findProgram(rc: Rc, kind: ProgramKind, name: string): Promise<string | undefined> {
  if (name === '' || name.includes('\0') || name.split('/').includes('..')) return undefined;
  for (const top of [rc.localCode, rc.binDirectory]) {
    if (top === undefined) continue;
    const path = join(top, kind, name);
    if (await isRunnable(path)) return path;
  }
  return undefined;
}

/**
 * Runs a program to its end.
 * @throws Fault `process` where it cannot be started or says more than is collected, `timeout`, `aborted`.
 */
export function runProgram(run: Run, spec: ProgramSpec): Promise<ProgramEnd> {
  return run.beside === undefined ? toItsEnd(run, spec) : run.beside(() => toItsEnd(run, spec));
}

async function toItsEnd(run: Run, spec: ProgramSpec): Promise<ProgramEnd> {
  run.signal.throwIfAborted();
  const isLogged = spec.stdout !== 'collect';
  if (isLogged) await glExtra(run, 'system', spec.file, ...spec.args);
  await using confined = spec.confined === true ? await confine(spec, spec) : undefined;
  const command = confined?.command ?? spec;
  const order = orderOf(run, { ...spec, ...command, env: { ...spec.env, ...confined?.env } });
  const child = await (run.site.programs ?? startHere).start(order);
  using ending = endWith(run, child, spec.timeoutMs);
  const output = spec.stdout === 'collect' ? collected() : undefined;
  const isError = spec.stdout === 'stderr';
  const show = (chunk: Buffer): Promise<void> => (isError ? run.warn(chunk) : run.print(chunk));
  const over = new AbortController();
  const fed = feed(run, child, spec.stdin, over.signal);
  const { exited } = child;
  await Promise.all([
    pump(child.stdout, exited, output?.add ?? show),
    pump(child.stderr, exited, (chunk) => run.warn(chunk)),
  ]);
  const code = await exited;
  over.abort();
  await fed;
  if (ending.reason !== undefined) {
    const publicMessage = ending.reason === 'timeout' ? `${basename(spec.file)} took too long` : undefined;
    const context = { file: spec.file };
    throw new Fault(ending.reason, 'site program was ended', { context, ...(publicMessage ? { publicMessage } : {}) });
  }
  if (code !== 0 && isLogged) await glExtra(run, 'system() failed', spec.file, ...spec.args, `-> ${code << 8}`);
  return { code, stdout: output?.text() ?? '' };
}

async function isRunnable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

function orderOf(run: Run, spec: ProgramSpec): ProgramOrder {
  return {
    file: spec.file,
    args: spec.args,
    cwd: spec.cwd ?? run.cwd,
    env: { ...run.env, ...spec.env },
    umask: run.rc.umask,
    input: inputOf(spec.stdin),
  };
}

function inputOf(stdin: ProgramSpec['stdin']): ProgramOrder['input'] {
  if (stdin === undefined || stdin === 'none') return 'none';
  return stdin instanceof Uint8Array ? stdin : 'stream';
}

/** Ends the program with the invocation, at its deadline, or where nobody waits for it any more. */
function endWith(
  run: Run,
  child: StartedProgram,
  timeoutMs: number | undefined,
): Disposable & { readonly reason: 'aborted' | 'timeout' | undefined } {
  let reason: 'aborted' | 'timeout' | undefined;
  let cancelKill = (): void => {};
  let hasExited = false;
  const onExit = (): void => {
    hasExited = true;
  };
  child.exited.then(onExit, onExit);
  const end = (why: 'aborted' | 'timeout'): void => {
    reason ??= why;
    child.signal('SIGTERM');
    cancelKill = run.clock.after(KILL_AFTER_MS, () => {
      child.signal('SIGKILL');
    });
  };
  const abort = (): void => {
    end('aborted');
  };
  run.signal.addEventListener('abort', abort, { once: true });
  if (run.signal.aborted) abort();
  const cancelDeadline =
    timeoutMs === undefined
      ? (): void => {}
      : run.clock.after(timeoutMs, () => {
          end('timeout');
        });
  return {
    get reason() {
      return reason;
    },
    [Symbol.dispose]: () => {
      run.signal.removeEventListener('abort', abort);
      cancelDeadline();
      cancelKill();
      // Whoever stopped listening (a client that went away, output beyond the bound) leaves no program behind.
      if (!hasExited) child.signal('SIGKILL');
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
    },
  };
}

/** Until the stream ends, or the program has ended and nothing more comes. */
async function pump(stream: Readable, exited: Promise<number>, take: (chunk: Buffer) => Promise<void>): Promise<void> {
  let linger: NodeJS.Timeout | undefined;
  let hasExited = false;
  const wait = (): void => {
    hasExited = true;
    linger = setTimeout(() => stream.destroy(), LINGER_MS);
  };
  exited.then(wait, wait);
  try {
    for await (const chunk of stream) {
      clearTimeout(linger);
      await take(chunk as Buffer);
      if (hasExited) wait();
    }
  } catch (error) {
    if (!hasExited || !stream.destroyed) throw error;
  } finally {
    clearTimeout(linger);
  }
}

function collected(): { readonly add: (chunk: Buffer) => Promise<void>; readonly text: () => string } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  return {
    add: (chunk) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= BOUNDS.collectedOutputBytesMax) return Promise.resolve();
      return Promise.reject(new Fault('process', 'site program said too much', { context: { bytes } }));
    },
    text: () => Buffer.concat(chunks).toString('utf8'),
  };
}

/** A program may stop reading when it knows enough: its exit code tells. What it did not read stays with the invocation. */
async function feed(run: Run, child: StartedProgram, given: ProgramSpec['stdin'], signal: AbortSignal): Promise<void> {
  const { stdin } = child;
  const input = given === 'inherit' ? run.stdin : given;
  if (stdin === undefined || !(input instanceof Readable)) return;
  stdin.on('error', () => {});
  try {
    for (;;) {
      const chunk = await readChunk(input, signal);
      if (chunk === undefined) break;
      await writeAll(stdin, chunk, signal);
    }
  } catch {
    // The program ended, or our own client broke off: then the invocation's signal says so.
  }
  stdin.end();
}
