/** Walks through history in the order of dates, within bounds, with git's answers. */
import type { Oid } from '../oid.ts';
import { BeyondReach } from './odb.ts';
import type { BoundedReader, CommitNode } from './walk-objects.ts';

/** Newest first; of one date, first come first. */
export class DateQueue<T extends { readonly date: number }> {
  readonly #items: T[] = [];

  get first(): T | undefined {
    return this.#items[0];
  }

  get items(): readonly T[] {
    return this.#items;
  }

  put(item: T): void {
    let at = this.#items.length;
    while (at > 0 && (this.#items[at - 1]?.date ?? Infinity) < item.date) at -= 1;
    this.#items.splice(at, 0, item);
  }

  take(): T | undefined {
    return this.#items.shift();
  }
}

const OURS = 1;
const THEIRS = 2;
const BOTH = OURS | THEIRS;

/**
 * Paints what `one` and `other` lead to until only what both lead to is left. Returns the paint of every commit that was
 * seen: whatever lacks the other's is on one side alone. @throws BeyondReach
 */
async function paint(reader: BoundedReader, one: Oid, other: Oid): Promise<ReadonlyMap<Oid, number>> {
  const paints = new Map<Oid, number>();
  const queue = new DateQueue<CommitNode>();
  const add = async (oid: Oid, color: number): Promise<void> => {
    const before = paints.get(oid) ?? 0;
    if ((before | color) === before) return;
    paints.set(oid, before | color);
    queue.put(await reader.commit(oid));
  };
  await add(one, OURS);
  await add(other, THEIRS);
  // What both lead to goes on as far as commits of the same date: one of them may be painted with one color yet.
  let oldest = Infinity;
  for (;;) {
    const { first } = queue;
    if (first === undefined) break;
    if (first.date < oldest && queue.items.every(({ oid }) => paints.get(oid) === BOTH)) break;
    const commit = queue.take() ?? first;
    if (paints.get(commit.oid) !== BOTH) oldest = Math.min(oldest, commit.date);
    for (const parent of commit.parents) await add(parent, paints.get(commit.oid) ?? 0);
  }
  return paints;
}

/** Whether `descendant` leads to `ancestor`; both are commits. @throws BeyondReach */
export async function leadsTo(reader: BoundedReader, descendant: Oid, ancestor: Oid): Promise<boolean> {
  if (descendant === ancestor) return true;
  await reader.commit(ancestor);
  const tip = await reader.commit(descendant);
  // Nearly every push: the old value is the parent of the new one.
  if (tip.parents.includes(ancestor)) return true;
  return ((await paint(reader, descendant, ancestor)).get(ancestor) ?? 0) === BOTH;
}

/** Whether a merge is among the commits that `to` leads to and `from` does not. @throws BeyondReach */
export async function hasMergeBetween(reader: BoundedReader, from: Oid, to: Oid): Promise<boolean> {
  const paints = await paint(reader, to, from);
  let isMerge = false;
  for (const [oid, color] of paints) {
    const commit = await reader.commit(oid);
    for (const parent of commit.parents) {
      // Where dates lie, the walk may have ended before a color came.
      if ((await reader.commit(parent)).date > commit.date) throw new BeyondReach('dates of commits lie');
    }
    if (color === OURS && commit.parents.length > 1) isMerge = true;
  }
  return isMerge;
}

/**
 * Of `targets`, those that none of `tips` leads to within what the reader may read: the walk goes no further back than the
 * oldest of them. @throws BeyondReach
 */
export async function unreached(
  reader: BoundedReader,
  tips: readonly Oid[],
  targets: ReadonlySet<Oid>,
): Promise<ReadonlySet<Oid>> {
  const left = new Set(targets);
  let oldest = Infinity;
  for (const target of targets) oldest = Math.min(oldest, (await reader.commit(target)).date);
  const seen = new Set<Oid>();
  const queue = new DateQueue<CommitNode>();
  const add = async (oid: Oid): Promise<void> => {
    left.delete(oid);
    if (seen.has(oid) || left.size === 0) return;
    seen.add(oid);
    queue.put(await reader.commit(oid));
  };
  for (const tip of tips) await add(tip);
  while (left.size > 0) {
    const commit = queue.take();
    if (commit === undefined || commit.date < oldest) break;
    for (const parent of commit.parents) await add(parent);
  }
  return left;
}
