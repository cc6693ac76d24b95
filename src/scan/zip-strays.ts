/** Deflated entries of a zip file that its directory does not name: a local header is there, and a program may find it. */

export interface StrayEntry {
  readonly name: string;
  /** Offset of its content. */
  readonly data: number;
}

const LOCAL_HEADER = Buffer.from([0x50, 0x4b, 3, 4]);
const LOCAL_HEADER_BYTES = 30;
const STRAYS_MAX = 1_000;

/** @param known offsets of the local headers that the directory names (APPNOTE.TXT 4.3.7). */
export function strayOffsets(zip: Buffer, known: ReadonlySet<number>): readonly StrayEntry[] {
  const found: StrayEntry[] = [];
  let at = zip.indexOf(LOCAL_HEADER);
  while (at >= 0 && found.length < STRAYS_MAX) {
    if (!known.has(at) && at + LOCAL_HEADER_BYTES <= zip.length) {
      const method = zip.readUInt16LE(at + 8);
      const nameBytes = zip.readUInt16LE(at + 26);
      const data = at + LOCAL_HEADER_BYTES + nameBytes + zip.readUInt16LE(at + 28);
      const name = zip.toString('utf8', at + LOCAL_HEADER_BYTES, at + LOCAL_HEADER_BYTES + nameBytes);
      // What is stored lies open and is seen with the archive's own bytes.
      if (data < zip.length && method === 8) found.push({ name, data });
    }
    at = zip.indexOf(LOCAL_HEADER, at + 4);
  }
  return found;
}
