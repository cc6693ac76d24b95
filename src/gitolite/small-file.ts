/** Files that an administrator or a command writes by hand: small, or not what we look for. */
import { lstat, open } from 'node:fs/promises';
import { BOUNDS } from '../base/bounds.ts';

/** The text, cut at the bound; undefined where there is no such plain file. */
export async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return undefined;
      const bytes = Buffer.alloc(Math.min(stats.size, BOUNDS.siteNoteBytesMax));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      return bytes.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Something is there, be it a dangling link. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

export function isAbsent(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'ENOENT' || error.code === 'ENOTDIR';
}
