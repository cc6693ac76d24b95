/** The journal's line of what somebody did with a held push. */
import type { JournalEntry, JournalRef } from '../audit/entry.ts';
import { BOUNDS } from '../base/bounds.ts';
import { principalLabel } from '../identity/principal.ts';
import { holdLabel, type HeldPush } from './hold-record.ts';

export interface HoldDeed {
  /** A user name, or `gatehouse`. */
  readonly by: string;
  readonly requestId: string;
  /** `approves`, `refuses`, `takes back`, `ends`. */
  readonly what: string;
  readonly reason: string;
  /** Default: those of the record, with its state. */
  readonly refs?: readonly JournalRef[];
}

export function holdLine(held: HeldPush, { by, requestId, what, reason, refs }: HoldDeed): JournalEntry {
  return {
    ...deedLine({ by, requestId }),
    repository: held.repository.name,
    refs: refs ?? refsOf(held),
    reason: `${what} ${holdLabel(held)} of ${principalLabel(held.principal)}: ${reason}`,
  };
}

/** Of a record that nobody can read: who pushed what is not known. */
export function damagedLine(
  id: string,
  about: Pick<HoldDeed, 'by' | 'requestId' | 'reason'> & { readonly repository: string | undefined },
): JournalEntry {
  const { by, requestId, reason, repository } = about;
  return {
    ...deedLine({ by, requestId }),
    ...(repository === undefined ? {} : { repository }),
    reason: `removes ${id}, whose record is damaged: ${reason}`,
  };
}

function deedLine({ by, requestId }: Pick<HoldDeed, 'by' | 'requestId'>) {
  return {
    event: 'hold',
    outcome: 'served',
    request: requestId,
    transport: 'local',
    address: 'local',
    principal: by,
  } as const;
}

function refsOf({ refs, state }: HeldPush): readonly JournalRef[] {
  return refs.slice(0, BOUNDS.journalRefsMax).map(({ refname, oldOid, newOid }) => {
    return { name: refname, old: oldOid, new: newOid, result: state };
  });
}
