/**
 * One refresh: asks the upstream for its refs, takes what is missing, and makes the mirror's refs those of the upstream.
 * An upstream that did not change costs one question and no process. The mirror's refs are read BEFORE the upstream is
 * asked: a push that is taken upstream and committed here meanwhile makes our compare-and-set fail, and we look again,
 * instead of undoing the push with an answer that is older than it.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, publicMessageOf, type Refusal } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Refname } from '../git/refname.ts';
import type { OwnCommit } from '../receive/receive.ts';
import type { ReceiveLimits } from '../receive/limits.ts';
import type { Repository } from '../repository/repository.ts';
import type { Flight } from './flights.ts';
import type { RefreshState } from './mirror-record.ts';
import { planRefs, prefixesOf, type RefChange, type RefPlan } from './ref-plan.ts';
import { takeObjects } from './take-objects.ts';
import type { Upstream } from './upstream.ts';
import type { Remote } from './wire/remote.ts';

export interface RefreshParts {
  readonly processes: GitProcesses;
  readonly clock: Clock;
  readonly refs: { snapshot(repository: Repository): Promise<RefSnapshot> };
  /** `Receive.commit`. */
  readonly commit: (own: OwnCommit) => Promise<{ readonly kind: 'committed' } | Refusal>;
  /** Points HEAD at a branch, durably; the repository as it is then. */
  readonly pointHead: (repository: Repository, branch: string) => Promise<Refusal | { readonly kind: 'ok' }>;
  readonly limits: ReceiveLimits;
}

export interface RefreshAsked {
  readonly repository: Repository;
  readonly upstream: Upstream;
  readonly remote: Remote;
  readonly flight: Flight;
  /** Asked in the repository's turn: may this still be done? */
  readonly isWanted: () => boolean;
}

export interface Refreshed {
  /** Monotonic milliseconds at which the upstream was asked for what is here now. */
  readonly askedMs: number;
  /** The same in milliseconds since 1970. */
  readonly askedAt: number;
  readonly mirrored: number;
  readonly skipped: number;
  /** Refs that were created, moved or deleted, HEAD among them. */
  readonly changed: number;
}

/** Pushes that come between reading and writing; each is one more question to the upstream. */
const TRIES_MAX = 5;
/** Refs of one transaction. */
const BATCH_REFS = 20_000;

/** @throws Fault `upstream` with the upstream's reason in public words, `aborted`. */
export async function refreshOnce(parts: RefreshParts, asked: RefreshAsked): Promise<Refreshed> {
  const { repository, flight } = asked;
  for (let tries = 1; ; tries += 1) {
    const local = await parts.refs.snapshot(repository);
    flight.onAsk();
    const [askedMs, askedAt] = [parts.clock.monotonicMs(), parts.clock.now()];
    const plan = await compare(asked, local);
    const done = await carryOut(parts, asked, { plan, local });
    const { mirrored, skipped } = plan;
    if (done.kind === 'done') return { askedMs, askedAt, mirrored, skipped, changed: done.changed };
    if (tries === TRIES_MAX) throw failed('upstream refs could not be taken', done.reason);
  }
}

async function compare({ repository, upstream, remote, flight }: RefreshAsked, local: RefSnapshot): Promise<RefPlan> {
  const { signal, requestId } = flight;
  const prefixes = prefixesOf(upstream.refs);
  const found = await remote.lsRefs({ signal, requestId, prefixes });
  // Nothing that could be wrong about the object ids of an upstream without refs.
  if (found.refs.size > 0 && found.objectFormat !== repository.objectFormat) {
    const names = `${found.objectFormat} now, the mirror ${repository.objectFormat}`;
    throw failed('upstream has another object format', `it names objects by ${names}: make a mirror anew`);
  }
  if (found.refs.size > BOUNDS.mirrorRefsMax) {
    const counted = `it has ${found.refs.size} refs there; at most ${BOUNDS.mirrorRefsMax} are mirrored: choose fewer (--refs)`;
    throw failed('upstream has too many refs', counted);
  }
  const remoteRefs = { ...found, objectFormat: repository.objectFormat };
  return planRefs({ local, remote: remoteRefs, patterns: upstream.refs });
}

type CarriedOut =
  | { readonly kind: 'done'; readonly changed: number }
  /** Some ref is not what it was, or cannot be changed. */
  | { readonly kind: 'misfit'; readonly reason: string };

interface Planned {
  readonly plan: RefPlan;
  readonly local: RefSnapshot;
}

async function carryOut(parts: RefreshParts, asked: RefreshAsked, { plan, local }: Planned): Promise<CarriedOut> {
  const { repository, flight } = asked;
  let changed = 0;
  await using taken =
    plan.wants.length === 0 ? undefined : await takeObjects(parts, asked, { wants: plan.wants, local });
  // The last moment at which nobody's waiting ends it.
  if (flight.signal.aborted) throw new Fault('aborted', 'refresh was aborted', { cause: flight.signal.reason });
  let objectDirectory = taken?.objectDirectory;
  for (const updates of batchesOf(plan)) {
    const committed = await parts.commit({
      repository,
      updates,
      event: 'refresh',
      requestId: flight.requestId,
      mayDeleteHead: true,
      confirm: async () => {
        if (!asked.isWanted()) throw failed('mirror is none any more', 'the mirror was removed or changed meanwhile');
      },
      ...(objectDirectory === undefined ? {} : { objectDirectory }),
    });
    if (committed.kind === 'refused') return { kind: 'misfit', reason: committed.reason };
    objectDirectory = undefined;
    changed += updates.length;
  }
  if (plan.head !== undefined) changed += await followHead(parts, repository, plan.head);
  return { kind: 'done', changed };
}

/** Deletions that make room come first; the rest in transactions of a bounded size. */
function* batchesOf({ clearing, changes }: RefPlan): Generator<readonly RefChange[]> {
  if (clearing.length > 0) yield clearing;
  for (let from = 0; from < changes.length; from += BATCH_REFS) yield changes.slice(from, from + BATCH_REFS);
}

async function followHead(parts: RefreshParts, repository: Repository, head: Refname): Promise<number> {
  const pointed = await parts.pointHead(repository, head.slice('refs/heads/'.length));
  if (pointed.kind === 'refused') throw failed('upstream HEAD cannot be followed', pointed.reason);
  return 1;
}

function failed(message: string, publicMessage: string): Fault {
  return new Fault('upstream', message, { publicMessage });
}

/** What clients read of a refresh that failed: nothing is served, and why. */
export function staleFault(cause: unknown, about: { readonly url: string; readonly requestId: string }): Fault {
  const reason = publicMessageOf(cause, about.requestId);
  return new Fault('upstream', 'mirror cannot be refreshed', {
    cause,
    publicMessage: `refusing to serve stale data: the upstream ${about.url}: ${reason}`,
  });
}

/** What is known of a mirror's refreshes after one that went well. */
export function stateAfter(
  before: RefreshState,
  { refreshed, triedAt, tookMs }: { readonly refreshed: Refreshed; readonly triedAt: number; readonly tookMs: number },
): RefreshState {
  return {
    refreshedAt: triedAt,
    failure: undefined,
    triedAt,
    tookMs: Math.round(tookMs),
    refs: refreshed.mirrored,
    skippedRefs: refreshed.skipped,
    changedRefs: refreshed.changed > 0 ? refreshed.changed : before.changedRefs,
  };
}
