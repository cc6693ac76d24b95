/** The journal line of a client that a door turned away: it never came as far as the walk, which journals the others. */
import type { JournalEntry } from '../audit/entry.ts';
import { credentialFields, principalLabel, type Principal } from '../identity/principal.ts';
import { printable } from '../request/refusal.ts';
import type { RequestOrigin } from '../request/request.ts';

/** Takes such a line. Never throws. */
export type TurnedAway = (entry: JournalEntry) => void;

export interface TurnedAwayAbout {
  /** `connect`: no request could be made out; `login`: nobody we know; else what was asked for. */
  readonly event: 'connect' | 'login' | 'command' | 'push' | 'fetch';
  readonly reason: string;
  readonly requestedPath?: string | undefined;
}

export function turnedAway(
  origin: Omit<RequestOrigin, 'principal'> & { readonly principal?: Principal },
  about: TurnedAwayAbout,
): JournalEntry {
  const { id, transport, address, principal = { kind: 'anonymous' } } = origin;
  const { event, reason, requestedPath } = about;
  return {
    event,
    outcome: 'refused',
    request: id,
    transport,
    address,
    principal: principalLabel(principal),
    ...credentialFields(principal),
    ...(requestedPath === undefined ? {} : { repository: printable(requestedPath) }),
    reason: printable(reason),
  };
}
