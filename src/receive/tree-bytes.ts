/** A tree object as it lies in the database: mode, blank, name, NUL, oid in bytes (git's "gitformat-*" pages call it raw). */
import { Fault } from '../base/fault.ts';

export interface RawTreeEntry {
  /** Bytes that are not UTF-8 show as U+FFFD. */
  readonly name: string;
  readonly oid: string;
  /** A file or a symbolic link; else a tree or a commit of a submodule. */
  readonly isBlob: boolean;
}

const SPACE = 0x20;
const DIGIT_ONE = 0x31;

/** @throws Fault `corrupt`. */
export function* treeEntries(tree: Buffer, oidBytes: number): Generator<RawTreeEntry> {
  for (let at = 0; at < tree.length;) {
    const space = tree.indexOf(SPACE, at);
    const end = tree.indexOf(0, space + 1);
    const next = end + 1 + oidBytes;
    if (space < 0 || end < 0 || next > tree.length) throw new Fault('corrupt', 'tree is malformed');
    // 100644, 100755 and 120000 are blobs, 40000 and 160000 are not.
    const isBlob = tree[at] === DIGIT_ONE && (tree[at + 1] === 0x30 || tree[at + 1] === 0x32);
    yield { name: tree.toString('utf8', space + 1, end), oid: tree.toString('hex', end + 1, next), isBlob };
    at = next;
  }
}
