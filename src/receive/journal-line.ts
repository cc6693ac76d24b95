/** The journal's line about a push. */
import { BOUNDS } from '../base/bounds.ts';
import type { JournalEntry, JournalOutcome, JournalRef } from '../audit/entry.ts';
import { credentialFields, principalLabel, type Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import { oneLine } from './report.ts';
import { mainRefusal, type Update } from './update.ts';

/** Where a request came from; the request floor's `RequestOrigin` is one. */
export interface Origin {
  readonly id: string;
  readonly transport: string;
  readonly address: string;
}

/** Who it was where nobody asked for it. */
export const GATE_LABEL = 'gatehouse';

export interface PushLine {
  /** Default `push`. */
  readonly event?: 'push' | 'refresh' | undefined;
  readonly repository: Repository;
  /** Undefined: the gate itself. */
  readonly principal: Principal | undefined;
  readonly origin: Origin;
  readonly updates: readonly Update[];
  readonly bytesIn: number;
  readonly ms?: number;
  /** Why the pack could not be taken in; absent, or `ok`, where it could. */
  readonly unpack?: string;
  /** Where the push was taken, or tried, before it was committed here. */
  readonly forwardedTo?: string | undefined;
  /** The push certificate with its signature. */
  readonly certificate?: string | undefined;
}

export function journalLine({
  event = 'push',
  repository,
  principal,
  origin,
  updates,
  bytesIn,
  ms,
  unpack = 'ok',
  forwardedTo,
  certificate,
}: PushLine): JournalEntry {
  const refusal = mainRefusal(updates);
  return {
    event,
    outcome: outcomeOf(updates),
    request: origin.id,
    transport: origin.transport,
    address: origin.address,
    principal: principal === undefined ? GATE_LABEL : principalLabel(principal),
    ...(principal === undefined ? {} : credentialFields(principal)),
    repository: repository.name,
    refs: journalRefs(updates),
    ...(forwardedTo === undefined ? {} : { forwardedTo }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(refusal === undefined
      ? {}
      : { reason: oneLine(unpack === 'ok' ? refusal.reason : `${refusal.reason}: ${unpack}`) }),
    ...(refusal?.rule === undefined ? {} : { rule: refusal.rule }),
    bytesIn,
    ...(ms === undefined ? {} : { ms: Math.round(ms) }),
  };
}

/** A push of which anything was carried out is served; its refs tell the rest. */
export function outcomeOf(updates: readonly Update[]): JournalOutcome {
  return updates.length === 0 || updates.some(({ refusal }) => refusal === undefined) ? 'served' : 'refused';
}

export function journalRefs(updates: readonly Update[]): readonly JournalRef[] {
  const refs = updates.slice(0, BOUNDS.journalRefsMax).map(({ name, oldOid, newOid, refusal }) => ({
    name,
    old: oldOid,
    new: newOid,
    result: refusal === undefined ? 'ok' : oneLine(refusal.reason),
  }));
  const more = updates.length - refs.length;
  return more === 0 ? refs : [...refs, { name: `and ${more} more`, old: '', new: '', result: 'see the log entry' }];
}
