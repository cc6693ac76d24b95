/** A site on which every push is held, for tests that kill it. */
import type { Decision } from '../../src/access/decision.ts';
import { ok } from '../../src/base/fault.ts';
import type { ReceiveParts } from '../../src/receive/receive.ts';
import { PRINCIPAL, type Site } from './site.ts';

export const HOLD_ALL = (): Decision => ({ kind: 'refused', reason: 'look at it', hold: true, trace: [] });

/** @param site asked when a push is applied */
export function roomyHolding(site: () => Site): NonNullable<ReceiveParts['holding']> {
  return {
    limits: {
      bytesMax: 1e9,
      repositoryBytesMax: 1e9,
      perPrincipalMax: 10,
      expiresMs: 60_000,
      waitMs: 0,
      waitingMax: 0,
    },
    standing: async () => ok({ principal: PRINCIPAL, repository: site().repository, mayRead: undefined }),
    accountId: async () => undefined,
  };
}
