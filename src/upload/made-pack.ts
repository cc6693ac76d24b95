/**
 * One answer of git, written down while it is made, for as many readers as ask for the same meanwhile and afterwards.
 * Its maker waits for nobody: a slow reader reads from the file later. Only where nothing more can be kept (the cache is
 * full, the disk is full) does it go on in step with its slowest reader.
 */
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { openNameless } from '../base/nameless.ts';
import { Blocks, type BlockShelf, type Slice } from './blocks.ts';
import { Convoy, type Member } from './convoy.ts';

/** An answer up to this size stays in memory: most fetches of CI and people. */
export const MEMORY_BYTES_MAX = 256 * 1024;
/** Read from the file at once by each reader for itself, where no block is to be had. */
const READ_BYTES = 128 * 1024;

/** Where the bytes of all kept answers are counted. */
export interface Room {
  /** Takes room for `bytes` more of an answer that has `held` by now; false where there is none. */
  take(bytes: number, held: number): boolean;
  giveBack(bytes: number): void;
}

export interface MadePackOptions {
  /** For files, which have no name: nothing is left of them when the process ends. */
  readonly directory: string;
  readonly room: Room;
  readonly name: string;
  /** Memory for what is read from files. */
  readonly shelf: BlockShelf;
  readonly clock: Pick<Clock, 'after' | 'monotonicMs'>;
}

export interface ReadOptions {
  readonly signal: AbortSignal;
  /** Once the reader asks for the next chunk, nobody refers to the last one: its memory may be overwritten. */
  readonly isExact?: boolean;
  /** The first byte that is read. */
  readonly from?: number;
}

type State =
  | { readonly kind: 'making' }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly fault: Fault };

export class MadePack {
  readonly #options: MadePackOptions;
  readonly #wakeUps = new Set<() => void>();
  /** Counted, so that no change is missed between a look and a wait. */
  #changes = 0;
  readonly #readers = new Set<{ at: number }>();
  readonly #convoy: Convoy;
  #state: State = { kind: 'making' };
  #memory: Buffer[] = [];
  #file: FileHandle | undefined;
  #blocks: Blocks | undefined;
  /** Bytes in memory or in the file. */
  #kept = 0;
  /** Where the answer has come to: beyond `#kept` it was passed on only. */
  #end = 0;
  /** What is passed on without being kept, from `#end` on. */
  #passing: Buffer | undefined;
  #isKept = true;
  #isClosed = false;
  #isBroken = false;

  constructor(options: MadePackOptions) {
    this.#options = options;
    this.#convoy = new Convoy(options.clock);
  }

  /** Whether who comes now can still read it from its beginning. */
  get isWhole(): boolean {
    return this.#isKept && !this.#isClosed && !this.#isBroken && this.#state.kind !== 'failed';
  }

  get isMaking(): boolean {
    return this.#state.kind === 'making';
  }

  /** All of it is kept, and can be read by who holds it. */
  get isComplete(): boolean {
    return this.#isKept && !this.#isBroken && this.#state.kind === 'done';
  }

  /** Why it was not made; undefined: it was, or is being. */
  get fault(): Fault | undefined {
    return this.#state.kind === 'failed' ? this.#state.fault : undefined;
  }

  get name(): string {
    return this.#options.name;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Bytes kept. */
  get bytes(): number {
    return this.#kept;
  }

  /**
   * The maker's next bytes; resolves when it may go on. True: they are in the file, and nobody here refers to `chunks` any
   * more. @throws Fault `aborted` where nobody reads any more.
   */
  async add(...chunks: readonly Buffer[]): Promise<boolean> {
    if (this.#isKept && (await this.#keep(chunks))) {
      this.#wake();
      return this.#file !== undefined;
    }
    this.#isKept = false;
    const passing = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    this.#passing = passing;
    this.#wake();
    const end = this.#end + passing.length;
    while ([...this.#readers].some(({ at }) => at < end)) await this.#change();
    if (this.#readers.size === 0) throw new Fault('aborted', 'nobody reads the pack any more');
    this.#passing = undefined;
    this.#end = end;
    return false;
  }

  /** The maker is done: `fault` says why not with the whole of it. */
  finish(fault?: Fault): void {
    this.#state = fault === undefined ? { kind: 'done' } : { kind: 'failed', fault };
    this.#wake();
  }

  /**
   * Every byte from the beginning, as it is there; ends with the answer. A reader from this call on, so it has to be
   * read to its end or returned. A chunk is the reader's until it asks for the next one. The generator throws the
   * maker's Fault, `aborted`, or `corrupt` where what was kept is not there any more.
   */
  read(options: ReadOptions): AsyncGenerator<Buffer> {
    const reader = { at: options.from ?? 0 };
    this.#readers.add(reader);
    this.#options.shelf.enter();
    return this.#readAs(reader, options);
  }

  async *#readAs(reader: { at: number }, { signal, isExact = false }: ReadOptions): AsyncGenerator<Buffer> {
    const member = this.#convoy.join(reader.at);
    const onAbort = (): void => {
      this.#wake();
      this.#convoy.release(member);
    };
    signal.addEventListener('abort', onAbort);
    try {
      for (;;) {
        await this.#abreast(reader.at, member);
        if (signal.aborted) throw new Fault('aborted', 'read was aborted', { cause: signal.reason });
        const seen = this.#changes;
        const slice = await this.#at(reader.at);
        if (slice !== undefined) {
          const { length } = slice.bytes;
          let isFree = false;
          try {
            yield slice.bytes;
            isFree = isExact;
          } finally {
            slice.giveBack(isFree);
          }
          reader.at += length;
          this.#convoy.move(member, reader.at);
          if (!this.#isKept) this.#wake();
        } else if (this.#state.kind === 'done') return;
        else if (this.#state.kind === 'failed') throw this.#state.fault;
        else if (seen === this.#changes) await this.#change();
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#readers.delete(reader);
      this.#convoy.leave(member);
      this.#options.shelf.leave();
      this.#wake();
      await this.#closeIfOver();
    }
  }

  /** Who would have to read from the file waits a little for those close behind. */
  async #abreast(at: number, member: Member): Promise<void> {
    if (this.#blocks !== undefined && at < this.#kept && !this.#blocks.has(at)) await this.#convoy.abreast(member);
  }

  /** As a reader that reads later: what is kept stays, and its maker goes on. */
  hold(): Disposable {
    const reader = { at: Number.POSITIVE_INFINITY };
    this.#readers.add(reader);
    return {
      [Symbol.dispose]: () => {
        this.#readers.delete(reader);
        this.#wake();
        // Closing a file can fail; nothing depends on it.
        this.#closeIfOver().catch(() => {});
      },
    };
  }

  /** Resolves when its maker is done, when not all of it can be kept, or when `signal` is aborted. */
  async made(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => {
      this.#wake();
    };
    signal.addEventListener('abort', onAbort);
    while (this.isMaking && this.#isKept && !signal.aborted) await this.#change();
    signal.removeEventListener('abort', onAbort);
  }

  /** Nobody new reads it; its room is given back when the last reader is done. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#closeIfOver();
  }

  async #keep(chunks: readonly Buffer[]): Promise<boolean> {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (this.#isClosed || !this.#options.room.take(bytes, this.#kept)) return false;
    const end = this.#kept + bytes;
    if (this.#file === undefined && end <= MEMORY_BYTES_MAX) {
      this.#memory.push(...chunks);
    } else {
      try {
        await this.#write(chunks);
      } catch {
        // A full disk ends the keeping, not the fetch.
        this.#options.room.giveBack(bytes);
        return false;
      }
    }
    this.#kept = end;
    this.#end = end;
    return true;
  }

  async #write(chunks: readonly Buffer[]): Promise<void> {
    if (this.#file === undefined) {
      const file = await openNameless(join(this.#options.directory, this.#options.name));
      try {
        await writeAt(file, this.#memory, 0);
      } catch (error) {
        await file.close();
        throw error;
      }
      this.#blocks = new Blocks(
        this.#options.shelf,
        async (buffer, place) => (await file.read(buffer, place)).bytesRead,
      );
      this.#file = file;
      this.#memory = [];
    }
    await writeAt(this.#file, chunks, this.#kept);
  }

  /** What there is from `at` on; undefined: nothing yet. */
  async #at(at: number): Promise<Slice | undefined> {
    if (at >= this.#kept) return at === this.#end ? lent(this.#passing) : undefined;
    if (this.#file === undefined) return lent(inMemory(this.#memory, at));
    let slice: Slice | undefined;
    try {
      slice = (await this.#blocks?.at(at, this.#kept)) ?? (await this.#readAlone(this.#file, at));
      if (slice.bytes.length === 0) throw new Fault('corrupt', 'kept pack is shorter than it was');
      return slice;
    } catch (cause) {
      slice?.giveBack(false);
      // Who comes next has it made anew.
      this.#isBroken = true;
      throw cause instanceof Fault ? cause : new Fault('corrupt', 'kept pack cannot be read', { cause });
    }
  }

  async #readAlone(file: FileHandle, at: number): Promise<Slice> {
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, this.#kept - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    return { bytes: buffer.subarray(0, bytesRead), giveBack() {} };
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeUps.add(resolve);
    });
  }

  #wake(): void {
    this.#changes += 1;
    const waiting = [...this.#wakeUps];
    this.#wakeUps.clear();
    for (const wakeUp of waiting) wakeUp();
  }

  async #closeIfOver(): Promise<void> {
    if (this.isWhole || this.isMaking || this.#readers.size > 0) return;
    this.#isClosed = true;
    const file = this.#file;
    this.#file = undefined;
    this.#blocks?.close();
    this.#memory = [];
    this.#options.room.giveBack(this.#kept);
    this.#kept = 0;
    await file?.close();
  }
}

function inMemory(chunks: readonly Buffer[], at: number): Buffer | undefined {
  let start = 0;
  for (const chunk of chunks) {
    if (at < start + chunk.length) return chunk.subarray(at - start);
    start += chunk.length;
  }
  return undefined;
}

function lent(bytes: Buffer | undefined): Slice | undefined {
  return bytes === undefined ? undefined : { bytes, giveBack() {} };
}

async function writeAt(file: FileHandle, chunks: readonly Buffer[], position: number): Promise<void> {
  let at = position;
  let left = [...chunks];
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left, at);
    at += bytesWritten;
    while (left[0] !== undefined && bytesWritten >= left[0].length) {
      bytesWritten -= left[0].length;
      left = left.slice(1);
    }
    if (left[0] !== undefined && bytesWritten > 0) left = [left[0].subarray(bytesWritten), ...left.slice(1)];
  }
}
