/**
 * Commits, tags and trees taken apart, as git's own writers make them. What git reads with leniency (odd modes, entries out
 * of order, headers that are not where they belong) is beyond reach: there git says what it sees.
 */
import type { ObjectType } from '../objects.ts';
import type { Oid } from '../oid.ts';
import { BeyondReach, type Odb, type RawObject } from './odb.ts';

export interface CommitNode {
  readonly oid: Oid;
  readonly tree: Oid;
  readonly parents: readonly Oid[];
  /** Of the committer, in seconds since 1970. */
  readonly date: number;
}

export interface TagNode {
  readonly target: Oid;
  readonly targetType: ObjectType;
  /** What the tag calls itself. */
  readonly name: string;
}

export interface TreeNode {
  /** A byte a character (latin1): compared as git compares. */
  readonly name: string;
  readonly mode: string;
  readonly type: 'blob' | 'tree' | 'commit';
  readonly oid: Oid;
}

/** The modes that git writes today; others it changes as it reads them. */
const TYPES: Readonly<Record<string, TreeNode['type']>> = {
  '40000': 'tree',
  '100644': 'blob',
  '100755': 'blob',
  '120000': 'blob',
  '160000': 'commit',
};
const HEADER = /^tree ([0-9a-f]+)\n((?:parent [0-9a-f]+\n)*)author [^\n]*\ncommitter [^\n>]*> (\d{1,11}) [+-]\d{4}\n/;
const TAG = /^object ([0-9a-f]+)\ntype (commit|tree|blob|tag)\ntag ([^\n]*)\n/;
const PARENT_CHARS = 'parent '.length;
const SPACE = 0x20;

/** @throws BeyondReach */
export function commitNode(oid: Oid, bytes: Buffer): CommitNode {
  const end = bytes.indexOf('\n\n');
  const [, tree = '', lines = '', date = ''] =
    HEADER.exec(bytes.toString('latin1', 0, end < 0 ? bytes.length : end + 1)) ?? [];
  if (tree.length !== oid.length) throw new BeyondReach('commit is not of the plain form');
  const parents = lines === '' ? [] : lines.slice(0, -1).split('\n');
  const oids = parents.map((line) => line.slice(PARENT_CHARS));
  if (oids.some((parent) => parent.length !== oid.length)) throw new BeyondReach('commit has an odd parent');
  return { oid, tree: tree as Oid, parents: oids as Oid[], date: Number(date) }; // digits of this format, as just seen
}

/** @throws BeyondReach */
export function tagNode(oid: Oid, bytes: Buffer): TagNode {
  const end = bytes.indexOf('\n\n');
  const [, target = '', targetType, name = ''] =
    TAG.exec(bytes.toString('latin1', 0, end < 0 ? bytes.length : end + 1)) ?? [];
  if (target.length !== oid.length) throw new BeyondReach('tag is not of the plain form');
  return { target: target as Oid, targetType: targetType as ObjectType, name }; // both matched by TAG
}

/** In git's order, no name twice. @throws BeyondReach */
export function treeNodes(oid: Oid, bytes: Buffer): readonly TreeNode[] {
  const oidBytes = oid.length / 2;
  const nodes: TreeNode[] = [];
  let last = '';
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at);
    const end = bytes.indexOf(0, space + 1);
    const next = end + 1 + oidBytes;
    if (space < 0 || end <= space + 1 || next > bytes.length) throw new BeyondReach('tree is malformed');
    const mode = bytes.toString('latin1', at, space);
    const type = TYPES[mode];
    const name = bytes.toString('latin1', space + 1, end);
    if (type === undefined || name.includes('/')) throw new BeyondReach('tree has an odd entry');
    const key = sortKey({ name, type });
    if (at > 0 && key <= last) throw new BeyondReach('tree is out of order');
    last = key;
    nodes.push({ name, mode, type, oid: bytes.toString('hex', end + 1, next) as Oid }); // hex of as many bytes
    at = next;
  }
  // A file and a directory of one name lie apart where another name sorts between them.
  if (new Set(nodes.map(({ name }) => name)).size !== nodes.length) throw new BeyondReach('tree has a name twice');
  return nodes;
}

/** Directories sort as if their names ended in a slash. */
export function sortKey({ name, type }: Pick<TreeNode, 'name' | 'type'>): string {
  return type === 'tree' ? `${name}/` : name;
}

/** What `path` of bytes-as-characters is as text: bytes that are not UTF-8 show as U+FFFD. */
export function textOf(path: string): string {
  return /[\x80-\xff]/.test(path) ? Buffer.from(path, 'latin1').toString('utf8') : path;
}

/** Objects of one question, each read once, so many of them at most. */
export class BoundedReader {
  readonly #odb: Odb;
  readonly #most: number;
  readonly #commits = new Map<Oid, CommitNode>();
  readonly #trees = new Map<Oid, readonly TreeNode[]>();

  constructor(odb: Odb, most: number) {
    this.#odb = odb;
    this.#most = most;
  }

  /** @throws BeyondReach where it is missing, no commit, or one too many. */
  async commit(oid: Oid): Promise<CommitNode> {
    const known = this.#commits.get(oid);
    if (known !== undefined) return known;
    const node = commitNode(oid, await this.#bytes(oid, 'commit'));
    this.#commits.set(oid, node);
    return node;
  }

  /** @throws BeyondReach likewise. */
  async tree(oid: Oid): Promise<readonly TreeNode[]> {
    const known = this.#trees.get(oid);
    if (known !== undefined) return known;
    const nodes = treeNodes(oid, await this.#bytes(oid, 'tree'));
    this.#trees.set(oid, nodes);
    return nodes;
  }

  async #bytes(oid: Oid, type: ObjectType): Promise<Buffer> {
    if (this.#commits.size + this.#trees.size >= this.#most) throw new BeyondReach('more objects than are walked');
    return (await readTyped(this.#odb, oid, type)).bytes;
  }
}

/** @throws BeyondReach where there is no such object of that type. */
export async function readTyped(odb: Odb, oid: Oid, type: ObjectType): Promise<RawObject> {
  const object = await odb.read(oid);
  if (object?.type !== type) throw new BeyondReach(`there is no such ${type}`);
  return object;
}
