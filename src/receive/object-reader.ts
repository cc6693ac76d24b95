/** What `git cat-file --batch` writes, object by object: small ones whole, large ones as they come. */
import type { Readable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import { readChunk } from '../git/stream.ts';

export interface BatchObject {
  readonly oid: string;
  readonly type: string;
  readonly size: number;
  /** What stood behind the oid in the question. */
  readonly rest: string;
  /** Read once, and before the next object is asked for. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** All of it. @throws Fault `bad-input` where it is larger than a tree may be. */
  whole(): Promise<Buffer>;
}

/** Held in memory at once; a longer one is streamed. */
export const WHOLE_BYTES_MAX = 1024 * 1024;
/** A directory of a million files. */
const TREE_BYTES_MAX = 64 * 1024 * 1024;
const HEADER_BYTES_MAX = 1024 * 1024;
const LF = 0x0a;

export class ObjectReader {
  readonly #input: Readable;
  readonly #signal: AbortSignal;
  #held: Buffer = Buffer.alloc(0);
  /** Of the object given last, its final LF included. */
  #unread = 0;

  constructor(input: Readable, signal: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
  }

  /** Undefined at the end. @throws Fault `process` where git does not know an object, or was cut off; `aborted`. */
  async next(): Promise<BatchObject | undefined> {
    await this.skip();
    const header = await this.#line();
    if (header === undefined) return undefined;
    const match = /^([0-9a-f]{40,64}) (commit|tree|blob|tag) (\d+) ?([^]*)$/.exec(header);
    if (match === null) throw new Fault('process', 'cat-file answered something else', { context: { header } });
    const [, oid = '', type = '', digits, rest = ''] = match;
    const size = Number(digits);
    this.#unread = size + 1;
    const isSmall = size <= WHOLE_BYTES_MAX;
    const bytes = isSmall ? await this.#take(size) : undefined;
    return {
      oid,
      type,
      size,
      rest,
      content: bytes ?? this.#stream(),
      whole: async () => bytes ?? this.#collect(size),
    };
  }

  /** Lets go of what was not read of the object given last. */
  async skip(): Promise<void> {
    while (this.#unread > 0) {
      if (this.#held.length === 0) this.#held = await this.#more();
      const gone = Math.min(this.#unread, this.#held.length);
      this.#held = this.#held.subarray(gone);
      this.#unread -= gone;
    }
  }

  async #collect(size: number): Promise<Buffer> {
    if (size > TREE_BYTES_MAX) {
      throw new Fault('bad-input', 'tree is too large', {
        publicMessage: 'a directory is too large for the secret scan',
      });
    }
    return this.#take(size);
  }

  /** The next bytes of the object. */
  async #take(count: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const piece = await this.#piece(missing);
      chunks.push(piece);
      missing -= piece.length;
    }
    const [only] = chunks;
    return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, count);
  }

  async *#stream(): AsyncGenerator<Buffer> {
    while (this.#unread > 1) yield await this.#piece(this.#unread - 1);
  }

  async #piece(most: number): Promise<Buffer> {
    if (this.#held.length === 0) this.#held = await this.#more();
    const piece = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(piece.length);
    this.#unread -= piece.length;
    return piece;
  }

  async #more(): Promise<Buffer> {
    const chunk = await readChunk(this.#input, this.#signal);
    if (chunk === undefined) throw new Fault('process', 'cat-file was cut off');
    return chunk;
  }

  async #line(): Promise<string | undefined> {
    let line = this.#held;
    while (!line.includes(LF)) {
      const chunk = await readChunk(this.#input, this.#signal);
      if (chunk === undefined) {
        if (line.length > 0) throw new Fault('process', 'cat-file was cut off');
        return undefined;
      }
      line = Buffer.concat([line, chunk]);
      if (line.length > HEADER_BYTES_MAX + chunk.length) throw new Fault('process', 'cat-file wrote too long a line');
    }
    const end = line.indexOf(LF);
    this.#held = line.subarray(end + 1);
    return line.toString('utf8', 0, end);
  }
}
