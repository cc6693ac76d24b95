/**
 * The spawner: a small process of its own that starts git for the gate, because a `fork` stops its caller's event loop in
 * proportion to its resident memory. It relays no bytes: it connects sockets to the gate ahead of need and gives them to
 * git as standard input and output, then closes its own copies. It ends every process tree it started when the gate ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmdirSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { isOrder, type Order, READY_SOCKETS, type Report, type StartOrder } from './spawner-link.ts';

/** Between asking a process tree to end (git removes its lock and temporary files) and ending it. */
const GRACE_MS = 1_000;

interface Running {
  readonly child: ChildProcess;
  readonly deadline: NodeJS.Timeout;
  readonly stderr: Tail;
  readonly isGentle: boolean;
  overdue: boolean;
  kill: NodeJS.Timeout | undefined;
}

interface Gate {
  readonly socketPath: string;
  readonly secret: string;
  readonly stderrBytesMax: number;
}

/** The last bytes of a standard error. */
class Tail {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > 2 * this.#bytesMax) this.#chunks = [this.#cut()];
  }

  text(): string {
    return this.#cut().toString('utf8');
  }

  #cut(): Buffer {
    const tail = Buffer.concat(this.#chunks).subarray(-this.#bytesMax);
    this.#bytes = tail.length;
    return Buffer.from(tail);
  }
}

const running = new Map<number, Running>();
const sockets = new Map<number, Socket>();
let gate: Gate | undefined;
let nextSocket = 0;

function report(message: Report): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

/** Connects until enough sockets are ready; each says first who it is. */
function replenish({ socketPath, secret }: Gate): void {
  while (sockets.size < READY_SOCKETS) {
    const number = nextSocket++;
    const socket = connect({ path: socketPath });
    // Paused before it connects: what the gate writes stays in the kernel, for git.
    socket.pause();
    socket.on('error', () => {
      sockets.delete(number);
    });
    socket.write(`${secret}${number.toString(16).padStart(8, '0')}`);
    sockets.set(number, socket);
  }
}

function take(number: number): Socket {
  const socket = sockets.get(number);
  if (socket === undefined) throw new Error(`socket ${number} is not there`);
  sockets.delete(number);
  return socket;
}

function start(order: StartOrder, { stderrBytesMax }: Gate): void {
  const child = spawnWith(take(order.stdin), take(order.stdout), order);
  const stderr = new Tail(stderrBytesMax);
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr.add(chunk);
  });
  const deadline = setTimeout(() => {
    const entry = running.get(order.id);
    if (entry !== undefined) entry.overdue = true;
    end(order.id);
  }, order.deadlineMs);
  const { isGentle } = order;
  running.set(order.id, { child, deadline, stderr, isGentle, overdue: false, kill: undefined });
  watch(order.id, child);
  if (child.pid !== undefined) report({ kind: 'started', id: order.id, pid: child.pid });
}

function spawnWith(stdin: Socket, stdout: Socket, order: StartOrder): ChildProcess {
  // Nothing else runs in this process until the next line has spawned.
  if (order.umask !== undefined) process.umask(order.umask);
  try {
    return spawn(order.file, order.argv, {
      cwd: '/',
      env: { ...order.env },
      // A process group of its own: its whole tree is ended at once.
      detached: true,
      stdio: [stdin, stdout, 'pipe'],
      ...order.owner,
    });
  } finally {
    // Only git holds them now, so its end is their end.
    stdin.destroy();
    stdout.destroy();
  }
}

function watch(id: number, child: ChildProcess): void {
  child.on('error', (error) => {
    if (child.pid !== undefined) return;
    forget(id);
    report({ kind: 'failed', id, reason: error.message });
  });
  child.on('exit', () => {
    // Whoever it left behind in its group ends with it; what still holds its standard error open holds up no report.
    signalTree(child, 'SIGKILL');
    setTimeout(() => child.stderr?.destroy(), GRACE_MS).unref();
  });
  child.on('close', (code, signal) => {
    conclude(id, code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
  });
}

function conclude(id: number, code: number): void {
  const entry = forget(id);
  if (entry === undefined) return;
  report({ kind: 'ended', id, code, overdue: entry.overdue, stderr: entry.stderr.text() });
}

function forget(id: number): Running | undefined {
  const entry = running.get(id);
  if (entry === undefined) return undefined;
  clearTimeout(entry.deadline);
  clearTimeout(entry.kill);
  running.delete(id);
  return entry;
}

/** Ends a process tree; one that may hold lock files is asked first, so that it removes them. */
function end(id: number): void {
  const entry = running.get(id);
  if (entry === undefined || entry.kill !== undefined) return;
  entry.kill = setTimeout(
    () => {
      signalTree(entry.child, 'SIGKILL');
    },
    entry.isGentle ? GRACE_MS : 0,
  );
  if (entry.isGentle) askToEnd(entry.child);
}

/**
 * bubblewrap hands no signal on, and its own death kills git at once: ask its children where it is between us. git as the
 * first process of its namespace hears the signal only if it set a handler, which it does before it takes a lock.
 */
function askToEnd({ pid, spawnfile }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    const children = spawnfile.endsWith('/bwrap')
      ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
      : `-${pid}`;
    for (const child of children.trim().split(' ').filter(Boolean)) process.kill(Number(child), 'SIGTERM');
  } catch {
    // Already gone, or not to be seen: it is ended a little later anyway.
  }
}

function signalTree(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Already gone.
  }
}

function handle(order: Order): void {
  switch (order.kind) {
    case 'open':
      gate = order;
      break;
    case 'start':
      try {
        if (gate === undefined) throw new Error('not open');
        start(order, gate);
      } catch (error) {
        report({ kind: 'failed', id: order.id, reason: String(error) });
      }
      break;
    case 'end':
      end(order.id);
      break;
    default:
      order satisfies never;
  }
  if (gate !== undefined) replenish(gate);
}

/** A gate that was killed could not tidy up. */
function removeSocket(path: string): void {
  try {
    rmSync(path, { force: true });
    rmdirSync(dirname(path));
  } catch {
    // It did, or something else lies there.
  }
}

process.on('message', (message: unknown) => {
  if (isOrder(message)) handle(message);
});
process.on('disconnect', () => {
  for (const { child } of running.values()) signalTree(child, 'SIGKILL');
  if (gate !== undefined) removeSocket(gate.socketPath);
  process.exit(0);
});
// A terminal's interrupt is for the gate, which closes this process in order.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('SIGHUP', () => {});
