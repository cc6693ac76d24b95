/** Connectivity of a push whose objects are in memory, proved without git; and what there is to prove it from. */
import { Fault } from '../base/fault.ts';
import { textOf } from '../git/odb/walk-objects.ts';
import type { Odb } from '../git/odb/odb.ts';
import type { Oid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Connected } from './connectivity.ts';
import { Unproven, type Listed, type PushObjects, type WalkGround } from './connectivity-walk.ts';
import type { SmallPack } from './small-pack.ts';

/** Branches from which older commits are looked for. */
const STARTS_MAX = 32;

export interface GroundOptions {
  readonly small: SmallPack | undefined;
  readonly repository: Odb;
  readonly snapshot: RefSnapshot;
  /** Refs that the principal may not read prove nothing: else a push could make what they hide readable by naming it. */
  readonly mayRead: ((refname: string) => boolean) | undefined;
  /** Values that the push replaces: most pushes stand on one of them. */
  readonly olds: readonly Oid[];
}

export function groundOf({ small, repository, snapshot, mayRead, olds }: GroundOptions): WalkGround {
  const { known, branches } = mayRead === undefined ? everyRef(snapshot) : knownOf(snapshot, mayRead);
  // In the order in which they are likely to be it.
  const head = snapshot.head.target === undefined ? undefined : snapshot.byName.get(snapshot.head.target)?.oid;
  const likely = [...olds, ...(head === undefined ? [] : [head])].filter((oid) => branches.has(oid));
  const starts = [...new Set([...likely, ...branches])].slice(0, STARTS_MAX);
  return { sent: small?.objects ?? NOTHING, repository, known, starts };
}

interface Known {
  readonly known: ReadonlySet<Oid>;
  readonly branches: ReadonlySet<Oid>;
}

const MEMO = 'known-to-pushes';

/** Tens of thousands of refs are gone through once for each state of them. */
function everyRef(snapshot: RefSnapshot): Known {
  const made = snapshot.memo.get(MEMO) as Known | undefined; // nobody else sets it
  if (made !== undefined) return made;
  const fresh = knownOf(snapshot, () => true);
  snapshot.memo.set(MEMO, fresh);
  return fresh;
}

function knownOf({ refs }: RefSnapshot, isKnown: (refname: string) => boolean): Known {
  const known = new Set<Oid>();
  const branches = new Set<Oid>();
  for (const { refname, oid, peeled } of refs) {
    if (!isKnown(refname)) continue;
    known.add(oid);
    if (peeled !== undefined) known.add(peeled);
    if (refname.startsWith('refs/heads/')) branches.add(oid);
  }
  return { known, branches };
}

const NOTHING: WalkGround['sent'] = new Map();

/**
 * Connected, or not proved; never that it is not. Each object of the pack has to be reached: what lies beside may name what
 * is not here. @throws BeyondReach, `Unproven` among them; Fault `aborted`.
 */
export async function proveConnected(
  objects: PushObjects,
  tips: readonly Oid[],
  signal: AbortSignal,
): Promise<Connected> {
  const walk = await objects.walk(tips);
  const listed = await walk.list('newest-first');
  if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
  if (listed.length < objects.sent.size) throw new Unproven('unlinked');
  return { kind: 'connected', ...longestOf(listed) };
}

function longestOf(listed: readonly Listed[]): { readonly longestPath: string; readonly longestName: string } {
  let path = '';
  let name = '';
  for (const one of listed) {
    if (one.path.length > path.length) path = one.path;
    const last = one.path.slice(one.path.lastIndexOf('/') + 1);
    if (last.length > name.length) name = last;
  }
  return { longestPath: textOf(path), longestName: textOf(name) };
}
