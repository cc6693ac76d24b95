/**
 * Trees that `git fsck` has nothing to say about: exact modes, sorted and different names, none of them special. What is
 * unusual is not called wrong here, it is left to git (git's fsck.c; gitformat-* on trees).
 */
import type { ObjectType } from '../objects.ts';
import type { ObjectFormat, Oid } from '../oid.ts';
import { oidHexLength } from '../oid.ts';
import { kindOfName } from './fsck-names.ts';

/** What the checked objects need of others. */
export interface FsckDemands {
  /** An object of this type is named. */
  need(oid: Oid, type: ObjectType): void;
  /** A blob that git reads as its own configuration. */
  look(oid: Oid, as: 'modules' | 'attributes'): void;
}

type EntryKind = 'tree' | 'file' | 'link' | 'submodule';
const KINDS: ReadonlyMap<string, EntryKind> = new Map([
  ['40000', 'tree'],
  ['100644', 'file'],
  ['100755', 'file'],
  ['120000', 'link'],
  ['160000', 'submodule'],
]);

const SPACE = 0x20;
const SLASH = 0x2f;
const MODE_BYTES_MAX = 6;

interface TreeEntry {
  readonly kind: EntryKind;
  readonly nameStart: number;
  readonly nameEnd: number;
  /** Latin1. */
  readonly name: string;
  readonly oid: Oid;
}

/** Whether git would take the tree in silence, if what it demands is there. */
export function isPlainTree(tree: Buffer, format: ObjectFormat, demands: FsckDemands): boolean {
  const nullOid = '0'.repeat(oidHexLength(format));
  /** Files whose names begin the name of what follows: a tree of the same name may come later. */
  const files: string[] = [];
  let before: TreeEntry | undefined;
  for (let at = 0; at < tree.length;) {
    const entry = entryAt(tree, at, format);
    if (entry === undefined || entry.oid === nullOid) return false;
    if (before !== undefined && !isBefore(tree, before, entry)) return false;
    if (isTwice(files, entry) || !demand(entry, demands)) return false;
    before = entry;
    at = entry.nameEnd + 1 + nullOid.length / 2;
  }
  return true;
}

/** The objects that a tree of the repository names; undefined where it is not as trees are. */
export function linksOf(tree: Buffer, format: ObjectFormat): ReadonlyMap<Oid, ObjectType> | undefined {
  const links = new Map<Oid, ObjectType>();
  for (let at = 0; at < tree.length;) {
    const entry = entryAt(tree, at, format);
    if (entry === undefined) return undefined;
    if (entry.kind !== 'submodule') links.set(entry.oid, entry.kind === 'tree' ? 'tree' : 'blob');
    at = entry.nameEnd + 1 + oidHexLength(format) / 2;
  }
  return links;
}

function entryAt(tree: Buffer, at: number, format: ObjectFormat): TreeEntry | undefined {
  const space = tree.indexOf(SPACE, at);
  if (space < 0 || space - at > MODE_BYTES_MAX) return undefined;
  const kind = KINDS.get(tree.toString('latin1', at, space));
  const nameEnd = tree.indexOf(0, space + 1);
  const end = nameEnd + 1 + oidHexLength(format) / 2;
  if (kind === undefined || nameEnd < 0 || end > tree.length) return undefined;
  const oid = tree.toString('hex', nameEnd + 1, end) as Oid; // so many bytes, in hex
  return { kind, nameStart: space + 1, nameEnd, name: tree.toString('latin1', space + 1, nameEnd), oid };
}

/** As paths sort: a tree's name ends in a slash. */
function isBefore(tree: Buffer, one: TreeEntry, other: TreeEntry): boolean {
  const common = Math.min(one.nameEnd - one.nameStart, other.nameEnd - other.nameStart);
  const order = tree.compare(tree, other.nameStart, other.nameStart + common, one.nameStart, one.nameStart + common);
  return order === 0 ? byteAfter(tree, one, common) < byteAfter(tree, other, common) : order < 0;
}

function byteAfter(tree: Buffer, { kind, nameStart, nameEnd }: TreeEntry, common: number): number {
  if (nameStart + common < nameEnd) return tree[nameStart + common] ?? 0;
  return kind === 'tree' ? SLASH : 0;
}

function isTwice(files: string[], { kind, name }: TreeEntry): boolean {
  for (;;) {
    const file = files.at(-1);
    if (file === undefined || name.startsWith(file)) break;
    files.pop();
  }
  if (files.at(-1) === name) return true;
  if (kind !== 'tree') files.push(name);
  return false;
}

/** False where the name is for git to judge. */
function demand({ kind, name, oid }: TreeEntry, demands: FsckDemands): boolean {
  const nameKind = kindOfName(name);
  if (nameKind === 'odd') return false;
  // git has something to say about links of the names that it knows itself.
  if (kind === 'link' && name.startsWith('.')) return false;
  if (nameKind !== 'plain') {
    if (kind !== 'file') return false;
    demands.look(oid, nameKind);
  }
  if (kind !== 'submodule') demands.need(oid, kind === 'tree' ? 'tree' : 'blob');
  return true;
}
