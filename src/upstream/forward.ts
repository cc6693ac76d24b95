/**
 * The step that takes a push to a mirror's upstream, in the mirror's turn and before its local commit: one atomic push with
 * the old values as leases. The order, each on disk before the next: intent, upstream, local commit, intent gone.
 * `docs/decisions/092-*` has what a crash leaves at each border.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Oid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import { principalLabel } from '../identity/principal.ts';
import type { Forwarded, Push, RefUpdate, Step, Verdict } from '../receive/step.ts';
import type { Repository } from '../repository/repository.ts';
import type { Intent, Intents } from './forward-intent.ts';
import { refuseEach, type ForwardOutcome } from './forward-outcome.ts';
import { upstreamReason, type ForwardMirrors, type PendingForwards } from './reconcile.ts';
import { matchesPatterns } from './ref-plan.ts';
import type { Upstream } from './upstream.ts';
import { UpstreamPush, type UpstreamPushLimits } from './upstream-push.ts';

export const FORWARD_STEPS = ['intended', 'sent', 'reported', 'committed', 'cleared'] as const;
export type ForwardBorder = (typeof FORWARD_STEPS)[number];

export interface ForwardParts {
  readonly mirrors: ForwardMirrors;
  readonly pending: PendingForwards;
  readonly intents: Intents;
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly refs: { snapshot(repository: Repository): Promise<RefSnapshot> };
  readonly clock: Clock;
  readonly log: ForwardLog;
  readonly limits?: Partial<UpstreamPushLimits>;
  /** Called at each border between two steps. Tests end the process there. */
  readonly onStep?: ((step: ForwardBorder) => void | Promise<void>) | undefined;
}

export interface ForwardLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export const FORWARD_LIMITS: UpstreamPushLimits = {
  reportMs: BOUNDS.forwardReportMs,
  askMs: BOUNDS.forwardAskMs,
  asksMax: BOUNDS.forwardAsksMax,
  askAgainMs: 250,
  packMs: BOUNDS.packMs,
};

export const UNSETTLED = 'an earlier push is not settled with the upstream yet: fetch, then push again';

export function createForwardStep(parts: ForwardParts): Step {
  const flights = new Map<string, Flight>();
  return {
    name: 'forward',
    before: (push) => refuseEarly(parts, push),
    check: async () => [],
    forward: (push) => forward(parts, flights, push),
    committed: async ({ repository }, updates) => {
      await parts.onStep?.('committed');
      await flights.get(repository.id)?.committed(updates);
      await parts.onStep?.('cleared');
    },
    sharesTurn: ({ id }) => !parts.mirrors.isMirror(id),
  };
}

/** What needs no upstream to be known: refused before anybody's policy or scan looks at objects. */
async function refuseEarly({ mirrors }: ForwardParts, { repository, updates }: Push): Promise<readonly Verdict[]> {
  const upstream = mirrors.isMirror(repository.id) ? await mirrors.find(repository.id) : undefined;
  if (upstream === undefined) return [];
  if (!upstream.takesPushes) {
    const reason = `${repository.name} mirrors ${upstream.url.text} for reading only: it takes no pushes`;
    return updates.map(({ refname }) => ({ refname, reason }));
  }
  const strange = updates.filter(({ refname }) => !matchesPatterns(refname, upstream.refs));
  const reason = `this mirror has only ${upstream.refs.join(', ')} of its upstream: push to a ref among these`;
  return strange.map(({ refname }) => ({ refname, reason }));
}

async function forward(parts: ForwardParts, flights: Map<string, Flight>, push: Push): Promise<Forwarded | undefined> {
  const { mirrors, pending } = parts;
  const { id } = push.repository;
  const upstream = mirrors.isMirror(id) ? await mirrors.find(id) : undefined;
  if (upstream === undefined) return undefined;
  const unsettled = await settleEarlier(parts, push);
  if (unsettled !== undefined) return landed(upstream, refuseEach(push.updates, () => unsettled).verdicts);
  await using stack = new AsyncDisposableStack();
  stack.use(pending.fly(id));
  const flight = new Flight(parts, await beginIntent(parts, push, upstream));
  flights.set(id, flight);
  stack.defer(() => {
    flights.delete(id);
    if (!flight.isCleared) mirrors.invalidate(id);
  });
  // From here to the end of the turn nothing that was read of the upstream before is the last word.
  mirrors.invalidate(id);
  const { verdicts } = await flight.take(push, upstream);
  const kept = stack.move();
  return { to: upstream.url.text, verdicts, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function landed({ url }: Upstream, verdicts: readonly Verdict[]): Forwarded {
  return { to: url.text, verdicts, async [Symbol.asyncDispose]() {} };
}

/** Why an earlier push stands in the way. */
async function settleEarlier({ pending, refs, clock }: ForwardParts, push: Push): Promise<string | undefined> {
  const { repository, requestId } = push;
  const overdue = new AbortController();
  const cancel = clock.after(BOUNDS.forwardAskMs, () => {
    overdue.abort(new Fault('timeout', 'upstream is silent', { publicMessage: 'the upstream does not answer' }));
  });
  try {
    const here = oidsOf(await refs.snapshot(repository));
    const signal = AbortSignal.any([push.signal, overdue.signal]);
    return (await pending.settle(repository, here, { requestId, signal })) ? undefined : UNSETTLED;
  } catch (error) {
    return `${UNSETTLED} (${upstreamReason(error, requestId)})`;
  } finally {
    cancel();
  }
}

function beginIntent({ intents, clock }: ForwardParts, push: Push, upstream: Upstream): Promise<Intent> {
  const { repository, requestId, principal, updates, options } = push;
  return intents.begin({
    repositoryId: repository.id,
    requestId,
    principal: principalLabel(principal),
    to: upstream.url.text,
    updates: updates.map(({ refname, oldOid, newOid }) => ({ refname, oldOid, newOid })),
    options,
    at: clock.now(),
  });
}

/** One push between its intent and its local commit. */
class Flight {
  readonly #parts: ForwardParts;
  readonly #intent: Intent;
  #outcome: ForwardOutcome | undefined;
  /** Both sides are known to be the same. */
  isCleared = false;

  constructor(parts: ForwardParts, intent: Intent) {
    this.#parts = parts;
    this.#intent = intent;
  }

  /** Takes it upstream. Where that is known to have changed nothing, the intent goes at once. */
  async take(push: Push, upstream: Upstream): Promise<ForwardOutcome> {
    const { mirrors, onStep, log, refs } = this.#parts;
    await onStep?.('intended');
    let outcome: ForwardOutcome;
    try {
      const remote = await mirrors.remote(push.repository.id);
      const here = new Set(oidsOf(await refs.snapshot(push.repository)).values());
      const limits = { ...FORWARD_LIMITS, ...this.#parts.limits };
      const onSent = (): void | Promise<void> => onStep?.('sent');
      outcome = await new UpstreamPush({ ...this.#parts, limits, push, upstream, remote, here, onSent }).run();
    } catch (error) {
      // Thrown only where nothing was changed for sure.
      await this.#clear();
      const reason = upstreamReason(error, push.requestId);
      log.warn({ request: push.requestId, error }, 'fail to reach an upstream');
      return refuseEach(push.updates, () => `nothing was changed: ${reason}`);
    }
    await onStep?.('reported');
    this.#outcome = outcome;
    if (!outcome.isKnown) {
      const fields = { request: push.requestId, repository: push.repository.name };
      log.error(fields, 'lose sight of a push upstream, keep its intent');
    } else if (outcome.taken.length === 0) {
      await this.#clear();
    }
    return outcome;
  }

  /** The intent goes when everything that the upstream took is committed here, too; else the next refresh looks after it. */
  async committed(updates: readonly RefUpdate[]): Promise<void> {
    if (this.#outcome?.isKnown !== true) return;
    const here = new Set(updates.map(({ refname }) => refname));
    if (this.#outcome.taken.every(({ refname }) => here.has(refname))) await this.#clear();
  }

  async #clear(): Promise<void> {
    await this.#parts.intents.clear(this.#intent);
    this.isCleared = true;
  }
}

function oidsOf({ byName }: RefSnapshot): ReadonlyMap<string, Oid> {
  return new Map([...byName.values()].map(({ refname, oid }) => [refname, oid]));
}
