/**
 * Commits and tags that `git fsck` has nothing to say about, at whatever severity its messages are: their headers in the one
 * order, names, mail addresses, dates and time zones as git writes them (git's fsck.c).
 */
import { OBJECT_TYPES } from '../objects.ts';
import { oidHexLength, parseOid, type ObjectFormat } from '../oid.ts';
import { parseRefname } from '../refname.ts';
import { isPlainTree, type FsckDemands } from './fsck-tree.ts';
import type { RawObject } from './odb.ts';

/** Name, mail address, seconds since 1970, time zone. */
const IDENTITY = /^[^<>\n]* <[^<>\n]*> (?:0|[1-9]\d{0,11}) [+-]\d{4}$/;
const EXTRA_HEADER = /^[A-Za-z][\w:.-]* /;
/** Headers that have their place: anywhere else they are odd. */
const PLACED = /^(?:tree|parent|author|committer|object|type|tag|tagger) /;

/** Whether git would take the object in silence, if what it demands is there. Blobs are judged by who names them. */
export function isPlainObject({ type, bytes }: RawObject, format: ObjectFormat, demands: FsckDemands): boolean {
  if (type === 'blob') return true;
  if (type === 'tree') return isPlainTree(bytes, format, demands);
  if (bytes.includes(0)) return false;
  const lines = headerOf(bytes);
  if (lines === undefined) return false;
  return type === 'commit' ? isPlainCommit(lines, format, demands) : isPlainTag(lines, format, demands);
}

/** The lines before the first empty one; undefined where the last of them has no end. One character for each byte. */
function headerOf(bytes: Buffer): readonly string[] | undefined {
  const blank = bytes.indexOf('\n\n', 0, 'latin1');
  const end = blank < 0 ? bytes.length - 1 : blank;
  if (bytes[end] !== LINE_FEED) return undefined;
  return bytes.toString('latin1', 0, end).split('\n');
}

const LINE_FEED = 0x0a;

function isPlainCommit(lines: readonly string[], format: ObjectFormat, demands: FsckDemands): boolean {
  const tree = parseOid(after(lines[0], 'tree ') ?? '', format);
  if (tree === undefined) return false;
  demands.need(tree, 'tree');
  let at = 1;
  for (; lines[at]?.startsWith('parent ') === true; at += 1) {
    const parent = parseOid(after(lines[at], 'parent ') ?? '', format);
    if (parent === undefined) return false;
    demands.need(parent, 'commit');
  }
  if (!IDENTITY.test(after(lines[at], 'author ') ?? '')) return false;
  if (!IDENTITY.test(after(lines[at + 1], 'committer ') ?? '')) return false;
  return areExtraHeaders(lines.slice(at + 2));
}

/** Headers of any name, with lines that continue them. */
function areExtraHeaders(lines: readonly string[]): boolean {
  return lines.every((line, index) => {
    if (line.startsWith(' ')) return index > 0;
    return EXTRA_HEADER.test(line) && !PLACED.test(line);
  });
}

function isPlainTag(lines: readonly string[], format: ObjectFormat, demands: FsckDemands): boolean {
  const [object, typeLine, name, tagger, ...others] = lines;
  const oid = parseOid(after(object, 'object ') ?? '', format);
  const type = OBJECT_TYPES.find((known) => known === after(typeLine, 'type '));
  if (oid === undefined || oid.length !== oidHexLength(format) || type === undefined) return false;
  if (!isPlainTagName(after(name, 'tag ') ?? '')) return false;
  if (!IDENTITY.test(after(tagger, 'tagger ') ?? '') || others.length > 0) return false;
  demands.need(oid, type);
  return true;
}

function isPlainTagName(name: string): boolean {
  return /^[\w./+-]+$/.test(name) && parseRefname(`refs/tags/${name}`) !== undefined;
}

function after(line: string | undefined, prefix: string): string | undefined {
  return line?.startsWith(prefix) === true ? line.slice(prefix.length) : undefined;
}
