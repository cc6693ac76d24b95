/**
 * Starts a site's own programs for the gate, because a `fork` stops its caller's event loop in proportion to its resident
 * memory. It relays no bytes: a program's streams are named pipes whose other ends the gate holds. It ends with the gate,
 * and ends what it started.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type HostOrder,
  type HostReport,
  type StartFailure,
  isHostOrder,
  PIPES_AT_ONCE,
  type StartOrder,
} from './program-host-link.ts';
import { exitCodeOf, signalTree, spawnWithUmask } from './program-starter.ts';

const directory = mkdtempSync(join(tmpdir(), 'gatehouse-programs-'));
const running = new Map<number, ChildProcess>();
let nextPipe = 0;

function report(message: HostReport): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

function makePipes(): readonly string[] {
  const paths = Array.from({ length: PIPES_AT_ONCE }, () => join(directory, String(nextPipe++)));
  execFileSync('mkfifo', ['-m', '600', ...paths]);
  return paths;
}

/** An end of a named pipe. Opening one waits for the other end, unless somebody holds both: so we do, for a moment. */
function openPipe(path: string, flags: number): number {
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    return openSync(path, flags);
  } finally {
    closeSync(both);
    rmSync(path);
  }
}

type Open = (path: string, flags: number, how: (path: string, flags: number) => number) => number;

function openInput({ inputFile, stdin }: StartOrder, open: Open): number | 'ignore' {
  if (stdin !== undefined) return open(stdin, constants.O_RDONLY, openPipe);
  return inputFile === undefined ? 'ignore' : open(inputFile, constants.O_RDONLY, openSync);
}

function start(order: StartOrder): void {
  const { id } = order;
  const opened: number[] = [];
  const open: Open = (path, flags, how) => {
    const descriptor = how(path, flags);
    opened.push(descriptor);
    return descriptor;
  };
  try {
    const stdin = openInput(order, open);
    const stdout = open(order.stdout, constants.O_WRONLY, openPipe);
    const stderr = open(order.stderr, constants.O_WRONLY, openPipe);
    watch(id, spawnWithUmask(order, [stdin, stdout, stderr]));
  } catch (error) {
    report({ kind: 'failed', id, ...failureOf(error) });
  } finally {
    // Only the program holds them now, so its end is their end.
    for (const descriptor of opened) closeSync(descriptor);
  }
}

function failureOf(error: unknown): StartFailure {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { reason: error instanceof Error ? error.message : String(error), ...code };
}

function watch(id: number, child: ChildProcess): void {
  running.set(id, child);
  child.once('spawn', () => {
    if (child.pid !== undefined) report({ kind: 'started', id, pid: child.pid });
  });
  child.once('error', (error) => {
    running.delete(id);
    report({ kind: 'failed', id, ...failureOf(error) });
  });
  child.once('exit', (code, signal) => {
    running.delete(id);
    report({ kind: 'ended', id, code: exitCodeOf(code, signal) });
  });
}

function handle(order: HostOrder): void {
  switch (order.kind) {
    case 'pipes':
      report({ kind: 'pipes', paths: makePipes() });
      break;
    case 'start':
      start(order);
      break;
    case 'signal':
      signalTree(running.get(order.id)?.pid, order.signal);
      break;
    default:
      order satisfies never;
  }
}

process.on('message', (message: unknown) => {
  if (isHostOrder(message)) handle(message);
});
process.on('disconnect', () => {
  for (const child of running.values()) signalTree(child.pid, 'SIGTERM');
  rmSync(directory, { recursive: true, force: true });
  process.exit(0);
});
// A terminal's interrupt is for the gate, which closes this process in order.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('SIGHUP', () => {});
