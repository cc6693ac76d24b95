/** The syncing that the commit protocol relies on, behind an interface: a test proves with a deaf one that it matters. */
import { createFileDurably, syncDirectory, syncFile, writeFileDurably } from '../base/durable.ts';

export interface Durable {
  /** Bytes and size of a file are on disk. */
  syncFile(path: string): Promise<void>;
  /** The names in a directory are on disk. */
  syncDirectory(path: string): Promise<void>;
  /** Old bytes or new bytes after a power cut; the new ones once this resolves. */
  writeFile(path: string, data: string): Promise<void>;
  /** A new file, whole and named once this resolves; a power cut before may leave a part of it. */
  createFile(path: string, data: string): Promise<void>;
}

export const realDurable: Durable = {
  syncFile,
  syncDirectory,
  writeFile: (path, data) => writeFileDurably(path, data),
  createFile: (path, data) => createFileDurably(path, data),
};
