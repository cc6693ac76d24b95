/** A set of oids of one format in one flat buffer: a million of them are tens of megabytes, not hundreds. */
import { type ObjectFormat, oidHexLength } from '../git/oid.ts';

const FIRST_SLOTS = 1_024;

export class OidSet {
  readonly #width: number;
  #slots: Buffer;
  #mask: number;
  #size = 0;
  readonly #probe: Buffer;

  constructor(format: ObjectFormat) {
    this.#width = oidHexLength(format) / 2;
    this.#slots = Buffer.alloc(FIRST_SLOTS * this.#width);
    this.#mask = FIRST_SLOTS - 1;
    this.#probe = Buffer.alloc(this.#width);
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#slots.byteLength;
  }

  /** @param oid full lower-case hex of the set's format; the null oid is never a member. */
  add(oid: string): void {
    if ((this.#size + 1) * 4 > (this.#mask + 1) * 3) this.#grow();
    this.#probe.write(oid, 'hex');
    if (this.#insert(this.#probe)) this.#size += 1;
  }

  has(oid: string): boolean {
    this.#probe.write(oid, 'hex');
    const at = this.#find(this.#probe);
    return !this.#isEmpty(this.#slots, at);
  }

  #insert(oid: Buffer): boolean {
    const at = this.#find(oid);
    if (!this.#isEmpty(this.#slots, at)) return false;
    oid.copy(this.#slots, at);
    return true;
  }

  /** Byte offset of the slot that holds `oid`, or of the empty one where it would be. */
  #find(oid: Buffer): number {
    let slot = oid.readUInt32LE(0) & this.#mask;
    for (;;) {
      const at = slot * this.#width;
      if (this.#isEmpty(this.#slots, at) || oid.compare(this.#slots, at, at + this.#width) === 0) return at;
      slot = (slot + 1) & this.#mask;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = Buffer.alloc(old.byteLength * 2);
    this.#mask = this.#mask * 2 + 1;
    for (let at = 0; at < old.byteLength; at += this.#width) {
      if (!this.#isEmpty(old, at)) this.#insert(old.subarray(at, at + this.#width));
    }
  }

  /** An empty slot is all zeros, which only the null oid is; any other shows it in its first bytes. */
  #isEmpty(slots: Buffer, at: number): boolean {
    for (let offset = 0; offset < this.#width; offset += 4) if (slots.readUInt32LE(at + offset) !== 0) return false;
    return true;
  }
}
