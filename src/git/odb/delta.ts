/** Deltas as packs hold them (gitformat-pack, "Deltified representation"): copies from a base, and new bytes. */
import type { Stint } from '../../base/stint.ts';
import { BeyondReach } from './odb.ts';

/** Instructions between two looks at the clock. */
const SLICE = 10_000;
/** git takes no shorter one (delta.h, DELTA_SIZE_MIN). */
const DELTA_BYTES_MIN = 4;

export interface DeltaSizes {
  readonly base: number;
  readonly result: number;
  /** Where the instructions begin. */
  readonly at: number;
}

/** The sizes at the beginning of a delta; undefined where `bytes` ends before them. @throws BeyondReach */
export function parseDeltaSizes(bytes: Buffer): DeltaSizes | undefined {
  const base = parseSize(bytes, 0);
  const result = base === undefined ? undefined : parseSize(bytes, base.at);
  if (base === undefined || result === undefined) return undefined;
  return { base: base.size, result: result.size, at: result.at };
}

function parseSize(bytes: Buffer, start: number): { readonly size: number; readonly at: number } | undefined {
  let size = 0;
  let factor = 1;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    size += (byte & 0x7f) * factor;
    if (size > Number.MAX_SAFE_INTEGER || factor > 2 ** 56) throw new BeyondReach('delta has an absurd size');
    if (byte < 0x80) return { size, at: at + 1 };
    factor *= 128;
  }
  return undefined;
}

/** What `delta` makes of `base`: exactly the size that it says, at most `bytesMax`. @throws BeyondReach */
export async function applyDelta(
  { base, delta, bytesMax }: { readonly base: Buffer; readonly delta: Buffer; readonly bytesMax: number },
  stint: Stint,
): Promise<Buffer> {
  const sizes = parseDeltaSizes(delta);
  if (sizes === undefined || delta.length < DELTA_BYTES_MIN) throw broken();
  if (sizes.base !== base.length) throw broken();
  if (sizes.result > bytesMax) throw new BeyondReach('object is too large');
  const run = new DeltaRun(base, delta, sizes);
  while (!run.advance(SLICE)) if (stint.isOver) await stint.rest();
  return run.result;
}

class DeltaRun {
  readonly result: Buffer;
  readonly #base: Buffer;
  readonly #delta: Buffer;
  #at: number;
  #filled = 0;

  constructor(base: Buffer, delta: Buffer, { result, at }: DeltaSizes) {
    this.result = Buffer.allocUnsafeSlow(result);
    this.#base = base;
    this.#delta = delta;
    this.#at = at;
  }

  /** Obeys up to `count` instructions; whether all is done. */
  advance(count: number): boolean {
    const delta = this.#delta;
    for (let done = 0; done < count; done += 1) {
      if (this.#at === delta.length) {
        if (this.#filled !== this.result.length) throw broken();
        return true;
      }
      const instruction = delta[this.#at] ?? 0;
      this.#at += 1;
      if (instruction === 0) throw broken();
      if (instruction >= 0x80) this.#copy(instruction);
      else this.#insert(instruction);
    }
    return false;
  }

  #insert(length: number): void {
    const end = this.#at + length;
    if (end > this.#delta.length || this.#filled + length > this.result.length) throw broken();
    this.#delta.copy(this.result, this.#filled, this.#at, end);
    this.#at = end;
    this.#filled += length;
  }

  #copy(instruction: number): void {
    let offset = 0;
    for (let bit = 0; bit < 4; bit += 1) if ((instruction & (1 << bit)) !== 0) offset += this.#byte() * 2 ** (8 * bit);
    let length = 0;
    for (let bit = 0; bit < 3; bit += 1)
      if ((instruction & (0x10 << bit)) !== 0) length += this.#byte() * 2 ** (8 * bit);
    if (length === 0) length = 0x1_00_00;
    if (offset + length > this.#base.length || this.#filled + length > this.result.length) throw broken();
    this.#base.copy(this.result, this.#filled, offset, offset + length);
    this.#filled += length;
  }

  #byte(): number {
    const byte = this.#delta[this.#at];
    if (byte === undefined) throw broken();
    this.#at += 1;
    return byte;
  }
}

function broken(): BeyondReach {
  return new BeyondReach('delta does not fit its base');
}
