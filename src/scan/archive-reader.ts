/**
 * Opens archives, entry by entry, as streams: nothing is unpacked to disk, nothing but a zip is held. What is wrong with an
 * archive is a note; its bytes are scanned as they are in any case. Only bounds are thrown: a bomb is not looked at halfway.
 */
import { pipeline, Readable, type Transform } from 'node:stream';
import { createGunzip, createInflateRaw, createZstdDecompress } from 'node:zlib';
import { extract } from 'tar-stream';
import { fromBufferPromise, type Entry, type ZipFile } from 'yauzl';
import type { ArchiveKind } from './archive-kind.ts';
import { strayOffsets } from './zip-strays.ts';

/** Caught by `scanItem`: the item counts as not looked at. */
export class ScanBound extends Error {}

export interface ArchiveParts {
  /** Takes one entry; `name` as the archive spells it. Must read the content to its end. */
  readonly entry: (name: string, content: AsyncIterable<Buffer>) => Promise<void>;
  /** Something that could not be opened, or is not whole. */
  readonly note: (reason: string) => void;
  /** A zip larger than this is not held. */
  readonly heldBytesMax: number;
}

/** @throws ScanBound from `entry`; whatever else goes wrong is noted. */
export async function readArchive(
  kind: ArchiveKind,
  source: AsyncIterable<Buffer>,
  parts: ArchiveParts,
): Promise<void> {
  try {
    if (kind === 'gzip') await parts.entry('', salvaged(source, createGunzip));
    else if (kind === 'zstd') await parts.entry('', salvaged(source, createZstdDecompress));
    else if (kind === 'tar') await readTar(source, parts);
    else await readZip(source, parts);
  } catch (error) {
    if (error instanceof ScanBound) throw error;
    parts.note(`is no whole ${kind} file`);
  }
}

async function* inflate(source: AsyncIterable<Buffer>, transform: Transform): AsyncGenerator<Buffer> {
  const stream = pipeline(Readable.from(source), transform, () => {
    // What went wrong ends the iteration below with an error.
  });
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } finally {
    stream.destroy();
  }
}

/** Packed bytes held to be read once more where they turn out to be damaged, and in how many steps. */
const SALVAGED_BYTES_MAX = 4 * 1024 * 1024;
const SALVAGE_STEPS = 65_536;

/**
 * What is packed, up to where it is damaged: a wrong checksum at the end, say, which `zcat` only complains of. The library
 * keeps back what it unpacked last before an error, so a short file is read again in small steps. Ends with the error.
 */
async function* salvaged(source: AsyncIterable<Buffer>, open: () => Transform): AsyncGenerator<Buffer> {
  const held: Buffer[] = [];
  let packed = 0;
  let given = 0;
  const noted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      packed += chunk.length;
      if (packed <= SALVAGED_BYTES_MAX) held.push(chunk);
      else held.length = 0;
      yield chunk;
    }
  };
  try {
    for await (const chunk of inflate(noted(), open())) {
      given += chunk.length;
      yield chunk;
    }
  } catch (error) {
    if (packed <= SALVAGED_BYTES_MAX) yield* rest(inSteps(Buffer.concat(held), open()), given);
    throw error;
  }
}

/** Without its first `skipped` bytes. */
async function* rest(source: AsyncIterable<Buffer>, skipped: number): AsyncGenerator<Buffer> {
  let left = skipped;
  for await (const chunk of source) {
    if (chunk.length > left) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/** Ends where it fails. */
async function* inSteps(packed: Buffer, transform: Transform): AsyncGenerator<Buffer> {
  const unpacked: Buffer[] = [];
  transform.on('data', (chunk: Buffer) => unpacked.push(chunk));
  const closed = new Promise<boolean>((resolve) => transform.once('close', () => resolve(false)));
  transform.on('error', () => {
    // It closes behind that.
  });
  const step = Math.ceil(packed.length / SALVAGE_STEPS);
  try {
    for (let at = 0; at < packed.length; at += step) {
      const written = new Promise<boolean>((resolve) => {
        transform.write(packed.subarray(at, at + step), (error) => resolve(error === undefined || error === null));
      });
      const goesOn = await Promise.race([written, closed]);
      yield* unpacked.splice(0);
      if (!goesOn) return;
    }
  } finally {
    transform.destroy();
  }
}

async function readTar(source: AsyncIterable<Buffer>, parts: ArchiveParts): Promise<void> {
  const unpack = extract();
  pipeline(Readable.from(source), unpack, () => {
    // As above.
  });
  try {
    for await (const entry of unpack) {
      const { name, linkname } = entry.header;
      await parts.entry(
        linkname === undefined || linkname === null ? name : `${name} -> ${linkname}`,
        entry as AsyncIterable<Buffer>,
      );
    }
  } finally {
    unpack.destroy();
  }
}

async function readZip(source: AsyncIterable<Buffer>, parts: ArchiveParts): Promise<void> {
  const held = await hold(source, parts.heldBytesMax);
  if (held === undefined) {
    parts.note('is a zip file too large to be opened');
    return;
  }
  const known = new Set<number>();
  try {
    const zip = await fromBufferPromise(held, { lazyEntries: true, decodeStrings: false, validateEntrySizes: false });
    for await (const entry of zip.eachEntry()) {
      known.add(entry.relativeOffsetOfLocalHeader);
      await readZipEntry(zip, entry, parts);
    }
  } catch (error) {
    if (error instanceof ScanBound) throw error;
    parts.note('is no whole zip file');
  }
  // Entries that the directory at the end does not list: most programs skip them, some do not.
  for (const stray of strayOffsets(held, known)) {
    await parts.entry(stray.name, tolerant(inflate(Readable.from([held.subarray(stray.data)]), createInflateRaw())));
  }
}

async function readZipEntry(zip: ZipFile, entry: Entry, parts: ArchiveParts): Promise<void> {
  const raw: unknown = entry.fileName;
  const name = Buffer.isBuffer(raw) ? raw.toString('utf8') : String(raw);
  if (name.endsWith('/') && entry.uncompressedSize === 0) return;
  if (entry.isEncrypted()) {
    parts.note(`has an encrypted entry ${shown(name)}`);
    return;
  }
  let content: Readable;
  try {
    content = await zip.openReadStreamPromise(entry);
  } catch {
    parts.note(`has an entry that cannot be opened, ${shown(name)}`);
    return;
  }
  try {
    await parts.entry(name, content as AsyncIterable<Buffer>);
  } catch (error) {
    if (error instanceof ScanBound) throw error;
    parts.note(`has a damaged entry ${shown(name)}`);
  } finally {
    content.destroy();
  }
}

async function hold(source: AsyncIterable<Buffer>, max: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > max) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** As much as can be read. */
async function* tolerant(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* source;
  } catch (error) {
    if (error instanceof ScanBound) throw error;
  }
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 100));
}
