/** Archives and compressed files, known by their first bytes. */

export type ArchiveKind = 'gzip' | 'zstd' | 'zip' | 'tar';

export type Sniffed =
  | { readonly kind: 'plain' }
  | { readonly kind: 'archive'; readonly archive: ArchiveKind }
  /** Known, and nothing here can open it. */
  | { readonly kind: 'closed'; readonly format: string };

/** Bytes that `sniff` wants to see: tar's mark is at 257 (POSIX ustar). */
export const SNIFF_BYTES = 512;

const CLOSED: readonly (readonly [string, readonly number[]])[] = [
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['7z', [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]],
  ['rar', [0x52, 0x61, 0x72, 0x21, 0x1a, 0x07]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
  ['lzip', [0x4c, 0x5a, 0x49, 0x50, 0x01]],
  ['compress', [0x1f, 0x9d]],
];

export function sniff(head: Uint8Array): Sniffed {
  const starts = (bytes: readonly number[]): boolean => bytes.every((byte, index) => head[index] === byte);
  if (starts([0x1f, 0x8b, 8])) return archive('gzip');
  if (starts([0x28, 0xb5, 0x2f, 0xfd])) return archive('zstd');
  if (starts([0x50, 0x4b, 3, 4]) || starts([0x50, 0x4b, 5, 6]) || starts([0x50, 0x4b, 7, 8])) return archive('zip');
  if (Buffer.from(head.subarray(257, 262)).toString('latin1') === 'ustar') return archive('tar');
  const closed = CLOSED.find(([, mark]) => starts(mark));
  // "BZh" is text, too: a block's mark or the end's follows the level (bzip2's format, "BCD pi").
  if (closed?.[0] === 'bzip2' && head[4] !== 0x31 && head[4] !== 0x17) return { kind: 'plain' };
  return closed === undefined ? { kind: 'plain' } : { kind: 'closed', format: closed[0] };
}

function archive(kind: ArchiveKind): Sniffed {
  return { kind: 'archive', archive: kind };
}
