/** Listings and comparisons of trees, in git's order. Paths are bytes as characters (`textOf` makes them text). */
import type { Oid } from '../oid.ts';
import { sortKey, type BoundedReader, type TreeNode } from './walk-objects.ts';

export interface PlacedNode extends TreeNode {
  readonly path: string;
}

/** `old` absent: added; `now` absent: gone. Never directories. */
export interface TreeChange {
  readonly path: string;
  readonly old?: TreeNode;
  readonly now?: TreeNode;
}

/** As `git ls-tree`; with `deep` as `-r`, with `trees` as `-r -t`. @throws BeyondReach */
export async function* entriesOf(
  reader: BoundedReader,
  tree: Oid,
  { deep, trees, prefix = '' }: { readonly deep: boolean; readonly trees: boolean; readonly prefix?: string },
): AsyncGenerator<PlacedNode> {
  for (const node of await reader.tree(tree)) {
    const path = prefix + node.name;
    if (node.type !== 'tree' || !deep || trees) yield { ...node, path };
    if (node.type === 'tree' && deep) yield* entriesOf(reader, node.oid, { deep, trees, prefix: `${path}/` });
  }
}

/** As `git diff-tree -r --no-renames`; undefined: the empty tree. @throws BeyondReach */
export async function* changesOf(
  reader: BoundedReader,
  old: Oid | undefined,
  now: Oid | undefined,
  prefix = '',
): AsyncGenerator<TreeChange> {
  if (old === now) return;
  const [left, right] = [await nodesOf(reader, old), await nodesOf(reader, now)];
  for (let [l, r] = [0, 0]; l < left.length || r < right.length;) {
    const [a, b] = [left[l], right[r]];
    const order = compare(a, b);
    if (order <= 0) l += 1;
    if (order >= 0) r += 1;
    yield* changeOf(reader, order <= 0 ? a : undefined, order >= 0 ? b : undefined, prefix);
  }
}

/** What differs between two entries of one name and kind, or is on one side only. */
async function* changeOf(
  reader: BoundedReader,
  old: TreeNode | undefined,
  now: TreeNode | undefined,
  prefix: string,
): AsyncGenerator<TreeChange> {
  const some = old ?? now;
  if (some === undefined || (old?.oid === now?.oid && old?.mode === now?.mode)) return;
  const path = prefix + some.name;
  if (some.type === 'tree') yield* changesOf(reader, old?.oid, now?.oid, `${path}/`);
  else yield { path, ...(old === undefined ? {} : { old }), ...(now === undefined ? {} : { now }) };
}

async function nodesOf(reader: BoundedReader, tree: Oid | undefined): Promise<readonly TreeNode[]> {
  return tree === undefined ? [] : reader.tree(tree);
}

/** A file and a directory of one name are two entries. */
function compare(a: TreeNode | undefined, b: TreeNode | undefined): number {
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  const [left, right] = [sortKey(a), sortKey(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
