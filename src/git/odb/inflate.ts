/** Zlib streams of a size that is known before, within it: a stream that says something else is beyond reach. */
import { constants, inflate, inflateSync, type ZlibOptions } from 'node:zlib';
import { BeyondReach } from './odb.ts';

/** Up to this many bytes are inflated at once; more is left to another thread. */
const AT_ONCE_BYTES_MAX = 128 * 1024;
/** Input looked at where only a beginning is wanted: tables of codes fit, and what comes out of it stays below 600 KiB. */
export const HEAD_INPUT_BYTES = 512;

/** Bytes that a stream of `size` bytes takes at most as writers make them: stored blocks, header and checksum. */
export function deflatedBytesMax(size: number): number {
  return size + Math.ceil(size / 256) + 128;
}

export interface Inflated {
  readonly bytes: Buffer;
  /** Bytes of the input that the stream took. */
  readonly consumed: number;
}

/**
 * The stream at the beginning of `input`, which has exactly `size` bytes. `undefined`: `input` ends before it does.
 * @throws BeyondReach
 */
export async function inflateBeginning(input: Buffer, size: number): Promise<Inflated | undefined> {
  let inflated: Inflated;
  try {
    inflated = parseInfo(
      size <= AT_ONCE_BYTES_MAX ? inflateSync(input, optionsOf(size)) : await inflateElsewhere(input, size),
    );
  } catch (cause) {
    if (isCode(cause, 'Z_BUF_ERROR')) return undefined;
    throw new BeyondReach('object cannot be inflated', { cause });
  }
  if (inflated.bytes.length !== size) throw new BeyondReach('object has another size than it says');
  return inflated;
}

/**
 * The bytes that `inflateBeginning` finds.
 * @param hasMore other things follow the stream; otherwise it must fill `input`.
 * @throws BeyondReach
 */
export async function inflateExactly(input: Buffer, size: number, hasMore = true): Promise<Buffer | undefined> {
  const inflated = await inflateBeginning(input, size);
  if (!hasMore && inflated !== undefined && inflated.consumed !== input.length)
    throw new BeyondReach('garbage follows an object');
  return inflated?.bytes;
}

/** What the first `HEAD_INPUT_BYTES` of a stream say. @throws BeyondReach */
export function inflateHead(input: Buffer): Buffer {
  try {
    // That the input ends early is what is expected here.
    return inflateSync(input.subarray(0, HEAD_INPUT_BYTES), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (cause) {
    throw new BeyondReach('object cannot be inflated', { cause });
  }
}

/**
 * A stream that fills `input` to its last byte, at once; undefined where there is more than `bytesMax` in it.
 * @throws BeyondReach
 */
export function inflateWhole(input: Buffer, bytesMax: number): Buffer | undefined {
  try {
    const { bytes, consumed } = parseInfo(inflateSync(input, { maxOutputLength: bytesMax, info: true }));
    if (consumed === input.length) return bytes;
  } catch (cause) {
    if (isCode(cause, 'ERR_BUFFER_TOO_LARGE')) return undefined;
    throw new BeyondReach('object cannot be inflated', { cause });
  }
  throw new BeyondReach('garbage follows an object');
}

/** What zlib answers where `info` is asked for; the types of Node do not say so (zlib, "Class: Options"). */
interface WithEngine {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function parseInfo(result: unknown): Inflated {
  const { buffer, engine } = result as Partial<WithEngine>;
  if (!Buffer.isBuffer(buffer) || typeof engine?.bytesWritten !== 'number') {
    throw new BeyondReach('zlib answers strangely');
  }
  return { bytes: buffer, consumed: engine.bytesWritten };
}

function inflateElsewhere(input: Buffer, size: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    inflate(input, optionsOf(size), (cause, result) => {
      if (cause === null) resolve(result);
      else reject(cause);
    });
  });
}

/** One byte more than there should be, so that a longer stream shows. */
function optionsOf(size: number): ZlibOptions {
  return { chunkSize: Math.max(64, size + 1), maxOutputLength: size + 1, info: true };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
