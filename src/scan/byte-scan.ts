/**
 * One stream of bytes, looked at in every way in which it may be read: as it is; without its NUL bytes, which turns
 * UTF-16 of either order, with or without a mark and wherever it begins, into plain letters; and what Base64 and
 * hexadecimal stretches decode to.
 */
import type { CompiledRule, CompiledRules } from './compiled-rules.ts';
import { findEncodedRuns, isEncodedByte } from './encoded-runs.ts';
import type { FindingCollector } from './finding-collector.ts';
import { runGuarded, type Guarded } from './step-guard.ts';
import { TextScan } from './text-scan.ts';

/** What all streams of one item share. */
export interface ItemContext {
  readonly rules: CompiledRules;
  readonly collector: FindingCollector;
  /** Rules that V8 was too slow for in this item. */
  readonly slow: Set<number>;
  /** Number of the item in its batch. */
  readonly item: number;
}

export interface StreamPlace {
  /** In an archive, else empty. */
  readonly inner: string;
  /** Whose pattern of paths is asked. */
  readonly path: string;
}

/** Encoded bytes kept of a stretch that goes on in the next piece. */
const ENCODED_TAIL_BYTES = 4 * 1024;

export class ByteScan {
  readonly #context: ItemContext;
  readonly #place: StreamPlace;
  readonly #concerns: (rule: CompiledRule) => boolean;
  readonly #raw: TextScan;
  #squeezed: TextScan | undefined;
  #encodedTail: Buffer = Buffer.alloc(0);

  constructor(context: ItemContext, place: StreamPlace) {
    this.#context = context;
    this.#place = place;
    const known = new Map<CompiledRule, boolean>();
    this.#concerns = (rule) => {
      if (rule.path === undefined) return true;
      const answer = known.get(rule) ?? rule.path.test(place.path);
      known.set(rule, answer);
      return answer;
    };
    this.#raw = this.#open(0);
  }

  /** Takes a piece; what is returned must be run before the next one. */
  feed(piece: Buffer, last: boolean): readonly Guarded[] {
    this.#raw.feed(piece, last);
    const texts = [this.#raw];
    if (piece.includes(0) || this.#squeezed !== undefined) {
      this.#squeezed ??= this.#open(this.#raw.linesBeforePiece);
      this.#squeezed.feed(squeeze(piece), last);
      texts.push(this.#squeezed);
    }
    return [...texts, ...this.#decoded(piece)].map((text) => ({ text, slow: this.#context.slow }));
  }

  /** Feeds and runs. */
  scan(piece: Buffer, last: boolean): void {
    runGuarded(this.feed(piece, last));
  }

  #decoded(piece: Buffer): readonly TextScan[] {
    const tail = this.#encodedTail;
    const bytes = tail.length === 0 ? piece : Buffer.concat([tail, piece]);
    const runs = findEncodedRuns(bytes);
    this.#encodedTail = encodedTail(bytes);
    if (runs.length === 0) return [];
    let line = this.#raw.linesBeforePiece + 1;
    let seen = tail.length;
    return runs.map(({ start, decoded }) => {
      for (let at = bytes.indexOf(10, seen); at >= 0 && at < start; at = bytes.indexOf(10, seen)) {
        line += 1;
        seen = at + 1;
      }
      const text = this.#open(0, line);
      text.feed(decoded, true);
      return text;
    });
  }

  #open(linesBefore: number, line?: number): TextScan {
    const at = { inner: this.#place.inner, ...(line === undefined ? {} : { line }) };
    return new TextScan({
      rules: this.#context.rules,
      concerns: this.#concerns,
      found: (candidate) => this.#context.collector.take(candidate, at),
      linesBefore,
      item: this.#context.item,
    });
  }
}

function squeeze(piece: Buffer): Buffer {
  const out = Buffer.allocUnsafe(piece.length);
  let length = 0;
  for (const byte of piece) {
    if (byte === 0) continue;
    out[length] = byte;
    length += 1;
  }
  return out.subarray(0, length);
}

/** The end of a stretch that goes on in the next piece; where in it the groups of four begin is tried out. */
function encodedTail(bytes: Buffer): Buffer {
  const limit = Math.max(0, bytes.length - ENCODED_TAIL_BYTES);
  let start = bytes.length;
  while (start > limit && isEncodedByte(bytes[start - 1])) start -= 1;
  return Buffer.from(bytes.subarray(start));
}
