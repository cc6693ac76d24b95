/** Held pushes in the house: their bounds, and who pushed what where as it is by now. */
import type { Policy } from '../access/policy.ts';
import type { Config } from '../base/config.ts';
import { ok, refuse } from '../base/fault.ts';
import type { Directory } from '../identity/directory.ts';
import { principalLabel, type Principal } from '../identity/principal.ts';
import type { ApplyParts } from '../receive/apply-held.ts';
import type { HoldLimits } from '../receive/hold-bounds.ts';
import type { ReceiveParts } from '../receive/receive.ts';
import type { Repository } from '../repository/repository.ts';
import type { WalkMirrors } from '../request/walk-parts.ts';

export interface HoldGround {
  readonly directory: { current(principal: Principal): Promise<Principal | undefined> };
  readonly catalogue: { byId(id: string): Promise<Repository | undefined> };
  readonly policy: Pick<Policy, 'decide' | 'readableRefs'>;
  readonly mirrors: WalkMirrors;
}

/** What receive needs to hold pushes. @param accounts those of the house: users of a gitolite site have no ids */
export function holdingOf(
  config: Config,
  ground: HoldGround,
  accounts: Pick<Directory, 'users'>,
): NonNullable<ReceiveParts['holding']> {
  return {
    limits: holdLimitsOf(config),
    standing: heldStanding(ground),
    accountId: async (name) => (await accounts.users.show(name))?.id,
  };
}

function holdLimitsOf({ settings }: Config): HoldLimits {
  return {
    bytesMax: settings.holdBytesMax,
    repositoryBytesMax: settings.holdRepositoryBytesMax,
    perPrincipalMax: settings.holdPerUserMax,
    expiresMs: settings.holdExpires,
    waitMs: settings.holdWaitMax,
    waitingMax: settings.holdWaitingMax,
  };
}

/** The questions that the walk asked when the push came, asked once more. */
function heldStanding(ground: HoldGround): ApplyParts['standing'] {
  const { directory, catalogue, policy, mirrors } = ground;
  return async (held, { requestId, signal }) => {
    const principal = await directory.current(held.principal);
    if (principal === undefined) {
      return refuse(
        `the account of ${principalLabel(held.principal)}, or its ${held.credential}, is not accepted any more`,
      );
    }
    const repository = await catalogue.byId(held.repository.id);
    if (repository === undefined) return refuse(`${held.repository.name} is gone`);
    const variables = { source: held.origin.transport };
    for (const operation of repository.conf === undefined ? (['read', 'write'] as const) : (['write'] as const)) {
      const decision = policy.decide({ principal, operation, repository, variables, forPush: true });
      if (decision.kind === 'refused') return refuse(decision.reason);
    }
    const mayRead = policy.readableRefs(principal, repository);
    const freshen = mirrors.freshener(repository, { requestId, signal });
    return ok({ principal, repository, mayRead, freshen });
  };
}
