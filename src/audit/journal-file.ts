/**
 * The file that the journal writes: bytes at a known place, synced on demand, then `head` moved on. After
 * a failed write or sync it is never used again: the kernel may have dropped the bytes and call the next
 * sync a success, so only a new opening that writes them again may claim that they are on disk.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { syncNow } from '../base/durable.ts';
import { Fault } from '../base/fault.ts';
import { fileName, HeadFile, type Head, type Place } from './files.ts';
import type { ChainEnd } from './line.ts';

/** The calls that fail when a disk does; a test hands in its own. */
export interface Disk {
  write(descriptor: number, bytes: Uint8Array, position: number): number;
  sync(descriptor: number): Promise<void>;
  /** Blocks. */
  syncNow(descriptor: number): void;
}

const fdatasyncAsync = promisify(fdatasync);

export const realDisk: Disk = {
  write: (descriptor, bytes, position) => writeSync(descriptor, bytes, 0, bytes.length, position),
  sync: (descriptor) => fdatasyncAsync(descriptor),
  syncNow: (descriptor) => {
    fdatasyncSync(descriptor);
  },
};

export interface JournalFileOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly place: Place;
  readonly fresh: boolean;
  readonly chain: ChainEnd;
  readonly rewriteFrom: number;
}

export class JournalFile {
  readonly #directory: string;
  readonly #disk: Disk;
  readonly #head: HeadFile;
  #descriptor: number;
  #file: number;
  /** Bytes written, and bytes known to be on disk. */
  #offset: number;
  #durable: Head;
  #syncing = 0;
  #abandoned = false;

  private constructor(options: JournalFileOptions, descriptor: number, head: HeadFile) {
    this.#directory = options.directory;
    this.#disk = options.disk;
    this.#descriptor = descriptor;
    this.#head = head;
    this.#file = options.place.file;
    this.#offset = options.place.offset;
    this.#durable = { ...options.place, seq: options.chain.seq, hash: options.chain.hash };
  }

  /** Makes what was found at `place` durable before anything is added to it. */
  static async open(options: JournalFileOptions): Promise<JournalFile> {
    const { directory, disk, place, fresh, rewriteFrom } = options;
    const head = new HeadFile(directory);
    let descriptor: number | undefined;
    try {
      const first = fresh && place.file === 1;
      // `head` before the first file: a missing file is then told from one that never was.
      if (first) head.write({ ...place, ...options.chain });
      descriptor = openLines(directory, place.file, fresh);
      ftruncateSync(descriptor, place.offset);
      rewrite(descriptor, disk, rewriteFrom, place.offset);
      await disk.sync(descriptor);
      syncNow(directory);
      const file = new JournalFile(options, descriptor, head);
      // In an empty file `head` would name no line: it stays at the end of the file before.
      if (place.offset > 0) file.#moveHead(file.#durable);
      return file;
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      head.close();
      throw error;
    }
  }

  get durable(): Head {
    return this.#durable;
  }

  get bytes(): number {
    return this.#offset;
  }

  /** Into the page cache: survives the end of this process, not of the machine. Blocks while the kernel is throttled. */
  write(bytes: Uint8Array): void {
    this.#offset += writeAll(this.#descriptor, this.#disk, bytes, this.#offset);
  }

  /**
   * Everything written up to the call is on disk when it resolves; `chain` is the last line of it.
   * @throws what the disk said, or Fault 'aborted' where the file was given up meanwhile.
   */
  async sync(chain: ChainEnd): Promise<void> {
    const place = { file: this.#file, offset: this.#offset };
    const descriptor = this.#descriptor;
    this.#syncing += 1;
    try {
      await this.#disk.sync(descriptor);
    } finally {
      this.#syncing -= 1;
      if (this.#abandoned && this.#syncing === 0) this.#closeAll();
    }
    if (this.#abandoned) throw new Fault('aborted', 'journal file was given up');
    this.#moveHead({ ...place, seq: chain.seq, hash: chain.hash });
  }

  /** As `sync`, and blocks: for back-pressure and between two files. */
  syncNow(chain: ChainEnd): void {
    this.#disk.syncNow(this.#descriptor);
    this.#moveHead({ file: this.#file, offset: this.#offset, seq: chain.seq, hash: chain.hash });
  }

  /** Goes on in the next file; nothing may be under way. What is not synced is synced first. */
  rotate(chain: ChainEnd): void {
    if (this.#durable.file !== this.#file || this.#durable.offset !== this.#offset) this.syncNow(chain);
    const next = this.#file + 1;
    const descriptor = openLines(this.#directory, next, true);
    try {
      syncNow(this.#directory);
      this.#head.sync();
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    closeSync(this.#descriptor);
    this.#descriptor = descriptor;
    this.#file = next;
    this.#offset = 0;
  }

  /** Where a new opening goes on: behind what is on disk, in the file that was last begun. */
  get resumeAt(): Place {
    return { file: this.#file, offset: this.#durable.file === this.#file ? this.#durable.offset : 0 };
  }

  syncHead(): void {
    this.#head.sync();
  }

  /** Never used again. A sync under way keeps the descriptor until it is over, and does not count. */
  abandon(): void {
    if (this.#abandoned) return;
    this.#abandoned = true;
    if (this.#syncing === 0) this.#closeAll();
  }

  #closeAll(): void {
    closeSync(this.#descriptor);
    this.#head.close();
  }

  /** Only ever names lines that are on disk, so that no crash makes it point behind the end. */
  #moveHead(head: Head): void {
    if (head.seq < this.#durable.seq) return;
    this.#head.write(head);
    this.#durable = head;
  }
}

function openLines(directory: string, file: number, fresh: boolean): number {
  const flags = fresh ? constants.O_RDWR | constants.O_CREAT : constants.O_RDWR;
  const descriptor = openSync(join(directory, fileName(file)), flags, 0o600);
  // An attempt that failed half-way may have left the file, but never a line in it.
  if (!fresh || fstatSync(descriptor).size === 0) return descriptor;
  closeSync(descriptor);
  throw new Fault('corrupt', 'next journal file has content', { context: { directory, file } });
}

function writeAll(descriptor: number, disk: Disk, bytes: Uint8Array, position: number): number {
  let written = 0;
  while (written < bytes.length) written += disk.write(descriptor, bytes.subarray(written), position + written);
  return written;
}

/** Dirties bytes again that an earlier process wrote and whose sync may have failed. */
function rewrite(descriptor: number, disk: Disk, from: number, to: number): void {
  const chunk = Buffer.alloc(256 * 1024);
  for (let position = from; position < to;) {
    const count = readSync(descriptor, chunk, 0, Math.min(chunk.length, to - position), position);
    if (count === 0) return;
    position += writeAll(descriptor, disk, chunk.subarray(0, count), position);
  }
}
