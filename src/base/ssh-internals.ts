/**
 * The few places where this house reaches below ssh2's documented surface, each because of something that the
 * surface cannot do (docs/decisions/060). All in one file, read defensively: where ssh2 has changed inside, the
 * answer is the cautious one, and tests of both sides fail: server (`transport/`) and client (`upstream/wire/`).
 */
import type { Writable } from 'node:stream';
import type { ClientChannel } from 'ssh2';

/**
 * A key exchange is under way: ssh2 would keep everything written meanwhile in an unbounded list, and a client
 * can start one and never finish it.
 */
export function isRekeying(client: object): boolean {
  const protocol = read(client, '_protocol');
  return read(protocol, '_kexinit') !== undefined;
}

/**
 * The client's largest packet. ssh2 does not check it, loops for ever on 0 and sends packets of one byte on 1.
 * Undefined: cannot be told.
 */
export function clientPacketBytes(session: object): number | undefined {
  const size = read(read(read(session, '_chanInfo'), 'outgoing'), 'packetSize');
  return typeof size === 'number' ? size : undefined;
}

/** The same of a channel that we opened at a server. */
export function serverPacketBytes(channel: object): number | undefined {
  const size = read(read(channel, 'outgoing'), 'packetSize');
  return typeof size === 'number' ? size : undefined;
}

/**
 * Forgets a chunk that waited for the client's window and is sent. ssh2 keeps it, and sends it again when the
 * other stream (standard error, say) next waits for the window.
 */
export function forgetSent(channel: object): void {
  for (const slot of ['_chunk', '_chunkcb', '_chunkErr', '_chunkcbErr']) {
    if (read(channel, slot) !== undefined) Reflect.set(channel, slot, undefined);
  }
}

/** How much of what a peer sends, and nobody reads, is taken in before its window stays shut. */
export function boundUnread(channel: object, bytes: number): void {
  const state = read(channel, '_readableState');
  if (isObject(state)) Reflect.set(state, 'highWaterMark', bytes);
}

/**
 * Opens a session at a server and runs nothing in it yet: ssh2 opens, and starts the command, in two round trips each time.
 * False: cannot be done, nothing was sent, `done` is not called.
 */
export function openSession(client: object, done: (error: Error | undefined, channel: ClientChannel) => void): boolean {
  const protocol = read(client, '_protocol');
  const channels = read(client, '_chanMgr');
  const [add, session] = [read(channels, 'add'), read(protocol, 'session')];
  if (typeof add !== 'function' || typeof session !== 'function') return false;
  const opened = Object.assign((error: Error | undefined, channel: ClientChannel) => done(error, channel), {
    type: 'session',
  });
  const id: unknown = Reflect.apply(add, channels, [opened]);
  if (typeof id !== 'number' || id < 0) return false;
  Reflect.apply(session, protocol, [id, SESSION_WINDOW_BYTES, SESSION_PACKET_BYTES]);
  return true;
}

/** Runs a command in an open session; what is written to it may follow at once. False: cannot be done, nothing was sent. */
export function startCommand(
  client: object,
  channel: object,
  about: {
    readonly command: string;
    readonly environment: Readonly<Record<string, string>>;
    /** The server refused to run it. */
    readonly onRefused: () => void;
  },
): boolean {
  const protocol = read(client, '_protocol');
  const id = read(read(channel, 'outgoing'), 'id');
  const answers = read(channel, '_callbacks');
  const [env, exec] = [read(protocol, 'env'), read(protocol, 'exec')];
  if (typeof env !== 'function' || typeof exec !== 'function' || typeof id !== 'number' || !Array.isArray(answers))
    return false;
  for (const [name, value] of Object.entries(about.environment)) Reflect.apply(env, protocol, [id, name, value, false]);
  answers.push((failed: unknown) => {
    if (failed !== undefined && failed !== false) about.onRefused();
  });
  Reflect.apply(exec, protocol, [id, about.command, true]);
  return true;
}

/** ssh2's own, which its windows count from. */
const SESSION_WINDOW_BYTES = 2 * 1024 * 1024;
const SESSION_PACKET_BYTES = 32 * 1024;

/**
 * Calls `onOver` once where more than `bytes` wait unread in a channel: ssh2 takes what a peer sends beyond the window that it
 * was given, and keeps all of it.
 */
export function watchUnread(channel: object, bytes: number, onOver: () => void): void {
  const push = read(channel, 'push');
  if (typeof push !== 'function') return;
  const watched = (...words: readonly unknown[]): unknown => {
    const result: unknown = Reflect.apply(push, channel, words);
    const unread = read(channel, 'readableLength');
    if (typeof unread === 'number' && unread > bytes) onOver();
    return result;
  };
  Reflect.set(channel, 'push', watched);
}

const quiet = new WeakSet<object>();

/**
 * Channels of this kind end once from here on. ssh2 ends one again each time that node destroys a half of it, and node makes
 * an error of it with a stack, which nobody gets to see. False: ssh2 has changed inside; nothing is changed.
 */
export function endOnce(channel: object): boolean {
  const kind: unknown = Object.getPrototypeOf(channel);
  if (!isObject(kind)) return false;
  if (quiet.has(kind)) return true;
  const plain = read(kind, 'destroy');
  if (!Object.hasOwn(kind, 'destroy') || !isFunction(plain) || !isFunction(read(kind, 'close'))) return false;
  quiet.add(kind);
  Reflect.set(kind, 'destroy', function destroy(this: Writable & { close(): void }): unknown {
    if (!this.writableEnded) return Reflect.apply(plain, this, []);
    this.close();
    return this;
  });
  return true;
}

function isFunction(value: unknown): value is (...words: readonly unknown[]) => unknown {
  return typeof value === 'function';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function read(from: unknown, key: string): unknown {
  return isObject(from) ? Reflect.get(from, key) : undefined;
}
