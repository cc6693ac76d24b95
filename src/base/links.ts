/** Hard links, where there are any: vfat, exFAT and many file systems over a network or in user space have none. */
import { constants } from 'node:fs';
import { copyFile, link } from 'node:fs/promises';

/**
 * EPERM: the file system has no links, or the kernel lets nobody link what somebody else owns (link(2),
 * `fs.protected_hardlinks`); EMLINK: this file has as many names as it can have; EXDEV: the two lie on different file systems.
 */
const NO_LINK: ReadonlySet<unknown> = new Set(['EPERM', 'EMLINK', 'EXDEV', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** Whether `error` of link(2) means that this file has no second name there, and no more than that. */
export function isWithoutLinks(error: unknown): boolean {
  return error instanceof Error && 'code' in error && NO_LINK.has(error.code);
}

/**
 * A second name for a file that never changes; where that cannot be had, a copy, which is not on disk by itself.
 * @throws EEXIST, ENOENT and whatever else the file system says
 */
export async function linkOrCopy(from: string, to: string): Promise<'linked' | 'copied'> {
  try {
    await link(from, to);
    return 'linked';
  } catch (error) {
    if (!isWithoutLinks(error)) throw error;
  }
  await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  return 'copied';
}
