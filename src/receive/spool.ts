/**
 * A pack that waits until git may take it: in memory where it is short, else in a file without a name, which is gone with this
 * process whatever happens. Knows where the pack ends without reading what is in it: its last bytes are the checksum of all
 * others (gitformat-pack, "pack-*.pack files"), and not every client says that it has sent everything.
 */
import { createHash, type Hash } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { oidHexLength, type ObjectFormat } from '../git/oid.ts';
import { hasCode } from './loose-place.ts';

const KIB = 1024;
/** Written at once, and kept in memory where there is no more than that. */
const PIECE_BYTES = 256 * KIB;

export class Spool implements AsyncDisposable {
  readonly #directory: string;
  readonly #hash: Hash;
  readonly #sumBytes: number;
  /** The last bytes, which may be the checksum. */
  #tail = Buffer.alloc(0);
  /** Copied together: a sender that drips would have us keep a buffer of its own for each byte. */
  #gathered = Buffer.alloc(0);
  #gatheredBytes = 0;
  #file: FileHandle | undefined;
  #fileBytes = 0;

  /** @param directory where the file would lie */
  constructor(directory: string, format: ObjectFormat) {
    this.#directory = directory;
    this.#hash = createHash(format);
    this.#sumBytes = oidHexLength(format) / 2;
  }

  get bytes(): number {
    return this.#fileBytes + this.#gatheredBytes;
  }

  /**
   * What came so far ends as a pack does. Who makes a pack in whose middle that is so as well, just where a chunk ends,
   * has made one that git takes for cut off.
   */
  get isWhole(): boolean {
    return this.#tail.length === this.#sumBytes && this.#hash.copy().digest().equals(this.#tail);
  }

  /** Keeps a copy of `chunk`, which may change afterwards. @throws where the disk does not take it. */
  async take(chunk: Buffer): Promise<void> {
    this.#digest(chunk);
    for (let at = 0; at < chunk.length;) {
      if (this.#gathered.length === 0) this.#gathered = Buffer.allocUnsafeSlow(PIECE_BYTES);
      const copied = chunk.copy(this.#gathered, this.#gatheredBytes, at);
      at += copied;
      this.#gatheredBytes += copied;
      if (this.#gatheredBytes === PIECE_BYTES) await this.#write();
    }
  }

  /** Everything that was taken, from the beginning. */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    for (let at = 0; this.#file !== undefined && at < this.#fileBytes;) {
      const { bytesRead, buffer } = await this.#file.read({
        buffer: Buffer.allocUnsafeSlow(PIECE_BYTES),
        position: at,
      });
      if (bytesRead === 0) throw new Fault('internal', 'spooled pack is cut off');
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    if (this.#gatheredBytes > 0) yield this.#gathered.subarray(0, this.#gatheredBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#gathered = Buffer.alloc(0);
    await file?.close();
  }

  async #write(): Promise<void> {
    try {
      this.#file ??= await openNameless(join(this.#directory, 'spool'));
      await this.#file.writeFile(this.#gathered);
    } catch (cause) {
      const publicMessage = 'the server has no disk for the pack: try again later';
      if (hasCode(cause, ['ENOSPC', 'EDQUOT'])) throw new Fault('busy', 'disk is full', { cause, publicMessage });
      throw new Fault('internal', 'pack cannot be spooled', { cause });
    }
    this.#fileBytes += this.#gatheredBytes;
    this.#gatheredBytes = 0;
  }

  #digest(chunk: Buffer): void {
    // Of each chunk the last bytes wait: they may be what the others are compared with.
    const kept = Math.max(0, this.#sumBytes - chunk.length);
    const before = this.#tail.length - Math.min(this.#tail.length, kept);
    this.#hash.update(this.#tail.subarray(0, before));
    const over = Math.max(0, chunk.length - this.#sumBytes);
    this.#hash.update(chunk.subarray(0, over));
    this.#tail = Buffer.concat([this.#tail.subarray(before), chunk.subarray(over)]);
  }
}

async function openNameless(path: string): Promise<FileHandle> {
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}
