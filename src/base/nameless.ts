/** Files without a name: whatever happens, nothing of them outlives the process. */
import { open, unlink, type FileHandle } from 'node:fs/promises';

/** To write and to read; for its owner only. @param path where it has a name for a moment; nothing may lie there. */
export async function openNameless(path: string): Promise<FileHandle> {
  const file = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}
