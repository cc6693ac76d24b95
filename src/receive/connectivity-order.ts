/** The order in which `git rev-list --topo-order --reverse` lists commits. */
import type { CommitNode } from '../git/odb/walk-objects.ts';
import type { Oid } from '../git/oid.ts';

/** Of commits newest first, as a walk by dates finds them: parents before children, lines of history kept together. */
export function inTopologicalOrder(commits: readonly CommitNode[]): readonly CommitNode[] {
  const byOid = new Map<Oid, CommitNode>(commits.map((commit) => [commit.oid, commit]));
  const children = new Map<Oid, number>(commits.map(({ oid }) => [oid, 0]));
  for (const { parents } of commits) {
    for (const parent of parents) {
      const count = children.get(parent);
      if (count !== undefined) children.set(parent, count + 1);
    }
  }
  // The one that came in last goes out first: git follows a line to where it forked.
  const ready = commits.filter(({ oid }) => children.get(oid) === 0).toReversed();
  const ordered: CommitNode[] = [];
  for (let commit = ready.pop(); commit !== undefined; commit = ready.pop()) {
    ordered.push(commit);
    for (const parent of commit.parents) {
      const left = (children.get(parent) ?? 0) - 1;
      children.set(parent, left);
      const node = byOid.get(parent);
      if (left === 0 && node !== undefined) ready.push(node);
    }
  }
  return ordered.toReversed();
}
