/**
 * A pack that waits until git may take it: in memory where it is short, else in a file without a name, which is gone with this
 * process whatever happens. Knows where the pack ends without reading what is in it: its last bytes are the checksum of all
 * others (gitformat-pack, "pack-*.pack files"), and not every client says that it has sent everything.
 */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { openNameless } from '../base/nameless.ts';
import { oidHexLength, type ObjectFormat } from '../git/oid.ts';
import { hasCode } from './loose-place.ts';

const KIB = 1024;
/** Written at once, and kept in memory where there is no more than that. */
const PIECE_BYTES = 256 * KIB;

export class Spool implements AsyncDisposable {
  readonly #directory: string;
  readonly #hash: Hash;
  /** Of the checksum, and so of what comes before the piece in `#buffer`: the last bytes of the piece before, which may be it. */
  readonly #sumBytes: number;
  /** Copied together: a sender that drips would have us keep a buffer of its own for each byte. */
  #buffer = Buffer.alloc(0);
  #pieceBytes = 0;
  /** Where in `#buffer` the first byte is that `#hash` lacks. */
  #unhashedAt: number;
  #file: FileHandle | undefined;
  #fileBytes = 0;

  /** @param directory where the file would lie */
  constructor(directory: string, format: ObjectFormat) {
    this.#directory = directory;
    this.#hash = createHash(format);
    this.#sumBytes = oidHexLength(format) / 2;
    this.#unhashedAt = this.#sumBytes;
  }

  get bytes(): number {
    return this.#fileBytes + this.#pieceBytes;
  }

  /**
   * What came so far ends as a pack does. Who makes a pack in whose middle that is so as well, just where it was asked, has
   * made one that git takes for cut off.
   */
  get isWhole(): boolean {
    if (this.bytes < this.#sumBytes) return false;
    this.#catchUp();
    return this.#hash
      .copy()
      .digest()
      .equals(this.#buffer.subarray(this.#pieceBytes, this.#pieceBytes + this.#sumBytes));
  }

  /** Keeps a copy of `chunk`, which may change afterwards. @throws Fault `busy` where the disk does not take it. */
  async take(chunk: Buffer): Promise<void> {
    if (this.#buffer.length === 0) this.#buffer = Buffer.allocUnsafeSlow(this.#sumBytes + PIECE_BYTES);
    for (let at = 0; at < chunk.length;) {
      const copied = chunk.copy(this.#buffer, this.#sumBytes + this.#pieceBytes, at);
      at += copied;
      this.#pieceBytes += copied;
      if (this.#pieceBytes === PIECE_BYTES) await this.#write();
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
    if (this.#pieceBytes > 0) yield this.#piece;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#buffer = Buffer.alloc(0);
    this.#pieceBytes = 0;
    await file?.close();
  }

  get #piece(): Buffer {
    return this.#buffer.subarray(this.#sumBytes, this.#sumBytes + this.#pieceBytes);
  }

  /** Each byte once, all but the last ones. */
  #catchUp(): void {
    const end = this.#pieceBytes;
    if (end <= this.#unhashedAt) return;
    this.#hash.update(this.#buffer.subarray(this.#unhashedAt, end));
    this.#unhashedAt = end;
  }

  async #write(): Promise<void> {
    this.#catchUp();
    try {
      this.#file ??= await openNameless(join(this.#directory, 'spool'));
      await this.#file.writeFile(this.#piece);
    } catch (cause) {
      const publicMessage = 'the server has no disk for the pack: try again later';
      if (hasCode(cause, ['ENOSPC', 'EDQUOT'])) throw new Fault('busy', 'disk is full', { cause, publicMessage });
      throw new Fault('internal', 'pack cannot be spooled', { cause });
    }
    this.#buffer.copyWithin(0, PIECE_BYTES, PIECE_BYTES + this.#sumBytes);
    this.#unhashedAt -= PIECE_BYTES;
    this.#fileBytes += PIECE_BYTES;
    this.#pieceBytes = 0;
  }
}
