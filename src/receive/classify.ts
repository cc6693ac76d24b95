/** What each update does to its ref: create, fast-forward, rewind or delete; and what its oids are. */
import { factsOf, isAncestor, type ObjectPlace } from '../git/objects.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { Update } from './update.ts';

/** Walks that run side by side; each is a process. */
const WALKS_MAX = 4;

/** Sets `kind`, `oldType` and `newType` of each living update; a branch that is no commit is refused. @throws Fault. */
export async function classifyUpdates(updates: readonly Update[], place: ObjectPlace): Promise<void> {
  const living = updates.filter((update) => update.isAlive);
  const types = await typesOf(
    place,
    living.flatMap(({ oldOid, newOid }) => [oldOid, newOid]),
  );
  const undecided: Update[] = [];
  for (const update of living) {
    update.oldType = types.get(update.oldOid);
    update.newType = types.get(update.newOid);
    if (isZeroOid(update.newOid)) update.kind = 'delete';
    else if (update.newType === undefined) update.refuse(`object ${update.newOid} is not here`);
    else if (update.refname?.startsWith('refs/heads/') === true && update.newType !== 'commit') {
      update.refuse(`a branch holds a commit, not a ${update.newType}`);
    } else if (isZeroOid(update.oldOid)) update.kind = 'create';
    else if (update.oldOid === update.newOid) update.kind = 'fast-forward';
    else if (canFastForward(update)) undecided.push(update);
    else update.kind = 'rewind';
  }
  await inParallel(undecided, async (update) => {
    update.kind = (await isAncestor(place, update.oldOid, update.newOid)) ? 'fast-forward' : 'rewind';
  });
}

/** A tag names one thing for ever: moving it is a rewind, even along history. */
function canFastForward({ refname, oldType, newType }: Update): boolean {
  return refname?.startsWith('refs/tags/') !== true && oldType === 'commit' && newType === 'commit';
}

/** The type of each oid that exists. */
async function typesOf(place: ObjectPlace, oids: readonly Oid[]): Promise<ReadonlyMap<Oid, string>> {
  const wanted = [...new Set(oids)].filter((oid) => !isZeroOid(oid));
  const facts = wanted.length === 0 ? [] : await factsOf(place, wanted);
  return new Map(facts.flatMap((fact) => (fact === undefined ? [] : [[fact.oid, fact.type]])));
}

async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await task(item);
  };
  await Promise.all(Array.from({ length: Math.min(WALKS_MAX, items.length) }, worker));
}
