/**
 * Whether each update still fits the refs as they are: asked once early, so that a hopeless push costs nothing, and
 * again under the repository's lock, where the answer counts.
 */
import { isZeroOid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { ReceiveConfig } from './limits.ts';
import { conflictsAmong, creationProblem, nameInTheWay } from './ref-names.ts';
import type { Update } from './update.ts';

/** Refuses every living update that does not fit `snapshot`, or another update of the same push. */
export function judgeAgainst(snapshot: RefSnapshot, updates: readonly Update[], config?: HeadConfig): void {
  for (const update of updates) {
    if (!update.isAlive) continue;
    const reason = misfit(snapshot, update, config);
    if (reason !== undefined) update.refuse(reason);
  }
  const living = updates.filter((update) => update.isAlive);
  const conflicts = conflictsAmong(living.map(({ name }) => name));
  for (const update of living) {
    const other = conflicts.get(update.name);
    if (other !== undefined)
      update.refuse(`${update.name} and ${other} cannot change in one push: push one after the other`);
  }
}

type HeadConfig = Pick<ReceiveConfig, 'mayDeleteHead'>;

function misfit(
  snapshot: RefSnapshot,
  { refname, oldOid, newOid }: Update,
  config: HeadConfig | undefined,
): string | undefined {
  if (refname === undefined) return 'this is not a refname';
  const current = snapshot.byName.get(refname);
  if (current?.symref !== undefined) return `${refname} stands for ${current.symref}: push to that`;
  const isDeletion = isZeroOid(newOid);
  if (current === undefined) {
    if (isDeletion) return 'there is no such ref to delete';
    if (!isZeroOid(oldOid)) return 'the ref was deleted since you fetched: fetch first';
    const inTheWay = nameInTheWay(refname, snapshot);
    return inTheWay === undefined ? creationProblem(refname) : `${inTheWay} exists: both cannot be`;
  }
  if (isZeroOid(oldOid) && !isDeletion) return 'the ref exists already: fetch first';
  if (current.oid !== oldOid) return 'the ref has changed since you fetched: fetch first';
  if (isDeletion && snapshot.head.target === refname && config?.mayDeleteHead !== true) {
    if (config !== undefined) return 'deletion of the current branch prohibited';
    return 'this is the default branch: it is not deleted (config REPO set default-branch NAME chooses another)';
  }
  return undefined;
}
