/**
 * One answer of git, written down while it is made, for as many readers as ask for the same meanwhile and afterwards.
 * Its maker waits for nobody: a slow reader reads from the file later. Only where nothing more can be kept (the cache is
 * full, the disk is full) does it go on in step with its slowest reader.
 */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';

/** An answer up to this size stays in memory: most fetches of CI and people. */
export const MEMORY_BYTES_MAX = 256 * 1024;
/** Read from the file at once. */
const READ_BYTES = 256 * 1024;

/** Where the bytes of all kept answers are counted. */
export interface Room {
  /** Takes room for `bytes` more; false where there is none. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

export interface MadePackOptions {
  /** For files, which have no name: nothing is left of them when the process ends. */
  readonly directory: string;
  readonly room: Room;
  readonly name: string;
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
  #state: State = { kind: 'making' };
  #memory: Buffer[] = [];
  #file: FileHandle | undefined;
  /** Bytes in memory or in the file. */
  #kept = 0;
  /** Where the answer has come to: beyond `#kept` it was passed on only. */
  #end = 0;
  /** What is passed on without being kept, from `#end` on. */
  #passing: Buffer | undefined;
  #isKept = true;
  #isClosed = false;

  constructor(options: MadePackOptions) {
    this.#options = options;
  }

  /** Whether who comes now can still read it from its beginning. */
  get isWhole(): boolean {
    return this.#isKept && !this.#isClosed && this.#state.kind !== 'failed';
  }

  get isMaking(): boolean {
    return this.#state.kind === 'making';
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Bytes kept. */
  get bytes(): number {
    return this.#kept;
  }

  /** The maker's next bytes; resolves when it may go on. @throws Fault `aborted` where nobody reads any more. */
  async add(chunk: Buffer): Promise<void> {
    if (this.#isKept && (await this.#keep(chunk))) {
      this.#wake();
      return;
    }
    this.#isKept = false;
    this.#passing = chunk;
    this.#wake();
    const end = this.#end + chunk.length;
    while ([...this.#readers].some(({ at }) => at < end)) await this.#change();
    if (this.#readers.size === 0) throw new Fault('aborted', 'nobody reads the pack any more');
    this.#passing = undefined;
    this.#end = end;
  }

  /** The maker is done: `fault` says why not with the whole of it. */
  finish(fault?: Fault): void {
    this.#state = fault === undefined ? { kind: 'done' } : { kind: 'failed', fault };
    this.#wake();
  }

  /**
   * Every byte from the beginning, as it is there; ends with the answer. A reader from this call on, so it has to be
   * read to its end or returned. The generator throws the maker's Fault, or `aborted`.
   */
  read(signal: AbortSignal): AsyncGenerator<Buffer> {
    const reader = { at: 0 };
    this.#readers.add(reader);
    return this.#readAs(reader, signal);
  }

  async *#readAs(reader: { at: number }, signal: AbortSignal): AsyncGenerator<Buffer> {
    const onAbort = (): void => {
      this.#wake();
    };
    signal.addEventListener('abort', onAbort);
    try {
      for (;;) {
        if (signal.aborted) throw new Fault('aborted', 'read was aborted', { cause: signal.reason });
        const seen = this.#changes;
        const chunk = await this.#at(reader.at);
        if (chunk !== undefined) {
          yield chunk;
          reader.at += chunk.length;
          if (!this.#isKept) this.#wake();
        } else if (this.#state.kind === 'done') return;
        else if (this.#state.kind === 'failed') throw this.#state.fault;
        else if (seen === this.#changes) await this.#change();
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#readers.delete(reader);
      this.#wake();
      await this.#closeIfOver();
    }
  }

  /** Nobody new reads it; its room is given back when the last reader is done. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#closeIfOver();
  }

  async #keep(chunk: Buffer): Promise<boolean> {
    if (this.#isClosed || !this.#options.room.take(chunk.length)) return false;
    const end = this.#kept + chunk.length;
    if (this.#file === undefined && end <= MEMORY_BYTES_MAX) {
      this.#memory.push(chunk);
    } else {
      try {
        await this.#write(chunk);
      } catch {
        // A full disk ends the keeping, not the fetch.
        this.#options.room.giveBack(chunk.length);
        return false;
      }
    }
    this.#kept = end;
    this.#end = end;
    return true;
  }

  async #write(chunk: Buffer): Promise<void> {
    if (this.#file === undefined) {
      const file = await openNameless(join(this.#options.directory, this.#options.name));
      try {
        await writeAt(file, Buffer.concat(this.#memory), 0);
      } catch (error) {
        await file.close();
        throw error;
      }
      this.#file = file;
      this.#memory = [];
    }
    await writeAt(this.#file, chunk, this.#kept);
  }

  /** What there is from `at` on; undefined: nothing yet. */
  async #at(at: number): Promise<Buffer | undefined> {
    if (at >= this.#kept) return at === this.#end ? this.#passing : undefined;
    const file = this.#file;
    if (file === undefined) return inMemory(this.#memory, at);
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, this.#kept - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw new Fault('corrupt', 'kept pack is shorter than it was');
    return buffer.subarray(0, bytesRead);
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

/** A file without a name from the first moment on that matters: a crash leaves nothing to tidy up. */
async function openNameless(path: string): Promise<FileHandle> {
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}

async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
