/** Loose refs on disk, looked at as git looks at them before it locks one: directories on the way, and the value. */
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { OnlyGit } from './only-git.ts';

/** Longer than any value: what is longer is none. */
const VALUE_BYTES_MAX = 256;

export type LooseFound =
  | { readonly kind: 'value'; readonly oid: string }
  | { readonly kind: 'missing' }
  /** Empty, or with refs below. */
  | { readonly kind: 'directory' };

/** @throws OnlyGit where it is a symbolic ref, a link, or broken. */
export function readLoose(path: string, digits: number): LooseFound {
  let stat;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (!hasCode(error, ['ENOTDIR'])) throw error;
  }
  if (stat === undefined) return { kind: 'missing' };
  if (stat.isDirectory()) return { kind: 'directory' };
  if (!stat.isFile() || stat.size > VALUE_BYTES_MAX) throw new OnlyGit('a ref is no plain file');
  const text = readFileSync(path, 'latin1');
  const oid = text.slice(0, digits);
  const isPlain = text.length > digits && /^[0-9a-f]+$/.test(oid) && /^\s+$/.test(text.slice(digits));
  if (!isPlain) throw new OnlyGit('a ref holds no oid');
  return { kind: 'value', oid };
}

/**
 * Makes the directories that lead to a ref.
 * @returns the name of what is in the way: a ref, or a file that looks like one.
 * @throws OnlyGit where one of them is a link.
 */
export function makeWayTo(repositoryPath: string, refname: string): string | undefined {
  const directories: string[] = [];
  for (let at = dirname(refname); at !== '.'; at = dirname(at)) directories.push(at);
  for (const directory of directories.toReversed()) {
    const path = `${repositoryPath}/${directory}`;
    const found = lstatSync(path, { throwIfNoEntry: false }) ?? made(path);
    if (found?.isDirectory() === true) continue;
    if (found?.isFile() === true) return directory;
    if (found !== undefined) throw new OnlyGit('a directory of refs is a link');
    // Somebody was tidying up just now: whoever opens the lock file finds out, and tries again.
    return undefined;
  }
  return undefined;
}

/** Undefined where its parent went meanwhile. */
function made(path: string): ReturnType<typeof lstatSync> {
  try {
    mkdirSync(path);
  } catch (error) {
    if (!hasCode(error, ['EEXIST', 'ENOENT', 'ENOTDIR'])) throw error;
  }
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Removes a directory in which there is nothing but empty directories. False where there is something else. */
export function removeEmpty(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (!entry.isDirectory() || !removeEmpty(`${path}/${entry.name}`)) return false;
    }
    rmdirSync(path);
    return true;
  } catch (error) {
    if (hasCode(error, ['ENOENT'])) return true;
    if (hasCode(error, ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'])) return false;
    throw error;
  }
}

/** Removes the empty directories above a deleted ref, but `refs/heads` and its like never. */
export function removeEmptyAbove(repositoryPath: string, refname: string): void {
  for (let at = dirname(refname); at.split('/').length > 2; at = dirname(at)) {
    try {
      rmdirSync(`${repositoryPath}/${at}`);
    } catch (error) {
      if (hasCode(error, ['ENOENT'])) continue;
      return;
    }
  }
}

export function hasCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
