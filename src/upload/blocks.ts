/**
 * Pieces of kept files in memory. Who reads the same place of the same file at about the same time shares one reading
 * of it, and memory is used again instead of being left to the garbage collector. All files of a shelf together hold
 * no more than `BLOCKS_MAX` blocks, however many read.
 */

import { type Clock, systemClock } from '../base/clock.ts';

export const BLOCK_BYTES = 1024 * 1024;
const BLOCKS_MAX = 24;
/** For as long the memory is kept for the next reader when the last one has left, in milliseconds. */
const REST_MS = 10_000;

/** Reads into `buffer` at `offset` what the file has at `position`; resolves with how many bytes that were. */
export type ReadAt = (
  buffer: Buffer,
  place: { readonly offset: number; readonly length: number; readonly position: number },
) => Promise<number>;

interface Block {
  readonly index: number;
  readonly owner: Map<number, Block>;
  readonly buffer: Buffer;
  filled: number;
  filling: Promise<boolean> | undefined;
  users: number;
  /** Somebody may still refer to its bytes: it can be read, and never be overwritten. */
  isLost: boolean;
}

/** A part of a block that is its user's until it is given back. */
export interface Slice {
  readonly bytes: Buffer;
  /** @param isFree nobody refers to the bytes any more. */
  giveBack(isFree: boolean): void;
}

export interface BlockShelfOptions {
  readonly blocksMax?: number;
  readonly clock?: Pick<Clock, 'after'>;
}

export class BlockShelf {
  readonly #spare: Buffer[] = [];
  /** Blocks that nobody uses, the longest unused first. */
  readonly #idle = new Set<Block>();
  readonly #blocksMax: number;
  readonly #clock: Pick<Clock, 'after'>;
  #count = 0;
  #readers = 0;
  #cancelRest: () => void = () => {};

  constructor({ blocksMax = BLOCKS_MAX, clock = systemClock }: BlockShelfOptions = {}) {
    this.#blocksMax = blocksMax;
    this.#clock = clock;
  }

  /** Blocks in memory. */
  get size(): number {
    return this.#count;
  }

  /** Somebody begins to read: until a while after `leave`, memory is kept for the next one. */
  enter(): void {
    this.#readers += 1;
    this.#cancelRest();
  }

  /**
   * Not given back at once: taking 24 MiB again for each crowd makes the garbage collector look through the whole heap,
   * since V8 counts what was taken, not what there is.
   */
  leave(): void {
    this.#readers -= 1;
    if (this.#readers === 0) this.#cancelRest = this.#clock.after(REST_MS, () => this.clear());
  }

  /** Gives the memory back that nobody uses. */
  clear(): void {
    this.#cancelRest();
    for (const block of this.#idle) {
      block.owner.delete(block.index);
      if (!block.isLost) free(block.buffer);
    }
    for (const buffer of this.#spare) free(buffer);
    this.#count -= this.#idle.size + this.#spare.length;
    this.#idle.clear();
    this.#spare.length = 0;
  }

  /** A buffer for one block; undefined where all are in use. */
  take(): Buffer | undefined {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    if (this.#count >= this.#blocksMax) {
      const oldest = this.#idle.values().next();
      if (oldest.done === true) return undefined;
      this.forget(oldest.value);
      return this.take();
    }
    this.#count += 1;
    return Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }

  use(block: Block): void {
    block.users += 1;
    this.#idle.delete(block);
  }

  giveBack(block: Block): void {
    block.users -= 1;
    if (block.users > 0) return;
    if (block.owner.get(block.index) === block) this.#idle.add(block);
    else this.#reuse(block);
  }

  /** Nobody finds it any more; its memory is used again when its last user is done. */
  forget(block: Block): void {
    if (block.owner.get(block.index) === block) block.owner.delete(block.index);
    this.#idle.delete(block);
    if (block.users === 0) this.#reuse(block);
  }

  #reuse(block: Block): void {
    if (block.isLost) this.#count -= 1;
    else this.#spare.push(block.buffer);
  }
}

/**
 * Gives memory back at once: so much that waits for the garbage collector makes it look through the whole heap. Only of
 * what nobody refers to: its bytes are gone. What shares its memory with others is left to the collector.
 */
export function free({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

/** The blocks of one file that only grows. */
export class Blocks {
  readonly #shelf: BlockShelf;
  readonly #readAt: ReadAt;
  readonly #byIndex = new Map<number, Block>();

  constructor(shelf: BlockShelf, readAt: ReadAt) {
    this.#shelf = shelf;
    this.#readAt = readAt;
  }

  /** Whether what is at `position` is in memory, or is being read. */
  has(position: number): boolean {
    return this.#byIndex.has(Math.floor(position / BLOCK_BYTES));
  }

  /**
   * Some of what the file has from `position` to its `end`; undefined where the shelf is full of what is in use.
   * @throws what reading threw; an empty slice where the file is shorter than `end`.
   */
  async at(position: number, end: number): Promise<Slice | undefined> {
    const index = Math.floor(position / BLOCK_BYTES);
    const start = index * BLOCK_BYTES;
    const block = this.#byIndex.get(index) ?? this.#add(index);
    if (block === undefined) return undefined;
    this.#shelf.use(block);
    try {
      // What another began to read when the file was shorter may end before `position`.
      while (start + block.filled <= position)
        if (!(await this.#fill(block, Math.min(end - start, BLOCK_BYTES)))) break;
    } catch (cause) {
      this.#byIndex.delete(index);
      this.#shelf.giveBack(block);
      throw cause;
    }
    return {
      bytes: block.buffer.subarray(position - start, Math.max(position - start, block.filled)),
      giveBack: (isFree) => {
        block.isLost ||= !isFree;
        this.#shelf.giveBack(block);
      },
    };
  }

  close(): void {
    for (const block of this.#byIndex.values()) this.#shelf.forget(block);
  }

  #add(index: number): Block | undefined {
    const buffer = this.#shelf.take();
    if (buffer === undefined) return undefined;
    const block: Block = {
      index,
      owner: this.#byIndex,
      buffer,
      filled: 0,
      filling: undefined,
      users: 0,
      isLost: false,
    };
    this.#byIndex.set(index, block);
    return block;
  }

  /** One reading at a time; what comes into the file meanwhile is read by the next. False: there was nothing to read. */
  async #fill(block: Block, until: number): Promise<boolean> {
    block.filling ??= this.#readInto(block, until).finally(() => {
      block.filling = undefined;
    });
    return await block.filling;
  }

  async #readInto(block: Block, until: number): Promise<boolean> {
    const { buffer, filled, index } = block;
    const position = index * BLOCK_BYTES + filled;
    const bytes = await this.#readAt(buffer, { offset: filled, length: until - filled, position });
    block.filled += bytes;
    return bytes > 0;
  }
}
