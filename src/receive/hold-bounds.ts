/** What the holding area may grow to, and whether there is room for one more push. */
import { BOUNDS } from '../base/bounds.ts';
import { formatBytes } from '../base/units.ts';
import { principalLabel } from '../identity/principal.ts';
import { isKept, type HeldPush, type HeldRef, type HoldState } from './hold-record.ts';

export interface HoldLimits {
  /** Objects of all held pushes together; and of one repository's, or of one principal's. */
  readonly bytesMax: number;
  readonly repositoryBytesMax: number;
  /** Pushes of one principal that wait at the same time. */
  readonly perPrincipalMax: number;
  /** How long a push waits for a decision; also how long the record of a decided one is kept. */
  readonly expiresMs: number;
  /** How long a client may wait with `-o wait=`, and how many do at the same time. */
  readonly waitMs: number;
  readonly waitingMax: number;
}

/** What is remembered of each record. */
export interface Summary {
  readonly state: HoldState;
  readonly repositoryId: string;
  readonly principal: string;
  readonly bytes: number;
  readonly hasObjects: boolean;
  readonly expiresAt: number;
  /** Made, or decided. */
  readonly since: number;
}

export function summaryOf({
  state,
  repository,
  principal,
  bytes,
  pack,
  expiresAt,
  createdAt,
  decision,
}: HeldPush): Summary {
  return {
    state,
    repositoryId: repository.id,
    principal: principalLabel(principal),
    bytes,
    hasObjects: pack !== undefined,
    expiresAt,
    since: decision?.at ?? createdAt,
  };
}

export interface Wanted {
  readonly bytes: number;
  readonly refs: readonly HeldRef[];
  readonly repositoryId: string;
  readonly principal: string;
}

/** Why there is no room for it, in words for who pushed; undefined: there is. */
export function fullness(index: ReadonlyMap<string, Summary>, wanted: Wanted, limits: HoldLimits): string | undefined {
  const { bytes, refs, repositoryId, principal } = wanted;
  if (refs.length > BOUNDS.heldRefsMax) return `a held push has at most ${BOUNDS.heldRefsMax} refs: push fewer`;
  const reasons = refs.flatMap((ref) => ref.reasons);
  const reasonBytes = reasons.reduce((total, { reason }) => total + Buffer.byteLength(reason), 0);
  if (reasons.length > BOUNDS.heldReasonsMax || reasonBytes > BOUNDS.heldReasonsBytesMax) {
    return 'there are more reasons to hold the push than somebody could read: push less';
  }
  const kept = [...index.values()].filter(isKept);
  const sum = (of: readonly Summary[]): number => of.reduce((total, held) => total + held.bytes, bytes);
  const own = kept.filter((held) => held.principal === principal);
  if (own.length >= limits.perPrincipalMax) {
    return `${own.length} pushes of yours are held already: cancel one (hold list --all, hold cancel ID)`;
  }
  if (sum(kept) > limits.bytesMax) return `the holding area is full (${formatBytes(limits.bytesMax)} in all)`;
  const here = kept.filter((held) => held.repositoryId === repositoryId);
  const room = formatBytes(limits.repositoryBytesMax);
  if (sum(here) > limits.repositoryBytesMax) return `the holding area of this repository is full (${room})`;
  // Owners may hold what they push to repositories of their own: nobody fills the area for everybody by that.
  if (sum(own) > limits.repositoryBytesMax) return `your held pushes fill the room of one user (${room}): cancel one`;
  return undefined;
}
