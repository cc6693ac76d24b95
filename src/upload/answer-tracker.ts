/**
 * Follows the pkt-lines of an answer as it streams by, to know whether an error can still be said in the protocol,
 * and how: as an ERR pkt, on sideband 3, or not at all (in the middle of a pkt, or of a pack without sideband).
 */
import { encodePkt } from '../git/pkt-line.ts';

const LENGTH_DIGITS = 4;
/** Enough of a payload to tell a band from a section header. */
const SAMPLE_BYTES = 9;
const NOTHING = Buffer.alloc(0);
const TEXT_CHARACTERS_MAX = 900;
/** By character code; 255: no digit. */
const HEX = Uint8Array.from({ length: 256 }, (_, code) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCodePoint(code));
  return digit < 0 ? 255 : digit;
});

export class AnswerTracker {
  /** The length digits and the first bytes of the pkt that is passing. */
  #head = '';
  /** Bytes of the pkt still to come, once its length is known. */
  #missing: number | undefined;
  #isLost = false;
  #onSideband = false;

  take(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length && !this.#isLost) {
      // Whole pkts of a pack: nothing of them is looked at but their length.
      if (this.#onSideband && this.#head === '' && this.#missing === undefined) {
        const length = lengthAt(chunk, offset);
        if (length > LENGTH_DIGITS && offset + length <= chunk.length) {
          offset += length;
          continue;
        }
      }
      offset += this.#missing === undefined ? this.#takeLength(chunk, offset) : this.#takePayload(chunk, offset);
    }
  }

  /** `text` as the client would understand it here; nothing where it would not. */
  lastWords(text: string): Buffer {
    if (this.#isLost || this.#head !== '') return NOTHING;
    const short = text.slice(0, TEXT_CHARACTERS_MAX);
    return encodePkt(this.#onSideband ? `\u0003${short}\n` : `ERR ${short}\n`);
  }

  #takeLength(chunk: Buffer, offset: number): number {
    const count = Math.min(LENGTH_DIGITS - this.#head.length, chunk.length - offset);
    this.#head += chunk.toString('latin1', offset, offset + count);
    if (this.#head.length < LENGTH_DIGITS) return count;
    const length = Number.parseInt(this.#head, 16);
    if (!/^[0-9a-f]{4}$/i.test(this.#head)) this.#isLost = true;
    else if (length <= LENGTH_DIGITS) this.#head = '';
    else this.#missing = length - LENGTH_DIGITS;
    return count;
  }

  #takePayload(chunk: Buffer, offset: number): number {
    const missing = this.#missing ?? 0;
    const count = Math.min(missing, chunk.length - offset);
    const sample = Math.min(count, LENGTH_DIGITS + SAMPLE_BYTES - this.#head.length);
    if (sample > 0) this.#head += chunk.toString('latin1', offset, offset + sample);
    this.#missing = missing - count;
    if (this.#missing > 0) return count;
    const start = this.#head.slice(LENGTH_DIGITS);
    if (start === 'packfile\n' || /^[\u0001\u0002]/.test(start)) this.#onSideband = true;
    this.#head = '';
    this.#missing = undefined;
    return count;
  }
}

/** What the four digits at `offset` say; 0 where they are none, or not all there. */
function lengthAt(chunk: Buffer, offset: number): number {
  if (offset + LENGTH_DIGITS > chunk.length) return 0;
  let length = 0;
  for (let at = offset; at < offset + LENGTH_DIGITS; at += 1) {
    const digit = HEX[chunk[at] ?? 0] ?? 255;
    if (digit > 15) return 0;
    length = length * 16 + digit;
  }
  return length;
}
