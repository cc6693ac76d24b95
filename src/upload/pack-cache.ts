/**
 * Identical fetches share one making: whoever asks for what is being made reads along, and for a while afterwards it is
 * kept. What is asked for is decided before (`admission.ts`): two requests that come here with the same words about the
 * same repository have been allowed the same objects, so permissions cannot leak through a kept pack; and a pack is whole
 * by itself, whatever becomes of the repository.
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { GitProcesses, GitSpec } from '../git/processes.ts';
import { announceLength, readChunk } from '../git/stream.ts';
import { AnswerTracker } from './answer-tracker.ts';
import { failureOf, goneOf, handOver, wordsOf, type Exchange, type ToGit } from './exchange.ts';
import { BlockShelf, free } from './blocks.ts';
import { MEMORY_BYTES_MAX, MadePack, type ReadOptions, type Room } from './made-pack.ts';
import { PatientPlace } from './patient-place.ts';
import { PlaceRace, type Racer } from './place-race.ts';
import { WaitingClient, type WaitingOptions } from './waiting.ts';
import type { Wire } from './wire.ts';

export type PackCacheResult = 'hit' | 'joined' | 'miss';

export interface PackCacheOptions {
  readonly processes: Pick<GitProcesses, 'start'>;
  /** Exists, and is this process's alone. */
  readonly directory: string;
  /** Bytes kept in all, in memory and in files; 0: identical fetches at the same time share a making, nothing is kept. */
  readonly bytesMax: number;
  /** Milliseconds for which an answer is kept that nobody asks for again. */
  readonly keepMs: number;
  readonly clock: Pick<Clock, 'after' | 'monotonicMs' | 'randomBytes'>;
  readonly onAsked?: (result: PackCacheResult) => void;
}

export interface Making {
  /** Everything that the answer depends on. */
  readonly words: readonly string[];
  readonly spec: GitSpec;
  /** Writes git's whole input. */
  readonly feed: (toGit: ToGit) => Promise<void>;
}

/** What git said, whole: it stays until it is let go. */
export interface HeldPack extends Disposable {
  /** Another one each time that it is made. */
  readonly name: string;
  readonly bytes: number;
  read(options: ReadOptions): AsyncGenerator<Buffer>;
}

/** Answers kept at once: each may hold a file open. */
const ENTRIES_MAX = 512;

/** Of the room, for one answer. */
const ANSWER_PART_MAX = 0.5;

/** Passed on together, unless it takes longer than this to come, in milliseconds. */
const GATHERED_BYTES = 512 * 1024;
const GATHERED_MS = 20;

interface Relayed {
  readonly pack: MadePack;
  readonly place: PatientPlace;
}

interface Pause {
  readonly over: Promise<'over'>;
  readonly cancel: () => void;
}

interface Entry {
  readonly pack: MadePack;
  readonly ending: AbortController;
  /** For a place to make it in. */
  readonly race: PlaceRace;
  cancelExpiry: () => void;
}

export class PackCache implements Room {
  readonly #options: PackCacheOptions;
  /** By key, least recently asked for first. */
  readonly #entries = new Map<string, Entry>();
  readonly #makings = new Set<Promise<void>>();
  readonly #shelf: BlockShelf;
  #bytes = 0;
  #part = 1;

  constructor(options: PackCacheOptions) {
    this.#options = options;
    this.#shelf = new BlockShelf({ clock: options.clock });
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Answers the fetch on `wire`. @throws Fault after telling the client where that is possible. */
  async serve(wire: Wire, making: Making & WaitingOptions & Pick<Exchange, 'still'>): Promise<void> {
    const tracker = new AnswerTracker();
    const waiting = new WaitingClient(wire, tracker, making);
    const { work } = wire.conversation;
    const entry = this.#find(making, { work, signal: wire.signal, tell: waiting.tell });
    // Then nobody waits, and nothing but these bytes is said.
    const isAtHand = entry.pack.isComplete;
    let isBegun = false;
    try {
      for await (const chunk of entry.pack.read({ signal: wire.signal, isExact: wire.isExact })) {
        if (!isBegun) {
          await making.still();
          if (isAtHand && wire.bytesOut === 0)
            announceLength(wire.conversation.output, waiting.lengthOf(entry.pack.bytes));
        }
        isBegun = true;
        const rest = await waiting.rest(chunk);
        if (rest.length > 0) await wire.writeThrough(rest);
        tracker.take(rest);
      }
    } catch (cause) {
      const fault = wire.signal.aborted ? goneOf(wire) : cause;
      if (fault instanceof Fault) await wire.lastWords(tracker.lastWords(wordsOf(fault, wire)));
      throw fault;
    } finally {
      // Nobody waits for it any more.
      if (entry.pack.isMaking && entry.pack.readers === 0)
        entry.ending.abort(new Fault('aborted', 'no client is left'));
    }
  }

  /** All that git answers, made first where it is not at hand; undefined where it cannot be kept. @throws Fault */
  async hold(making: Making, racer: Racer): Promise<HeldPack | undefined> {
    if (this.#options.bytesMax === 0) return undefined;
    const { signal } = racer;
    const { pack, ending } = this.#find(making, racer);
    const hold = pack.hold();
    const letGo = (): void => {
      hold[Symbol.dispose]();
      if (pack.isMaking && pack.readers === 0) ending.abort(new Fault('aborted', 'no client is left'));
    };
    await pack.made(signal);
    if (signal.aborted || !pack.isComplete) {
      letGo();
      if (signal.aborted) throw new Fault('aborted', 'client is gone', { cause: signal.reason });
      if (pack.fault?.code === 'busy') throw pack.fault;
      return undefined;
    }
    return { name: pack.name, bytes: pack.bytes, read: (options) => pack.read(options), [Symbol.dispose]: letGo };
  }

  /** Only this part of the room is used from here on, from 0 to 1: what nobody reads just now goes at once. */
  shrink(part: number): void {
    this.#part = part;
    this.#makeRoom(0);
    if (part < 1) this.#shelf.clear();
  }

  take(bytes: number, held: number): boolean {
    const bytesMax = this.#options.bytesMax * this.#part;
    // All others would go for one that in the end may not fit either.
    if (held + bytes > bytesMax * ANSWER_PART_MAX) return false;
    this.#makeRoom(bytes);
    if (this.#bytes + bytes > bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  #makeRoom(bytes: number): void {
    const bytesMax = this.#options.bytesMax * this.#part;
    for (const [key, { pack }] of this.#entries) {
      if (this.#bytes + bytes <= bytesMax) break;
      if (!pack.isMaking && pack.readers === 0) this.#drop(key);
    }
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Ends what is being made and keeps nothing. */
  async close(): Promise<void> {
    for (const [key, { ending }] of this.#entries) {
      ending.abort(new Fault('aborted', 'gate is closing', { publicMessage: 'the server is shutting down' }));
      this.#drop(key);
    }
    await Promise.all(this.#makings);
    this.#shelf.clear();
  }

  #find(making: Making, racer: Racer): Entry {
    const key = createHash('sha256').update(JSON.stringify(making.words)).digest('hex');
    const known = this.#entries.get(key);
    if (known?.pack.isWhole === true && !known.ending.signal.aborted) {
      this.#options.onAsked?.(known.pack.isMaking ? 'joined' : 'hit');
      // Last in the order of who goes first.
      this.#entries.delete(key);
      this.#entries.set(key, known);
      this.#expireLater(key, known);
      if (known.pack.isMaking) known.race.join(racer);
      return known;
    }
    this.#options.onAsked?.('miss');
    if (known !== undefined) this.#drop(key);
    const entry = this.#begin(key, making);
    entry.race.join(racer);
    return entry;
  }

  #begin(key: string, making: Making): Entry {
    const name = this.#options.clock.randomBytes(16).toString('hex');
    const { directory, clock } = this.#options;
    const pack = new MadePack({ directory, room: this, name, shelf: this.#shelf, clock });
    const ending = new AbortController();
    const entry: Entry = { pack, ending, race: new PlaceRace(ending.signal), cancelExpiry: () => {} };
    this.#entries.set(key, entry);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > ENTRIES_MAX && oldest.done !== true) this.#drop(oldest.value);
    const made = this.#make(entry, making).finally(() => {
      this.#makings.delete(made);
      // What failed, and what could not be kept whole, is of no use to who comes later.
      if (this.#entries.get(key) !== entry) return;
      if (pack.isWhole && this.#options.bytesMax > 0) this.#expireLater(key, entry);
      else this.#drop(key);
    });
    this.#makings.add(made);
    return entry;
  }

  /** Never rejects: the readers are told. */
  async #make({ pack, ending, race }: Entry, { spec, feed }: Making): Promise<void> {
    try {
      const { signal } = ending;
      using place = new PatientPlace(await race.place, this.#options.clock);
      await using child = await this.#options.processes.start({ ...spec, signal });
      child.stdin.on('error', () => {});
      child.stdout.on('error', () => {});
      const feeding = feed((bytes) => handOver(child.stdin, bytes, signal)).then(() => child.stdin.end());
      const relaying = this.#relay({ pack, place }, child.stdout, signal);
      const [fed, relayed] = await Promise.allSettled([feeding, relaying]);
      const causes = [fed, relayed].flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
      if (causes.length > 0) ending.abort(causes[0]);
      const exit = await child.exit;
      pack.finish(failureOf({ exit, spec, causes }));
    } catch (cause) {
      pack.finish(cause instanceof Fault ? cause : new Fault('process', 'git failed', { cause }));
    }
  }

  /** Once an answer is too long for memory, several chunks go to the file and to the readers together. */
  async #relay({ pack, place }: Relayed, stdout: Readable, signal: AbortSignal): Promise<void> {
    let gathered: Buffer[] = [];
    let pause: Pause | undefined;
    const pass = async (): Promise<void> => {
      const chunks = gathered;
      gathered = [];
      pause?.cancel();
      pause = undefined;
      // Waits for readers where not all is kept.
      place.beginTurn();
      try {
        if (chunks.length > 0 && (await pack.add(...chunks))) for (const chunk of chunks) free(chunk);
      } finally {
        place.endTurn();
      }
    };
    for (;;) {
      const next = readChunk(stdout, signal);
      if (pause !== undefined && (await Promise.race([next.then(isChunk), pause.over])) === 'over') await pass();
      const chunk = await next;
      if (chunk === undefined) break;
      gathered.push(chunk);
      const bytes = gathered.reduce((sum, { length }) => sum + length, 0);
      if (pack.bytes + bytes <= MEMORY_BYTES_MAX || bytes >= GATHERED_BYTES) await pass();
      else pause ??= this.#pause();
    }
    await pass();
  }

  #pause(): Pause {
    const { promise, resolve } = Promise.withResolvers<'over'>();
    const cancel = this.#options.clock.after(GATHERED_MS, () => {
      resolve('over');
    });
    return { over: promise, cancel };
  }

  #expireLater(key: string, entry: Entry): void {
    entry.cancelExpiry();
    entry.cancelExpiry = this.#options.clock.after(this.#options.keepMs, () => {
      if (this.#entries.get(key) !== entry) return;
      if (entry.pack.isMaking) this.#expireLater(key, entry);
      else this.#drop(key);
    });
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    entry.cancelExpiry();
    // Closing a file can fail; nothing depends on it.
    entry.pack.close().catch(() => {});
  }
}

function isChunk(): 'chunk' {
  return 'chunk';
}
