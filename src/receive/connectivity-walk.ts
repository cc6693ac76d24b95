/**
 * What tips bring over what is known, walked in memory: the commits, tags, trees and blobs that `git rev-list --objects` would
 * list, in its order, each under the first path by which it names it. Everything that the new objects name has to be among them
 * or to be proved old: a commit by being reachable from what is known, a tree or blob by lying in the tree of a commit that
 * the new ones stand on. What is not proved is `Unproven`, and git decides.
 */
import { Stint } from '../base/stint.ts';
import type { ObjectType } from '../git/objects.ts';
import { BeyondReach, type Odb, type RawObject } from '../git/odb/odb.ts';
import { DateQueue, unreached } from '../git/odb/walk-history.ts';
import {
  BoundedReader,
  commitNode,
  tagNode,
  treeNodes,
  type CommitNode,
  type TreeNode,
} from '../git/odb/walk-objects.ts';
import type { Oid } from '../git/oid.ts';

/** Why git is asked after all. */
export const PROOF_GAPS = ['history', 'objects', 'resent', 'unlinked', 'odd', 'out-of-reach'] as const;
export type ProofGap = (typeof PROOF_GAPS)[number];

export class Unproven extends BeyondReach {
  readonly why: ProofGap;

  constructor(why: ProofGap) {
    super(`not proved: ${why}`);
    this.why = why;
  }
}

export interface WalkGround {
  /** What the client sent. Never the bases that completed a thin pack: those the repository has to vouch for. */
  readonly sent: ReadonlyMap<Oid, RawObject>;
  /** The repository as it is without the push. */
  readonly repository: Odb;
  /** What refs lead to directly, tags peeled: of all refs, or of those that the principal may read. */
  readonly known: ReadonlySet<Oid>;
  /** Commits among `known` from which older ones are looked for. */
  readonly starts: readonly Oid[];
}

export interface Listed {
  readonly oid: Oid;
  readonly object: RawObject;
  /** The commit that brings it; empty where it is not known yet. */
  readonly commit: string;
  /** Bytes as characters. Of a tag what it calls itself. */
  readonly path: string;
}

/** Commits that are read to find one that is old; trees that are read to find old objects. */
const HISTORY_MAX = 256;
const EDGE_OBJECTS_MAX = 600;
const EDGES_MAX = 16;
const TAG_DEPTH_MAX = 16;
/** Far over what any limit of paths lets pass. */
const PATH_CHARS_MAX = 16_384;

/** One walk of some tips; its parts are computed once. */
export class PushWalk {
  /** Newest first, as git lists them. */
  readonly commits: readonly CommitNode[];
  /** What it stands on: old tips, and old parents of new commits. */
  readonly old: readonly Oid[];
  readonly #ground: WalkGround;
  readonly #tags: readonly { readonly oid: Oid; readonly name: string }[];
  readonly #edges: EdgeTrees;
  readonly #trees: Map<Oid, readonly TreeNode[]>;
  /** Sent objects that lie in the trees of the edges: git does not list them. */
  readonly #resent = new Map<Oid, boolean>();

  constructor(ground: WalkGround, found: Found, trees: Map<Oid, readonly TreeNode[]>) {
    this.#ground = ground;
    this.commits = found.commits;
    this.old = found.old;
    this.#tags = found.tags;
    this.#edges = new EdgeTrees(ground.repository, [...found.edges]);
    this.#trees = trees;
  }

  /**
   * Every new object. `newest-first`: commits, tags, then the trees of each commit; `oldest-first`: with each commit its own, tags
   * behind the first commit. @throws BeyondReach
   */
  async list(order: 'newest-first' | 'oldest-first'): Promise<readonly Listed[]> {
    const isOldest = order === 'oldest-first';
    const commits = isOldest ? this.commits.toReversed() : this.commits;
    const listing = new Listing();
    const listTags = (commit: string): void => {
      for (const { oid, name } of this.#tags) listing.add({ oid, object: this.#sent(oid), commit, path: name });
    };
    const roots = await this.#edges.roots();
    if (!isOldest) {
      for (const { oid } of commits) listing.add({ oid, object: this.#sent(oid), commit: oid, path: '' });
      listTags('');
    }
    for (const [index, { oid, tree }] of commits.entries()) {
      if (isOldest) listing.add({ oid, object: this.#sent(oid), commit: oid, path: '' });
      if (isOldest && index === 0) listTags(oid);
      await this.#visit({ oid: tree, type: 'tree', path: '', commit: oid, bases: roots }, listing);
    }
    if (isOldest && commits.length === 0) listTags('');
    return listing.all;
  }

  /** Old objects that deltas of the push are of. @throws BeyondReach where one is not in the trees of the edges. */
  async assertBases(bases: ReadonlyMap<Oid, RawObject>): Promise<void> {
    for (const [oid, { type }] of bases) await this.#edges.assertHolds(oid, type);
  }

  async #visit(asked: Asked, listing: Listing): Promise<void> {
    const { oid, type, path, commit, bases } = asked;
    if (listing.seen.has(oid)) return;
    const object = this.#ground.sent.get(oid);
    if (object === undefined) {
      await this.#edges.assertHolds(oid, type);
      listing.seen.add(oid);
      return;
    }
    if (object.type !== type) throw new Unproven('odd');
    if (await this.#isResent(oid, type)) {
      listing.seen.add(oid);
      return;
    }
    listing.add({ oid, object, commit, path });
    if (type !== 'tree') return;
    if (listing.stint.isOver) await listing.stint.rest();
    const beside = await Promise.all(bases.map((base) => this.#edges.names(base)));
    for (const node of this.#nodes(oid, object.bytes)) {
      // The history of a submodule lies elsewhere.
      if (node.type === 'commit' || listing.seen.has(node.oid)) continue;
      const twins = beside.flatMap((names) => names.get(node.name) ?? []);
      // As it was, at the same place: old, even where it was sent once more.
      if (twins.some((twin) => twin.oid === node.oid && twin.type === node.type)) {
        this.#resent.set(node.oid, true);
        continue;
      }
      const below = node.type === 'tree' ? twins.filter((twin) => twin.type === 'tree').map((twin) => twin.oid) : [];
      const full = path === '' ? node.name : `${path}/${node.name}`;
      if (full.length > PATH_CHARS_MAX) throw new Unproven('odd');
      await this.#visit({ oid: node.oid, type: node.type, path: full, commit, bases: below }, listing);
    }
  }

  /** Whether git would hold it for old although it was sent. */
  async #isResent(oid: Oid, type: 'tree' | 'blob'): Promise<boolean> {
    const known = this.#resent.get(oid);
    if (known !== undefined) return known;
    const isThere = (await this.#ground.repository.header(oid)) !== undefined;
    const isResent = isThere && (await this.#edges.holds(oid, type));
    this.#resent.set(oid, isResent);
    return isResent;
  }

  #nodes(oid: Oid, bytes: Buffer): readonly TreeNode[] {
    const known = this.#trees.get(oid);
    if (known !== undefined) return known;
    const nodes = treeNodes(oid, bytes);
    this.#trees.set(oid, nodes);
    return nodes;
  }

  #sent(oid: Oid): RawObject {
    const object = this.#ground.sent.get(oid);
    if (object === undefined) throw new Unproven('odd');
    return object;
  }
}

interface Asked {
  readonly oid: Oid;
  readonly type: 'tree' | 'blob';
  readonly path: string;
  readonly commit: string;
  /** What lies at this path in the trees of the edges. */
  readonly bases: readonly Oid[];
}

class Listing {
  readonly all: Listed[] = [];
  readonly seen = new Set<Oid>();
  readonly stint = new Stint();

  add(listed: Listed): void {
    if (this.seen.has(listed.oid)) return;
    this.seen.add(listed.oid);
    this.all.push(listed);
  }
}

/** The trees of the commits that new ones stand on: all in them is reachable, and complete, as every ref is. */
class EdgeTrees {
  readonly #reader: BoundedReader;
  readonly #edges: readonly Oid[];
  readonly #names = new Map<Oid, ReadonlyMap<string, TreeNode>>();
  /** Oid -> type of everything in them; filled when first needed. */
  #all: ReadonlyMap<Oid, ObjectType> | undefined;

  constructor(repository: Odb, edges: readonly Oid[]) {
    this.#reader = new BoundedReader(repository, EDGE_OBJECTS_MAX);
    this.#edges = edges;
  }

  async roots(): Promise<readonly Oid[]> {
    if (this.#edges.length > EDGES_MAX) throw new Unproven('objects');
    const roots = new Set<Oid>();
    for (const edge of this.#edges) roots.add((await this.#reader.commit(edge)).tree);
    return [...roots];
  }

  async names(tree: Oid): Promise<ReadonlyMap<string, TreeNode>> {
    const known = this.#names.get(tree);
    if (known !== undefined) return known;
    const names = new Map((await this.#reader.tree(tree)).map((node) => [node.name, node]));
    this.#names.set(tree, names);
    return names;
  }

  /** @throws Unproven */
  async assertHolds(oid: Oid, type: ObjectType): Promise<void> {
    if (!(await this.holds(oid, type))) throw new Unproven('objects');
  }

  /** Anywhere. @throws BeyondReach where there is too much to look through. */
  async holds(oid: Oid, type: ObjectType): Promise<boolean> {
    const roots = await this.roots();
    if (type === 'tree' && roots.includes(oid)) return true;
    this.#all ??= await this.#everything(roots);
    return this.#all.get(oid) === type;
  }

  async #everything(roots: readonly Oid[]): Promise<ReadonlyMap<Oid, ObjectType>> {
    const all = new Map<Oid, ObjectType>(roots.map((oid) => [oid, 'tree']));
    for (const [oid, type] of all) {
      if (type !== 'tree') continue;
      // What is set while it is gone through is gone through as well.
      for (const node of await this.#reader.tree(oid)) if (node.type !== 'commit') all.set(node.oid, node.type);
    }
    return all;
  }
}

interface Found {
  readonly commits: readonly CommitNode[];
  readonly tags: readonly { readonly oid: Oid; readonly name: string }[];
  readonly old: readonly Oid[];
  /** Old commits that new ones have for parents. */
  readonly edges: ReadonlySet<Oid>;
}

/** What a push brings, for any of its tips. */
export class PushObjects {
  readonly #ground: WalkGround;
  readonly #walks = new Map<string, Promise<PushWalk>>();
  readonly #trees = new Map<Oid, readonly TreeNode[]>();

  constructor(ground: WalkGround) {
    this.#ground = ground;
  }

  get sent(): ReadonlyMap<Oid, RawObject> {
    return this.#ground.sent;
  }

  /** What refs lead to directly counts as known. @throws BeyondReach */
  walk(tips: readonly Oid[]): Promise<PushWalk> {
    const key = tips.join(' ');
    const known = this.#walks.get(key);
    if (known !== undefined) return known;
    const walk = this.#findCommits(tips).then((found) => new PushWalk(this.#ground, found, this.#trees));
    if (this.#walks.size < WALKS_KEPT_MAX) this.#walks.set(key, walk);
    return walk;
  }

  async #findCommits(tips: readonly Oid[]): Promise<Found> {
    const old = new Set<Oid>();
    const edges = new Set<Oid>();
    const tags = new Map<Oid, { readonly oid: Oid; readonly name: string }>();
    const queue = new DateQueue<CommitNode>();
    const seen = new Set<Oid>();
    const add = async (oid: Oid): Promise<boolean> => {
      const object = this.#ground.sent.get(oid);
      if (object === undefined) return false;
      if (object.type !== 'commit') throw new Unproven('odd');
      if (seen.has(oid)) return true;
      await this.#assertNew(oid);
      seen.add(oid);
      queue.put(commitNode(oid, object.bytes));
      return true;
    };
    for (const tip of tips) {
      const target = await this.#peel(tip, tags);
      if (!(await add(target))) old.add(target);
    }
    const commits: CommitNode[] = [];
    for (let commit = queue.take(); commit !== undefined; commit = queue.take()) {
      commits.push(commit);
      for (const parent of commit.parents) if (!(await add(parent))) edges.add(parent);
    }
    for (const edge of edges) old.add(edge);
    await this.#assertKnown([...old]);
    return { commits, tags: [...tags.values()], old: [...old], edges };
  }

  /** The commit, or old object, that a tip leads to over new tags. */
  async #peel(tip: Oid, tags: Map<Oid, { readonly oid: Oid; readonly name: string }>): Promise<Oid> {
    let at = tip;
    for (let depth = 0; depth < TAG_DEPTH_MAX; depth += 1) {
      const object = this.#ground.sent.get(at);
      if (object?.type !== 'tag') return at;
      await this.#assertNew(at);
      const { target, targetType, name } = tagNode(at, object.bytes);
      tags.set(at, { oid: at, name });
      // Tags of old tags and of files are rare: git knows what they lead to.
      const next = this.#ground.sent.get(target);
      const type = next?.type ?? (await this.#ground.repository.header(target))?.type;
      if (type !== targetType || (next === undefined && type !== 'commit')) throw new Unproven('odd');
      at = target;
    }
    throw new Unproven('odd');
  }

  /** One that the repository has may be reachable: git would not list it. */
  async #assertNew(oid: Oid): Promise<void> {
    if ((await this.#ground.repository.header(oid)) !== undefined) throw new Unproven('resent');
  }

  /** Old objects are not this push's to name because they exist, but because a ref leads to them. */
  async #assertKnown(oids: readonly Oid[]): Promise<void> {
    const { known, starts, repository } = this.#ground;
    const asked = new Set(oids.filter((oid) => !known.has(oid)));
    if (asked.size === 0) return;
    const left = await unreached(new BoundedReader(repository, HISTORY_MAX), starts, asked);
    if (left.size > 0) throw new Unproven('history');
  }
}

const WALKS_KEPT_MAX = 8;
