/** Everything about pushes that go upstream, put together: the step, what a refresh asks first, and what start-up does. */
import type { Step } from '../receive/step.ts';
import type { Repository } from '../repository/repository.ts';
import type { Store } from '../store/store.ts';
import { createForwardStep, type ForwardParts } from './forward.ts';
import { Intents } from './forward-intent.ts';
import {
  PendingForwards,
  reconcile,
  type Call,
  type PendingParts,
  type ReconcileParts,
  type ReconcileReport,
} from './reconcile.ts';

export type ForwardingParts = Omit<ForwardParts, 'pending' | 'intents'> &
  Pick<PendingParts, 'journal'> &
  Pick<ReconcileParts, 'mirrors' | 'catalogue'> & { readonly store: Store };

export interface Forwarding {
  /** Last in the list of steps. */
  readonly step: Step;
  /** What every refresh of a mirror goes through (`MirrorsParts.around`). */
  around<T>(repository: Repository, call: Call, refresh: () => Promise<T>): Promise<T>;
  /** At start-up, behind `Receive.recover` and before anything is served. `signal`: aborted when the gate closes. */
  reconcile(about: Pick<ReconcileParts, 'signal' | 'waitMs'>): Promise<ReconcileReport>;
}

export function createForwarding(parts: ForwardingParts): Forwarding {
  const intents = new Intents(parts.store);
  const pending = new PendingForwards({ ...parts, intents });
  return {
    step: createForwardStep({ ...parts, pending, intents }),
    around: (repository, call, refresh) => pending.around(repository, call, refresh),
    reconcile: (about) => reconcile({ ...parts, ...about, intents }),
  };
}
