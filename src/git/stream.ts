/** Writing with back-pressure, and waiting on a stream without losing an abort, an error or a close. */
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { Fault } from '../base/fault.ts';

const exact = new WeakSet<Writable>();

/**
 * An exact stream calls a write back only when nobody refers to its bytes any more, not as soon as it has room: whoever wrote
 * them may overwrite them then. Sockets are; this says it of `output`, which passes bytes on without keeping them.
 */
export function declareExact(output: Writable): void {
  exact.add(output);
}

/** Whether bytes may be overwritten once the write of them has called back. */
export function isExact(output: Writable): boolean {
  return output instanceof Socket || exact.has(output);
}

const announced = new WeakMap<Writable, (bytes: number) => void>();

/** `output` wants to hear beforehand how many bytes will be written to it in all, where somebody knows. */
export function onLength(output: Writable, announce: (bytes: number) => void): void {
  announced.set(output, announce);
}

/** From here on `bytes` are written to `output` in all, or it is broken off. Nothing was written yet. */
export function announceLength(output: Writable, bytes: number): void {
  announced.get(output)?.(bytes);
}

/**
 * Writes all of `chunk` and resolves when the write was called back: through to the kernel where the stream is exact. `writeAll`
 * only waits for room.
 * @throws Fault `aborted` where the peer is gone or `signal` is aborted.
 */
export async function writeThrough(output: Writable, chunk: Uint8Array, signal?: AbortSignal): Promise<void> {
  assertWritable(output, signal);
  await new Promise<void>((resolve, reject) => {
    const settle = (cause?: unknown): void => {
      output.off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      if (cause === undefined || cause === null) resolve();
      else reject(brokenOff(cause));
    };
    const onClose = (): void => {
      settle(new Fault('aborted', 'peer is gone'));
    };
    const onAbort = (): void => {
      settle(new Fault('aborted', 'write was aborted', { cause: signal?.reason }));
    };
    output.on('close', onClose);
    signal?.addEventListener('abort', onAbort);
    output.write(chunk, settle);
  });
}

/**
 * Writes all of `chunk` and resolves when the stream will take more.
 * @throws Fault `aborted` where the peer is gone or `signal` is aborted.
 */
export async function writeAll(output: Writable, chunk: Uint8Array, signal?: AbortSignal): Promise<void> {
  assertWritable(output, signal);
  if (output.write(chunk)) return;
  await drained(output, signal);
}

/** Waits until `output` will take more after a `write` that returned false. @throws Fault `aborted`. */
export async function drained(output: Writable, signal?: AbortSignal): Promise<void> {
  if (!output.writableNeedDrain && !output.destroyed) return;
  await awaitEvents({ emitter: output, events: ['drain'], signal, isOver: () => output.destroyed });
}

/** @throws Fault `aborted` where nothing can be written any more. */
export function assertWritable(output: Writable, signal?: AbortSignal): void {
  if (signal?.aborted === true) throw new Fault('aborted', 'write was aborted', { cause: signal.reason });
  if (output.destroyed || output.errored !== null || output.writableEnded) {
    throw new Fault('aborted', 'peer is gone', { cause: output.errored });
  }
}

/**
 * The next chunk of a stream in paused mode: everything it has buffered, or undefined at its end.
 * @throws Fault `aborted` where it broke off (error, or closed before its end) or `signal` is aborted; the stream's
 * own error where that is a Fault.
 */
export async function readChunk(input: Readable, signal?: AbortSignal): Promise<Buffer | undefined> {
  for (;;) {
    if (signal?.aborted === true) throw new Fault('aborted', 'read was aborted', { cause: signal.reason });
    const chunk: unknown = input.read();
    if (Buffer.isBuffer(chunk)) return chunk;
    if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (input.readableEnded) return undefined;
    if (input.destroyed || input.errored !== null) {
      throw brokenOff(input.errored);
    }
    await awaitEvents({ emitter: input, events: ['readable', 'end'], signal, isOver: () => false });
  }
}

/** What a door says of its own stream (a body that drips, or does not unpack) is what the client is to read. */
function brokenOff(cause: unknown): Fault {
  return cause instanceof Fault ? cause : new Fault('aborted', 'peer broke off', { cause });
}

interface Wait {
  readonly emitter: Readable | Writable;
  readonly events: readonly string[];
  readonly signal: AbortSignal | undefined;
  /** Already over when the wait begins: no event will come. */
  readonly isOver: () => boolean;
}

/** Resolves at one of `events` or at `close` of a readable (its end is looked at again); else rejects. */
function awaitEvents({ emitter, events, signal, isOver }: Wait): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (fault?: Fault): void => {
      for (const event of events) emitter.off(event, onEvent);
      emitter.off('error', onError);
      emitter.off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      if (fault === undefined) resolve();
      else reject(fault);
    };
    const onEvent = (): void => {
      settle();
    };
    const onError = (cause: unknown): void => {
      settle(brokenOff(cause));
    };
    const onClose = (): void => {
      if (events.includes('end')) settle();
      else settle(new Fault('aborted', 'peer is gone'));
    };
    const onAbort = (): void => {
      settle(new Fault('aborted', 'wait was aborted', { cause: signal?.reason }));
    };
    for (const event of events) emitter.on(event, onEvent);
    emitter.on('error', onError);
    emitter.on('close', onClose);
    signal?.addEventListener('abort', onAbort);
    if (isOver()) onClose();
  });
}
