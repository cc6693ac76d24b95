/**
 * Packs and their indexes as files: few descriptors open at once, and their blocks kept while they are used. Opening is
 * synchronous as for refs (docs/decisions/037); what may have to come from the disk is read without blocking. A small file
 * that was written a moment ago lies in the kernel's memory: to have it read by another thread would cost far more.
 */
import { close, closeSync, constants, fstatSync, lstatSync, openSync, read, readSync, type Stats } from 'node:fs';
import { type Clock, systemClock } from '../../base/clock.ts';
import { BeyondReach } from './odb.ts';
import { Recent } from './recent.ts';

/** Bytes of a block: a file is kept in memory in pieces of this size. */
const BLOCK_BYTES = 16 * 1024;
/** A longer range is read past the blocks: what is made of it is kept instead. */
const BLOCKS_AT_ONCE_MAX = 8;
/** Blocks of one file; above it the numbers of blocks would run into those of the next file. */
const BLOCKS_PER_FILE_MAX = 2 ** 22;
/** A file of one block is read at once so long after it was written. */
const WARM_MS = 60_000;
/** A descriptor that was not used this long is closed: an unlinked pack must give its disk space back. */
const IDLE_MS = 10_000;

export interface FilesOptions {
  readonly clock?: Pick<Clock, 'now' | 'monotonicMs' | 'after'>;
  /** File descriptors open at once, those that are being read from beyond it not counted. */
  readonly openMax: number;
  /** Bytes of blocks kept. */
  readonly blockBytesMax: number;
}

/** The file is not there any more, or another one is there: look for the object elsewhere. */
export class Vanished extends Error {
  override readonly name = 'Vanished';
}

export class Files {
  readonly #clock: Pick<Clock, 'now' | 'monotonicMs' | 'after'>;
  readonly #openMax: number;
  readonly blocks: Recent<number, Buffer>;
  /** Least recently used first. */
  readonly #open = new Set<OpenFile>();
  #lastId = 0;
  #sweep: (() => void) | undefined;

  constructor({ clock = systemClock, openMax, blockBytesMax }: FilesOptions) {
    this.#clock = clock;
    this.#openMax = openMax;
    this.blocks = new Recent(blockBytesMax);
  }

  /** File descriptors open now. */
  get openCount(): number {
    return this.#open.size;
  }

  /** It is, by the clock, hardly any time ago. */
  isNear(ms: number): boolean {
    return Math.abs(this.#clock.now() - ms) < WARM_MS;
  }

  file(path: string): OpenFile {
    this.#lastId += 1;
    return new OpenFile(this, path, this.#lastId);
  }

  used(file: OpenFile): void {
    file.usedMs = this.#clock.monotonicMs();
    this.#open.delete(file);
    this.#open.add(file);
    for (const oldest of this.#open) {
      if (this.#open.size <= this.#openMax) break;
      oldest.close();
    }
    this.#sweep ??= this.#clock.after(IDLE_MS, () => {
      this.#closeIdle();
    });
  }

  closed(file: OpenFile): void {
    this.#open.delete(file);
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.blocks.clear();
    this.#sweep?.();
    this.#sweep = undefined;
  }

  #closeIdle(): void {
    this.#sweep = undefined;
    const now = this.#clock.monotonicMs();
    for (const file of this.#open) {
      if (now - file.usedMs < IDLE_MS) break;
      file.close();
    }
    if (this.#open.size === 0) return;
    this.#sweep = this.#clock.after(IDLE_MS, () => {
      this.#closeIdle();
    });
  }
}

export class OpenFile {
  readonly path: string;
  usedMs = 0;
  readonly #files: Files;
  readonly #id: number;
  readonly #loading = new Map<number, Promise<Buffer>>();
  #fd: number | undefined;
  #reads = 0;
  #isClosing = false;
  #isGone = false;
  #isWarm = false;
  #identity: Pick<Stats, 'ino' | 'dev' | 'size'> | undefined;

  constructor(files: Files, path: string, id: number) {
    this.#files = files;
    this.path = path;
    this.#id = id;
  }

  /** Opens it where it is not. @throws Vanished, BeyondReach. */
  size(): number {
    this.#descriptor();
    return this.#identity?.size ?? 0;
  }

  /** A name for what lies at `offset`, the same in no two files. */
  keyOf(offset: number): string {
    return `${this.#id}:${offset}`;
  }

  /** Another file or none was there when it was opened again. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** The file that was opened lies there still. @throws Vanished, BeyondReach */
  assertThere(): void {
    const stat = statOf(this.path);
    this.size();
    if (stat !== undefined && this.#isSame(stat)) return;
    this.#isGone = true;
    throw new Vanished('file is gone');
  }

  #isSame({ ino, dev, size }: Pick<Stats, 'ino' | 'dev' | 'size'>): boolean {
    const mine = this.#identity;
    return mine !== undefined && mine.ino === ino && mine.dev === dev && mine.size === size;
  }

  /** The bytes where they are in memory. Nobody changes them. */
  now(offset: number, length: number): Buffer | undefined {
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    const start = offset - first * BLOCK_BYTES;
    if (last - first >= BLOCKS_AT_ONCE_MAX) return undefined;
    if (first === last) {
      const block = this.#files.blocks.get(this.#key(first));
      return block === undefined || block.length < start + length ? undefined : block.subarray(start, start + length);
    }
    const blocks: Buffer[] = [];
    for (let number = first; number <= last; number += 1) {
      const block = this.#files.blocks.get(this.#key(number));
      if (block === undefined) return undefined;
      blocks.push(block);
    }
    const all = Buffer.concat(blocks);
    return all.length < start + length ? undefined : all.subarray(start, start + length);
  }

  /** `length` bytes from `offset`. @throws Vanished; BeyondReach where the file is shorter, or cannot be read. */
  async bytes(offset: number, length: number): Promise<Buffer> {
    const held = this.now(offset, length);
    if (held !== undefined) return held;
    if (length < 0 || offset < 0 || offset + length > this.size()) throw new BeyondReach('file is too short');
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    if (last - first >= BLOCKS_AT_ONCE_MAX || last >= BLOCKS_PER_FILE_MAX) return this.#read(offset, length);
    const blocks: Promise<Buffer>[] = [];
    for (let number = first; number <= last; number += 1) blocks.push(this.#block(number));
    const [only, ...others] = await Promise.all(blocks);
    const all = only !== undefined && others.length === 0 ? only : Buffer.concat([only ?? Buffer.alloc(0), ...others]);
    const start = offset - first * BLOCK_BYTES;
    return all.subarray(start, start + length);
  }

  /** Gives the descriptor back, behind the reads under way. A later read opens the file again. */
  close(): void {
    this.#files.closed(this);
    if (this.#fd === undefined) return;
    if (this.#reads > 0) {
      this.#isClosing = true;
      return;
    }
    const fd = this.#fd;
    this.#fd = undefined;
    this.#isClosing = false;
    // The last descriptor of a file that a repack removed frees its blocks, which may take long.
    close(fd, () => {});
  }

  #key(number: number): number {
    return this.#id * BLOCKS_PER_FILE_MAX + number;
  }

  async #block(number: number): Promise<Buffer> {
    const held = this.#files.blocks.get(this.#key(number)) ?? this.#loading.get(number);
    if (held !== undefined) return held;
    const offset = number * BLOCK_BYTES;
    const length = Math.min(BLOCK_BYTES, this.size() - offset);
    if (this.#isWarm) return this.#keep(number, this.#readNow(offset, length));
    const loading = this.#load(number, offset, length);
    this.#loading.set(number, loading);
    return loading;
  }

  /** Is no longer among those that are loading when it is over, however it ends. */
  async #load(number: number, offset: number, length: number): Promise<Buffer> {
    try {
      return this.#keep(number, await this.#read(offset, length));
    } finally {
      this.#loading.delete(number);
    }
  }

  #keep(number: number, block: Buffer): Buffer {
    this.#files.blocks.set(this.#key(number), block, block.length);
    return block;
  }

  #readNow(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    let count: number;
    try {
      count = readSync(this.#descriptor(), bytes, 0, length, offset);
    } catch (cause) {
      throw cause instanceof Vanished ? cause : new BeyondReach('file cannot be read', { cause });
    }
    if (count !== length) throw new BeyondReach('file is too short');
    return bytes;
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    const fd = this.#descriptor();
    const bytes = Buffer.allocUnsafeSlow(length);
    this.#reads += 1;
    try {
      const count = await readAt(fd, bytes, offset);
      if (count !== length) throw new BeyondReach('file is too short');
      return bytes;
    } finally {
      this.#reads -= 1;
      if (this.#isClosing && this.#reads === 0) this.close();
    }
  }

  #descriptor(): number {
    if (this.#fd === undefined) this.#openAgain();
    const fd = this.#fd;
    if (fd === undefined) throw new Vanished('file is gone');
    this.#isClosing = false;
    this.#files.used(this);
    return fd;
  }

  #openAgain(): void {
    const fd = this.#openPath();
    const { ino, dev, size, mtimeMs } = fstatSync(fd);
    if (this.#identity !== undefined && !this.#isSame({ ino, dev, size })) {
      closeSync(fd);
      this.#isGone = true;
      throw new Vanished('another file is there now');
    }
    this.#identity = { ino, dev, size };
    this.#isWarm = size <= BLOCK_BYTES && this.#files.isNear(mtimeMs);
    this.#fd = fd;
  }

  #openPath(): number {
    try {
      return openFile(this.path);
    } catch (error) {
      if (error instanceof Vanished) this.#isGone = true;
      throw error;
    }
  }
}

/** A link is not followed (see `directoryStamp`). @throws Vanished, BeyondReach */
export function openFile(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    throw cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
      ? new Vanished('file is gone', { cause })
      : new BeyondReach('file cannot be opened', { cause });
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw new BeyondReach('file cannot be looked at', { cause });
  }
}

/** Fills `bytes` from `offset` of the file; how many there were. @throws BeyondReach */
export function readAt(fd: number, bytes: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, bytes, 0, bytes.length, offset, (cause, count) => {
      if (cause !== null) reject(new BeyondReach('file cannot be read', { cause }));
      else resolve(count);
    });
  });
}
