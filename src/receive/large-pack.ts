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
  const source = new Along(options, spool);
  const stop = source.stalled;
  try {
    const indexed = await indexPack(options, { objects, source, stop });
    return stop.aborted ? undefined : indexed;
  } catch (error) {
    if (stop.aborted && !options.signal.aborted && error instanceof Fault && error.code === 'aborted') return undefined;
    throw error;
  }
}

/** What the client sends, with a copy of it in the spool, for as long as it is not waited for too long. */
class Along implements PackSource {
  readonly #options: LargePackOptions;
  readonly #spool: Spool;
  readonly #stalled = new AbortController();
  #leftMs: number;

  constructor(options: LargePackOptions, spool: Spool) {
    this.#options = options;
    this.#spool = spool;
    this.#leftMs = options.limits.placeWaitsMs;
  }

  /** Aborted when git waited too long in all. */
  get stalled(): AbortSignal {
    return this.#stalled.signal;
  }

  async next(until: AbortSignal): Promise<Buffer | undefined> {
    // Some clients say nothing when they have sent everything: git works then, and is not waiting for them.
    if (this.#spool.isWhole) return undefined;
    const chunk = await this.#clientsTurn(until);
    if (chunk !== undefined) await this.#spool.take(chunk);
    return chunk;
  }

  async #clientsTurn(until: AbortSignal): Promise<Buffer | undefined> {
    const { clock, input } = this.#options;
    const beganMs = clock.monotonicMs();
    const cancel = clock.after(this.#leftMs, () => {
      this.#stalled.abort(new Fault('aborted', 'client is slow'));
    });
    try {
      return await input.next(until);
    } finally {
      cancel();
      this.#leftMs = Math.max(0, this.#leftMs - (clock.monotonicMs() - beganMs));
    }
  }
}

/** Up to the end of the pack. Undefined: it is all here. */
async function takeRest({ input, limits, signal }: LargePackOptions, spool: Spool): Promise<Refusal | undefined> {
  while (!spool.isWhole) {
    const chunk = await input.next();
    if (chunk === undefined) break; // git will say what is missing
    if (input.bytes > limits.packBytesMax) return refuse(`the pack is larger than ${limits.packBytesMax} bytes`);
    await spool.take(chunk);
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
