/** The index of a pack, version 2 (gitformat-pack, "Version 2 pack-*.idx files"): where in the pack an object begins. */
import type { ObjectFormat } from '../oid.ts';
import type { OpenFile } from './files.ts';
import { BeyondReach } from './odb.ts';

const MAGIC = 0xff_74_4f_63;
const FAN_OUT_AT = 8;
const OIDS_AT = FAN_OUT_AT + 4 * 256;
const CRC_BYTES = 4;
/** An offset with this bit is the number of one of 64 bits, in the table that follows. */
const WIDE = 0x80_00_00_00;
/** Reads for one look-up; a binary search among 2^32 objects needs far fewer. */
const READS_MAX = 128;

/** An answer, or what has to be read for one. */
type Answer = number | { readonly offset: number; readonly length: number };

/** There is no such object in this pack. */
export const ABSENT = -1;

export class PackIndex {
  readonly objectCount: number;
  /** The checksum that the pack ends with. */
  readonly packChecksum: Buffer;
  readonly #file: OpenFile;
  readonly #fanOut: Uint32Array;
  readonly #oidBytes: number;
  readonly #offsetsAt: number;
  readonly #wideAt: number;
  readonly #wideCount: number;

  /** As git takes it: version, fan-out and size have to fit. @throws BeyondReach, Vanished */
  static async open(file: OpenFile, format: ObjectFormat): Promise<PackIndex> {
    const oidBytes = format === 'sha1' ? 20 : 32;
    const size = file.size();
    if (size < OIDS_AT + 2 * oidBytes) throw new BeyondReach('pack index is too short');
    const head = await file.bytes(0, OIDS_AT);
    if (head.readUInt32BE(0) !== MAGIC || head.readUInt32BE(4) !== 2)
      throw new BeyondReach('pack index is of another version');
    const fanOut = new Uint32Array(256);
    let count = 0;
    for (let byte = 0; byte < 256; byte += 1) {
      const next = head.readUInt32BE(FAN_OUT_AT + 4 * byte);
      if (next < count) throw new BeyondReach('pack index is not sorted');
      fanOut[byte] = next;
      count = next;
    }
    const least = OIDS_AT + count * (oidBytes + CRC_BYTES + 4) + 2 * oidBytes;
    const wideBytes = size - least;
    if (wideBytes < 0 || wideBytes % 8 !== 0 || wideBytes > Math.max(0, count - 1) * 8) {
      throw new BeyondReach('pack index has another size than its objects');
    }
    const packChecksum = Buffer.from(await file.bytes(size - 2 * oidBytes, oidBytes));
    return new PackIndex(file, { oidBytes, fanOut, count, wideCount: wideBytes / 8, packChecksum });
  }

  private constructor(
    file: OpenFile,
    parts: {
      readonly oidBytes: number;
      readonly fanOut: Uint32Array;
      readonly count: number;
      readonly wideCount: number;
      readonly packChecksum: Buffer;
    },
  ) {
    this.#file = file;
    this.#oidBytes = parts.oidBytes;
    this.#fanOut = parts.fanOut;
    this.objectCount = parts.count;
    this.packChecksum = parts.packChecksum;
    this.#offsetsAt = OIDS_AT + parts.count * (parts.oidBytes + CRC_BYTES);
    this.#wideAt = this.#offsetsAt + parts.count * 4;
    this.#wideCount = parts.wideCount;
  }

  /** The offset of the object in its pack, or `ABSENT`; undefined where the index has to be read for it. @throws BeyondReach */
  findNow(key: Buffer): number | undefined {
    const answer = this.#attempt(key);
    return typeof answer === 'number' ? answer : undefined;
  }

  /** @throws BeyondReach, Vanished */
  async find(key: Buffer): Promise<number> {
    for (let reads = 0; reads < READS_MAX; reads += 1) {
      const answer = this.#attempt(key);
      if (typeof answer === 'number') return answer;
      await this.#file.bytes(answer.offset, answer.length);
    }
    throw new BeyondReach('pack index does not stay in memory');
  }

  /** git's own binary search, so that a table out of order gives the answer that it gives to git. */
  #attempt(key: Buffer): Answer {
    const bucket = key[0] ?? 0;
    let low = bucket === 0 ? 0 : (this.#fanOut[bucket - 1] ?? 0);
    let high = this.#fanOut[bucket] ?? 0;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const offset = OIDS_AT + middle * this.#oidBytes;
      const oid = this.#file.now(offset, this.#oidBytes);
      if (oid === undefined) return { offset, length: this.#oidBytes };
      const order = oid.compare(key);
      if (order === 0) return this.#offsetOf(middle);
      if (order > 0) high = middle;
      else low = middle + 1;
    }
    return ABSENT;
  }

  #offsetOf(position: number): Answer {
    const offset = this.#offsetsAt + 4 * position;
    const bytes = this.#file.now(offset, 4);
    if (bytes === undefined) return { offset, length: 4 };
    const narrow = bytes.readUInt32BE(0);
    return narrow < WIDE ? narrow : this.#wideOffsetOf(narrow - WIDE);
  }

  #wideOffsetOf(number: number): Answer {
    if (number >= this.#wideCount) throw new BeyondReach('pack index points beyond itself');
    const offset = this.#wideAt + 8 * number;
    const bytes = this.#file.now(offset, 8);
    if (bytes === undefined) return { offset, length: 8 };
    const wide = bytes.readBigUInt64BE(0);
    if (wide > BigInt(Number.MAX_SAFE_INTEGER)) throw new BeyondReach('pack index points beyond its pack');
    return Number(wide);
  }
}
