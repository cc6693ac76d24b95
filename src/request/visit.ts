/** A request about a repository that is no conversation of Git's (Git LFS): what the walk is asked, and its journal line. */
import type { JournalEntry } from '../audit/entry.ts';
import type { Parsed } from '../base/fault.ts';
import type { WorkGate } from '../git/service.ts';
import type { Principal } from '../identity/principal.ts';
import { withoutTokens } from '../identity/secret.ts';
import type { Repository } from '../repository/repository.ts';
import { originFields, type Findings } from './line.ts';
import { printable } from './refusal.ts';
import type { Outcome, RequestOrigin } from './request.ts';
import type { Standing } from './walk-parts.ts';

export interface VisitRequest extends RequestOrigin {
  /** Of the journal line. */
  readonly event: string;
  /** What is asked, in words, for the journal: no secrets. */
  readonly argv: readonly string[];
  readonly operation: 'read' | 'write';
  /** As the client wrote it. */
  readonly requestedPath: string;
  /** The only repository that what was shown is for; undefined: it is for any. */
  readonly repositoryId?: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface VisitEnd {
  readonly outcome: 'served' | 'refused';
  readonly reason?: string;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  /** Its line is on disk before `tell`. */
  readonly isChange?: boolean;
  /** Answers the client, once the journal has its line; absent: the tail answered. */
  readonly tell?: () => Promise<void>;
}

export interface Visited {
  readonly repository: Repository;
  readonly principal: Principal;
  readonly signal: AbortSignal;
  /** Refs that the principal may read; undefined: every ref. */
  readonly mayRead: ((refname: string) => boolean) | undefined;
  /** Of a mirror: makes its refs those of its upstream. */
  readonly freshen: (() => Promise<void>) | undefined;
  /** A place for what costs much; undefined: nobody has to wait. */
  readonly work: WorkGate | undefined;
  /** The same questions once more, after what took long. */
  readonly confirm: () => Promise<Parsed<Standing>>;
  /** To be called before the first byte of an answer: from then on a fault cannot be told any more. */
  readonly onAnswer: () => void;
}

/** Runs where everything is allowed. */
export type VisitTail = (visited: Visited) => Promise<VisitEnd>;

export type VisitOutcome =
  | { readonly kind: 'told'; readonly end: VisitEnd }
  | Extract<Outcome, { readonly kind: 'missing' | 'refused' | 'faulted' }>;

export function visitLine(
  request: VisitRequest,
  result: VisitOutcome,
  findings: Findings,
  nowMs: number,
): { readonly entry: JournalEntry; readonly ms: number } {
  const ms = nowMs - findings.begunMs;
  const end = result.kind === 'told' ? result.end : undefined;
  const reason = result.kind === 'told' ? result.end.reason : result.reason;
  const outcome = result.kind === 'told' ? result.end.outcome : result.kind === 'missing' ? 'refused' : result.kind;
  const entry: JournalEntry = {
    event: request.event,
    outcome,
    ...originFields(request),
    repository: withoutTokens(findings.repository ?? printable(request.requestedPath)),
    argv: request.argv.map((word) => withoutTokens(printable(word))),
    ...(reason === undefined ? {} : { reason: withoutTokens(reason) }),
    ...(findings.rule === undefined ? {} : { rule: findings.rule }),
    ...(end?.bytesIn === undefined ? {} : { bytesIn: end.bytesIn }),
    ...(end?.bytesOut === undefined ? {} : { bytesOut: end.bytesOut }),
    ms: Math.round(ms),
  };
  return { entry, ms };
}
