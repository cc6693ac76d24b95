/** Which repositories a principal may read, in the order of their names. */
import { Stint } from '../base/stint.ts';
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

/** Reads nothing from disk but the catalogue: deciding is in memory. Ends where the signal is aborted. */
export async function* readableRepositories(
  parts: Pick<CommandParts, 'catalogue' | 'policy' | 'clock'>,
  { principal, signal }: { readonly principal: Principal; readonly signal: AbortSignal },
): AsyncGenerator<Listed> {
  const together = {};
  // Deciding about so many repositories, each by its owner's rules, may take long.
  const stint = new Stint(parts.clock);
  let after: string | undefined;
  for (;;) {
    const page = await parts.catalogue.list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const repository of page) {
      if (stint.isOver) {
        await stint.rest();
        signal.throwIfAborted();
      }
      if (parts.policy.decide({ principal, operation: 'read', repository, together }).kind === 'refused') continue;
      const mayWrite = parts.policy.decide({ principal, operation: 'write', repository, together }).kind === 'allowed';
      const isOwner = principal.kind === 'user' && principal.name === repository.owner;
      yield { repository, mayWrite, isOwner, rights: `${mayWrite ? 'RW' : 'R'}${isOwner ? '*' : ''}`.padEnd(3) };
    }
    after = page.at(-1)?.name;
    if (after === undefined || page.length < PAGE) return;
  }
}
