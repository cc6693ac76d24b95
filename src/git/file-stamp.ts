/** What `lstat` says of a ref file, whether it can be trusted yet, and the content to compare where it cannot. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { Fault } from '../base/fault.ts';

/** The coarsest file system clock that is still common ticks in seconds. */
const RACY_MS = 1_100;
/**
 * One that shows fractions of a millisecond is a kernel's: it ticks every 10 ms at the slowest, on Windows every 16. Twice
 * that and more, so that whatever changes after a look cannot get the stamp that the look saw.
 */
const FINE_RACY_MS = 35;
/** A loose ref longer than this is none, and is not read. */
export const LOOSE_BYTES_MAX = 4_096;

export interface Stamp {
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly type: 'file' | 'directory' | 'link' | 'other';
}

export function stampOf(path: string): Stamp | undefined {
  let stat;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    if (isGone(cause)) return undefined;
    throw new Fault('corrupt', 'ref file cannot be read', { cause, context: { path } });
  }
  if (stat === undefined) return undefined;
  const { ino, size, mtimeMs, ctimeMs } = stat;
  return { ino, size, mtimeMs, ctimeMs, type: typeOf(stat) };
}

/** Whether the file still has this stamp; undefined: whether it still is not there. */
export function isStamped(path: string, stamp: Stamp | undefined): boolean {
  let stat;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    if (isGone(cause)) return stamp === undefined;
    throw new Fault('corrupt', 'ref file cannot be read', { cause, context: { path } });
  }
  if (stat === undefined || stamp === undefined) return (stat === undefined) === (stamp === undefined);
  const { ino, size, mtimeMs, ctimeMs, type } = stamp;
  const isSame = stat.mtimeMs === mtimeMs && stat.ctimeMs === ctimeMs && stat.ino === ino && stat.size === size;
  return isSame && typeOf(stat) === type;
}

function typeOf(stat: Stats): Stamp['type'] {
  return stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'link' : 'other';
}

export function isSameStamp(a: Stamp | undefined, b: Stamp | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs && a.ino === b.ino && a.size === b.size && a.type === b.type
  );
}

/** Whether a change after `now` could leave the same stamp. Only the time of change tells how fine the clock is: nobody can set it. */
export function isRacy({ mtimeMs, ctimeMs }: Stamp, now: number): boolean {
  return Math.max(mtimeMs, ctimeMs) > now - (Number.isInteger(ctimeMs) ? RACY_MS : FINE_RACY_MS);
}

/** What to compare and to parse: a text, a listing, a link's target, a digest. undefined where it is gone. */
export function contentOf(path: string, { type, size }: Stamp): string | undefined {
  try {
    if (type === 'directory') return listingOf(path).join('/');
    if (type === 'link') return readlinkSync(path);
    if (type !== 'file') return '';
    const bytes = size > LOOSE_BYTES_MAX && !path.endsWith('/packed-refs') ? Buffer.alloc(0) : readFileSync(path);
    return path.endsWith('/packed-refs') ? digestOf(bytes) : bytes.subarray(0, LOOSE_BYTES_MAX).toString('utf8');
  } catch (cause) {
    if (isGone(cause)) return undefined;
    throw new Fault('corrupt', 'ref file cannot be read', { cause, context: { path } });
  }
}

export function listingOf(path: string): readonly string[] {
  try {
    return readdirSync(path).sort();
  } catch (cause) {
    if (isGone(cause)) return [];
    throw new Fault('corrupt', 'ref directory cannot be read', { cause, context: { path } });
  }
}

export function digestOf(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('base64');
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
