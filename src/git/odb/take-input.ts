/**
 * The bytes of a pack as they come, kept so that all of them can be given back: entries are cut out one by one, and no byte
 * is looked at more than a few times, however the sender slices them.
 */
import { createInflate } from 'node:zlib';
import { inflateBeginning } from './inflate.ts';
import { BeyondReach } from './odb.ts';

export interface PackBytes {
  /** The next chunk; undefined at the end. */
  next(): Promise<Buffer | undefined>;
}

export interface TakeRoom {
  /** False where so many bytes are not to be had now. */
  reserve(bytes: number): boolean;
}

/** A sender whose chunks are smaller than this on average is left to git, which waits in a process of its own. */
const CHUNK_BYTES_MIN = 512;
const CHUNKS_FREE = 128;

export class TakeInput {
  readonly #source: PackBytes;
  readonly #room: TakeRoom;
  readonly #bytesMax: number;
  #bytes = Buffer.allocUnsafeSlow(0);
  #length = 0;
  #at = 0;
  #chunks = 0;

  constructor(source: PackBytes, room: TakeRoom, bytesMax: number) {
    this.#source = source;
    this.#room = room;
    this.#bytesMax = bytesMax;
  }

  /** Where the next byte is taken from. */
  get offset(): number {
    return this.#at;
  }

  /** Everything that came so far. */
  get all(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Nothing beyond what was taken is here. */
  get isSpent(): boolean {
    return this.#at === this.#length;
  }

  /** @throws BeyondReach where the input ends, or is more than is taken. */
  async take(count: number): Promise<Buffer> {
    while (this.#length - this.#at < count) await this.#more();
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  async takeByte(): Promise<number> {
    if (this.#at === this.#length) await this.#more();
    this.#at += 1;
    return this.#bytes[this.#at - 1] ?? 0;
  }

  /** The zlib stream that begins here and has exactly `size` bytes. @throws BeyondReach */
  async inflate(size: number): Promise<Buffer> {
    if (this.#at === this.#length) await this.#more();
    const input = this.#bytes.subarray(this.#at, this.#length);
    const whole = await inflateBeginning(input, size);
    if (whole === undefined) return this.#inflateSlowly(size);
    this.#at += whole.consumed;
    return whole.bytes;
  }

  /** The same of a stream that has not come as a whole yet. */
  async #inflateSlowly(size: number): Promise<Buffer> {
    const stream = new SlowInflate(size);
    try {
      let fed = this.#at;
      while (!(await stream.feed(this.#bytes.subarray(fed, this.#length)))) {
        fed = this.#length;
        await this.#more();
      }
      const { bytes } = stream;
      if (bytes.length !== size) throw new BeyondReach('entry has another size than it says');
      this.#at += stream.consumed;
      return bytes;
    } finally {
      stream.close();
    }
  }

  async #more(): Promise<void> {
    const chunk = await this.#source.next();
    if (chunk === undefined) throw new BeyondReach('pack ends early');
    this.#chunks += 1;
    // Kept in any case: all that came has to be given back.
    this.#append(chunk);
    if (this.#length > this.#bytesMax) throw new BeyondReach('pack is not small');
    if (this.#chunks > CHUNKS_FREE + this.#length / CHUNK_BYTES_MIN) throw new BeyondReach('pack comes in crumbs');
  }

  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#bytes.length) {
      const capacity = this.#length === 0 ? length : Math.max(length, 2 * this.#bytes.length);
      const hasRoom = this.#room.reserve(capacity - this.#bytes.length);
      const grown = Buffer.allocUnsafeSlow(hasRoom ? capacity : length);
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
      chunk.copy(grown, this.#length);
      this.#length = length;
      if (!hasRoom) throw new BeyondReach('small packs take too much memory now');
      return;
    }
    chunk.copy(this.#bytes, this.#length);
    this.#length = length;
  }
}

/** A stream inflated chunk by chunk, on another thread. */
class SlowInflate {
  readonly #inflate = createInflate();
  readonly #parts: Buffer[] = [];
  readonly #sizeMax: number;
  readonly #failed: Promise<never>;
  #size = 0;
  #fed = 0;

  constructor(size: number) {
    this.#sizeMax = size;
    this.#failed = new Promise((_, reject) => {
      this.#inflate.on('error', (cause) => {
        reject(cause instanceof BeyondReach ? cause : new BeyondReach('entry cannot be inflated', { cause }));
      });
    });
    this.#failed.catch(() => {});
    this.#inflate.on('data', (part: Buffer) => {
      this.#size += part.length;
      this.#parts.push(part);
      if (this.#size > this.#sizeMax) this.#inflate.destroy(new BeyondReach('entry has another size than it says'));
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts, this.#size);
  }

  /** Bytes that the stream took of what was fed. */
  get consumed(): number {
    return this.#inflate.bytesWritten;
  }

  /** Whether the stream is known to have ended: it took less than it was fed. A pack goes on behind each stream. */
  async feed(chunk: Buffer): Promise<boolean> {
    this.#fed += chunk.length;
    const taken = new Promise<void>((resolve) => {
      this.#inflate.write(chunk, () => {
        resolve();
      });
    });
    await Promise.race([this.#failed, taken]);
    return this.consumed < this.#fed;
  }

  close(): void {
    this.#inflate.destroy();
  }
}
