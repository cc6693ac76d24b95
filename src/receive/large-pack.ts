/**
 * A pack that git takes, in a place for work which is never held while the client is waited for long. Where a place is free git
 * reads along as the bytes come; where none is, or the client turns out to be slow, the bytes wait in a spool, and git begins
 * when all of them are here. docs/decisions/116.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, refuse, type Refusal } from '../base/fault.ts';
import { indexPack, type Indexed, type IndexOptions, type PackSource } from './index-pack.ts';
import type { PushPlace } from './push-place.ts';
import { Spool } from './spool.ts';

export interface LargePackOptions extends IndexOptions {
  /** Held when the pack is taken. Absent: nobody has to wait, and git reads what comes. */
  readonly place?: Pick<PushPlace, 'takeIfFree' | 'take' | 'giveBack'> | undefined;
}

/** The pack in the quarantine, or why it cannot be taken. @throws Fault `aborted`, `timeout`, `busy`. */
export async function takeLarge(options: LargePackOptions, objects: number): Promise<Indexed | Refusal> {
  const { place, input, quarantine, repository } = options;
  if (place === undefined) return indexPack(options, { objects, source: input });
  await using spool = new Spool(quarantine.objectDirectory, repository.objectFormat);
  if (place.takeIfFree()) {
    const indexed = await readAlong(options, spool, objects);
    if (indexed !== undefined) return indexed;
    place.giveBack();
    await removeUnfinished(quarantine.objectDirectory);
  }
  const refused = await takeRest(options, spool);
  if (refused !== undefined) return refused;
  await place.take();
  return await indexPack(options, { objects, source: sourceOf(spool.chunks()) });
}

/** Undefined where the client made git wait for too long: everything that came is in the spool. */
async function readAlong(
  options: LargePackOptions,
  spool: Spool,
  objects: number,
): Promise<Indexed | Refusal | undefined> {
  const source = new Sender(options, spool, options.limits.placeWaitsMs);
  const stop = source.stalled;
  try {
    return await indexPack(options, { objects, source, stop });
  } catch (error) {
    if (stop.aborted && !options.signal.aborted && error instanceof Fault && error.code === 'aborted') return undefined;
    throw error;
  }
}

/** Silence after which it is looked whether the pack is over: some clients do not say so. In milliseconds. */
const QUIET_MS = 50;

/** What the client sends, up to the end of the pack and with a copy of it in the spool. */
class Sender implements PackSource {
  readonly #options: LargePackOptions;
  readonly #spool: Spool;
  readonly #over = new AbortController();
  readonly #stalled = new AbortController();
  #ends: AbortSignal | undefined;
  #leftMs: number;

  /** @param patienceMs for how long in all it may be waited for; undefined: as the input says. */
  constructor(options: LargePackOptions, spool: Spool, patienceMs = Infinity) {
    this.#options = options;
    this.#spool = spool;
    this.#leftMs = patienceMs;
  }

  /** Aborted when it was waited for too long. */
  get stalled(): AbortSignal {
    return this.#stalled.signal;
  }

  /** @param until the same each time */
  async next(until?: AbortSignal): Promise<Buffer | undefined> {
    this.#ends ??= until === undefined ? this.#over.signal : AbortSignal.any([until, this.#over.signal]);
    const { clock, input } = this.#options;
    const beganMs = clock.monotonicMs();
    const cancel = this.#watch();
    let chunk: Buffer | undefined;
    try {
      chunk = await input.next(this.#ends);
    } finally {
      cancel();
      this.#leftMs = Math.max(0, this.#leftMs - (clock.monotonicMs() - beganMs));
    }
    if (chunk !== undefined) await this.#spool.take(chunk);
    return chunk;
  }

  /** Ends the wait for the next chunk where there is none, or git's where it takes too long. Returns what ends this. */
  #watch(): () => void {
    const { clock } = this.#options;
    const leftMs = this.#leftMs;
    const stall = (): void => this.#stalled.abort(new Fault('aborted', 'client is slow'));
    const look = (): void => {
      if (this.#spool.isWhole) this.#over.abort();
      else if (leftMs <= QUIET_MS) stall();
      else if (leftMs !== Infinity) cancel = clock.after(leftMs - QUIET_MS, stall);
    };
    // Who drips is waited for by a little, again and again.
    let cancel = clock.after(Math.min(QUIET_MS, leftMs), look);
    return () => {
      cancel();
    };
  }
}

/** Up to the end of the pack. Undefined: it is all here, or git will say what is missing. */
async function takeRest(options: LargePackOptions, spool: Spool): Promise<Refusal | undefined> {
  const { input, limits, signal } = options;
  const sender = new Sender(options, spool);
  while ((await sender.next()) !== undefined) {
    if (input.bytes > limits.packBytesMax) return refuse(`the pack is larger than ${limits.packBytesMax} bytes`);
  }
  if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
  return undefined;
}

function sourceOf(chunks: AsyncGenerator<Buffer, void, undefined>): PackSource {
  return { next: async () => (await chunks.next()).value ?? undefined };
}

/** What git had written when it was ended: the spool has all of it, and the disk need not have it twice. */
async function removeUnfinished(objectDirectory: string): Promise<void> {
  const directory = join(objectDirectory, 'pack');
  const names = await readdir(directory).catch(() => []);
  const unfinished = names.filter((name) => name.startsWith('tmp_'));
  for (const name of unfinished) await rm(join(directory, name), { force: true }).catch(() => {});
}
