/** Which repositories a principal may read, in the order of their names. */
import { setImmediate } from 'node:timers/promises';
import type { Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import type { CommandParts } from './parts.ts';

export interface Listed {
  readonly repository: Repository;
  /** `RW`, `R ` or, for the owner, `RW*`, padded to three. */
  readonly rights: string;
  readonly mayWrite: boolean;
  readonly isOwner: boolean;
}

const PAGE = 1_000;
/** Deciding about so many repositories, each by its owner's rules, takes long: others get a turn after this much of it. */
const TURN_MS = 10;

/** Reads nothing from disk but the catalogue: deciding is in memory. Ends where the signal is aborted. */
export async function* readableRepositories(
  parts: Pick<CommandParts, 'catalogue' | 'policy' | 'clock'>,
  { principal, signal }: { readonly principal: Principal; readonly signal: AbortSignal },
): AsyncGenerator<Listed> {
  let turnMs = parts.clock.monotonicMs();
  let after: string | undefined;
  for (;;) {
    const page = await parts.catalogue.list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const repository of page) {
      if (parts.clock.monotonicMs() - turnMs > TURN_MS) {
        await setImmediate();
        signal.throwIfAborted();
        turnMs = parts.clock.monotonicMs();
      }
      if (parts.policy.decide({ principal, operation: 'read', repository }).kind === 'refused') continue;
      const mayWrite = parts.policy.decide({ principal, operation: 'write', repository }).kind === 'allowed';
      const isOwner = principal.kind === 'user' && principal.name === repository.owner;
      yield { repository, mayWrite, isOwner, rights: `${mayWrite ? 'RW' : 'R'}${isOwner ? '*' : ''}`.padEnd(3) };
    }
    after = page.at(-1)?.name;
    if (after === undefined || page.length < PAGE) return;
  }
}
