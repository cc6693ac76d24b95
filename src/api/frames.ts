/**
 * The control socket's frames: one type letter, a 32-bit length, the payload. One connection carries one
 * command. Standard input flows by credit, so that a command that does not read holds little memory while a
 * cancel still gets through; output flows as the socket does.
 */
import { badInput } from '../base/fault.ts';

export const FRAME_TYPES = {
  /** Client, first: JSON `{argv, as?}`. */
  run: 0x52,
  /** Client, first: an invocation of a gitolite site's programs, in as many `part` frames as it takes (`site-call.ts`). */
  part: 0x50,
  /** Client: the invocation's last part. */
  site: 0x53,
  /** Client, first: a gate that was started on demand makes room for one that a person starts. */
  relieve: 0x4b,
  /** Client: standard input; an empty one ends it. */
  stdin: 0x49,
  /** Client: stop the command. */
  cancel: 0x43,
  /** Server: JSON number, bytes of standard input that may be sent further. */
  credit: 0x57,
  stdout: 0x4f,
  stderr: 0x45,
  /** Server, once, of a site's program: it runs here. A client that does not read this may ask another gate. */
  accepted: 0x41,
  /** Server, last, in place of `accepted`: this gate does not serve that account (any more). */
  foreign: 0x46,
  /** Server, last: JSON `{exit}`. */
  exit: 0x58,
} as const;
export type FrameType = keyof typeof FRAME_TYPES;

export interface Frame {
  readonly type: FrameType;
  readonly payload: Buffer;
}

/** Bytes of one frame's payload. A command's words fit; streams are cut into this size. */
export const FRAME_BYTES_MAX = 64 * 1024;
/** Bytes of standard input that a client may send before the server gives more credit. */
export const STDIN_CREDIT_BYTES = 256 * 1024;

const HEADER_BYTES = 5;
const TYPE_OF = new Map<number, FrameType>(
  Object.entries(FRAME_TYPES).map(([name, byte]) => [byte, name as FrameType] as const),
);

/** @throws Fault 'bad-input' where the payload is longer than a frame may be. */
export function encodeFrame(type: FrameType, payload: Uint8Array | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (body.length > FRAME_BYTES_MAX) throw badInput(`a frame holds at most ${FRAME_BYTES_MAX} bytes`);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame[0] = FRAME_TYPES[type];
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** A stream's chunk as frames of at most `FRAME_BYTES_MAX`. */
export function* sliceFrames(type: FrameType, chunk: Uint8Array): Generator<Buffer> {
  for (let start = 0; start < chunk.length; start += FRAME_BYTES_MAX) {
    yield encodeFrame(type, chunk.subarray(start, start + FRAME_BYTES_MAX));
  }
}

/** Cuts a byte stream into frames; holds at most one incomplete frame. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** The frames completed by `chunk`. @throws Fault 'bad-input' for an unknown type or a length over the bound. */
  push(chunk: Buffer): readonly Frame[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#bytes < HEADER_BYTES) return frames;
      const buffer = this.#joined();
      const length = buffer.readUInt32BE(1);
      const type = TYPE_OF.get(buffer[0] ?? 0);
      if (type === undefined) throw badInput('unknown frame on the control socket');
      if (length > FRAME_BYTES_MAX) throw badInput(`a frame holds at most ${FRAME_BYTES_MAX} bytes`);
      const end = HEADER_BYTES + length;
      if (buffer.length < end) return frames;
      frames.push({ type, payload: buffer.subarray(HEADER_BYTES, end) });
      this.#chunks = buffer.length > end ? [buffer.subarray(end)] : [];
      this.#bytes = buffer.length - end;
    }
  }

  /** Whether a frame is incomplete. */
  get partial(): boolean {
    return this.#bytes > 0;
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const buffer = Buffer.concat(this.#chunks);
    this.#chunks = [buffer];
    return buffer;
  }
}
