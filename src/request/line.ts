/** The journal line and the log fields of a finished request: pure functions over what was found out. */
import type { JournalEntry, JournalOutcome, JournalRef } from '../audit/entry.ts';
import { credentialFields, principalLabel } from '../identity/principal.ts';
import { withoutTokens } from '../identity/secret.ts';
import { printable } from './refusal.ts';
import type { GitRequest, Outcome, RequestOrigin } from './request.ts';

/** What the walk learns on its way, for the journal; filled in as far as it came. */
export interface Findings {
  readonly begunMs: number;
  /** The name asked for, where it is one. */
  repository?: string;
  rule?: string | undefined;
  report?: UploadFinding | ReceiveFinding;
  error?: unknown;
  /** The part that serves took over: it tells the client of what goes wrong. */
  serving?: boolean;
}

interface UploadFinding {
  readonly event: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

interface ReceiveFinding {
  readonly refs: readonly JournalRef[];
  readonly outcome: JournalOutcome;
  readonly bytesIn: number;
  readonly rule?: string | undefined;
  readonly reason?: string | undefined;
  readonly journaled: boolean;
}

interface FinishedLine {
  readonly event: string;
  readonly outcome: JournalOutcome;
  readonly ms: number;
  /** The fields of its log line. */
  readonly log: () => Readonly<Record<string, unknown>>;
}

export type GitLine = FinishedLine &
  (
    | { readonly durable: true; readonly entry: JournalEntry }
    /** `entry` is absent where the push pipeline already wrote the line. */
    | { readonly durable: false; readonly entry: JournalEntry | undefined }
  );

/** The line of a Git request. `durable`: to be on disk before anything else happens (pushes). */
export function gitLine(request: GitRequest, outcome: Outcome, findings: Findings, nowMs: number): GitLine {
  const { report } = findings;
  const push = report !== undefined && 'refs' in report ? report : undefined;
  const event = eventOf(request, outcome, report);
  const journalOutcome = push?.outcome ?? (outcome.kind === 'missing' ? 'refused' : outcome.kind);
  const ms = nowMs - findings.begunMs;
  const reason = outcome.kind === 'served' ? push?.reason : outcome.reason;
  const rule = push?.rule ?? findings.rule;
  const entry: JournalEntry = {
    event,
    outcome: journalOutcome,
    ...originFields(request),
    repository: withoutTokens(findings.repository ?? printable(request.requestedPath)),
    ...(push === undefined || push.refs.length === 0 ? {} : { refs: push.refs }),
    ...(reason === undefined ? {} : { reason: withoutTokens(reason) }),
    ...(rule === undefined ? {} : { rule }),
    ...(report === undefined ? {} : { bytesIn: report.bytesIn }),
    ...(report !== undefined && 'bytesOut' in report ? { bytesOut: report.bytesOut } : {}),
    ms: Math.round(ms),
  };
  const log = (): Readonly<Record<string, unknown>> => {
    const { refs: _refs, request: id, ...rest } = entry;
    return { request: id, ...rest };
  };
  const finished = { event, outcome: journalOutcome, ms, log };
  if (push?.journaled === true || hasLine(findings.error)) return { ...finished, durable: false, entry: undefined };
  if (push !== undefined && push.refs.length > 0) return { ...finished, durable: true, entry };
  return { ...finished, durable: false, entry };
}

/** The line of a command. */
export function commandLine(
  origin: RequestOrigin,
  about: { readonly argv: readonly string[]; readonly repository?: string },
  end: { readonly outcome: JournalOutcome; readonly reason?: string; readonly rule?: string },
  ms: number,
): JournalEntry {
  return {
    event: 'command',
    outcome: end.outcome,
    ...originFields(origin),
    ...(about.repository === undefined ? {} : { repository: withoutTokens(printable(about.repository)) }),
    argv: about.argv.map(withoutTokens),
    ...(end.reason === undefined ? {} : { reason: withoutTokens(end.reason) }),
    ...(end.rule === undefined ? {} : { rule: end.rule }),
    ms: Math.round(ms),
  };
}

function eventOf(request: GitRequest, outcome: Outcome, report: Findings['report']): string {
  if (report !== undefined && 'event' in report) return report.event;
  const isListing = request.mode === 'advertise';
  if (request.service !== 'receive-pack') {
    if (isListing) return 'ls-refs';
    return request.service === 'upload-archive' ? 'archive' : 'fetch';
  }
  if (outcome.kind !== 'served') return 'push';
  // The advertisement before a push, or a push that turned out to have nothing to say.
  return isListing || (report !== undefined && report.refs.length === 0) ? 'ls-refs' : 'push';
}

/** The push pipeline wrote the line and failed after that. */
function hasLine(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('context' in error)) return false;
  const { context } = error;
  return typeof context === 'object' && context !== null && 'journaled' in context && context.journaled === true;
}

export function originFields(
  origin: RequestOrigin,
): Pick<
  JournalEntry,
  'request' | 'transport' | 'address' | 'principal' | 'asking' | 'credential' | 'pass' | 'purpose'
> {
  const { principal } = origin;
  return {
    request: origin.id,
    transport: origin.transport,
    address: origin.address,
    principal: principalLabel(principal),
    ...credentialFields(principal),
  };
}
