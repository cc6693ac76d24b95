/** What an update changes in the tree, for rules that look at paths: asked of git, from the quarantine. */
import type { RefUpdateFacts } from '../access/decision.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import { changedPaths, factsOf, listTree, type ObjectPlace } from '../git/objects.ts';

export type TreeFacts = Required<Pick<RefUpdateFacts, 'changed' | 'startTree' | 'targetTree'>>;

/** The null oid, and what has no tree (a tag of a blob), count as the empty tree. @throws Fault `process`. */
export async function treeFacts(place: ObjectPlace, oldOid: Oid, newOid: Oid): Promise<TreeFacts> {
  const [from, to] = await Promise.all([treeOf(place, oldOid), treeOf(place, newOid)]);
  return {
    changed: await changesBetween(place, from, to),
    startTree: await topEntries(place, from),
    targetTree: await topEntries(place, to),
  };
}

async function treeOf(place: ObjectPlace, oid: Oid): Promise<Oid | undefined> {
  if (isZeroOid(oid)) return undefined;
  const [facts] = await factsOf(place, [`${oid}^{tree}`]);
  return facts?.oid;
}

async function changesBetween(
  place: ObjectPlace,
  from: Oid | undefined,
  to: Oid | undefined,
): Promise<TreeFacts['changed']> {
  const changed = { added: [] as string[], deleted: [] as string[], modified: [] as string[], renamed: [] as string[] };
  if (to === undefined) {
    if (from === undefined) return changed;
    const gone = await listTree(place, from, { recursive: true });
    return { ...changed, deleted: gone.map(({ path }) => path) };
  }
  for (const { status, path, oldPath } of await changedPaths(place, from, to)) {
    if (status === 'type-changed') changed.modified.push(path);
    // A rule about a path cares for what is taken away and for what appears.
    else if (status === 'renamed') changed.renamed.push(...(oldPath === undefined ? [] : [oldPath]), path);
    else changed[status].push(path);
  }
  return changed;
}

async function topEntries(place: ObjectPlace, tree: Oid | undefined): Promise<readonly string[]> {
  return tree === undefined ? [] : (await listTree(place, tree)).map(({ path }) => path);
}
