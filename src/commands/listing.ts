/** Which repositories a principal may read, in the order of their names: those of the house and, where it serves one, of its site. */
import { Stint } from '../base/stint.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import type { CommandParts } from './parts.ts';

export interface Listed {
  /** Of the house, or (with `conf`) of its gitolite site. */
  readonly repository: Repository | SiteFacts;
  /** `RW`, `R ` or, for the owner, `RW*`, padded to three. */
  readonly rights: string;
  readonly mayWrite: boolean;
  readonly isOwner: boolean;
}

export type SiteFacts = RepositoryFacts & { readonly path?: never };

export interface ListingAsked {
  readonly principal: Principal;
  readonly transport: string;
  readonly signal: AbortSignal;
  /** Ends when so many were looked at, which is taken from it; default: all. */
  readonly looks?: { left: number };
}

type ListingParts = Pick<CommandParts, 'catalogue' | 'policy' | 'clock' | 'siteAccess'>;

const PAGE = 500;

/** Reads nothing of the house but the catalogue: deciding is in memory. Ends where the signal is aborted. */
export async function* readableRepositories(parts: ListingParts, asked: ListingAsked): AsyncGenerator<Listed> {
  const { principal, signal, looks = { left: Infinity } } = asked;
  const together = {};
  // Deciding about so many repositories, each by its owner's rules, may take long.
  const stint = new Stint(parts.clock);
  for await (const repository of everything(parts, asked)) {
    if (stint.isOver) {
      await stint.rest();
      signal.throwIfAborted();
    }
    if (looks.left === 0) return;
    looks.left -= 1;
    if (parts.policy.decide({ principal, operation: 'read', repository, together }).kind === 'refused') continue;
    const mayWrite = parts.policy.decide({ principal, operation: 'write', repository, together }).kind === 'allowed';
    const isOwner = principal.kind === 'user' && principal.name === repository.owner;
    yield { repository, mayWrite, isOwner, rights: `${mayWrite ? 'RW' : 'R'}${isOwner ? '*' : ''}`.padEnd(3) };
  }
}

async function* everything(parts: ListingParts, asked: ListingAsked): AsyncGenerator<Repository | SiteFacts> {
  const site = parts.siteAccess?.list(asked)[Symbol.asyncIterator]();
  let next = await site?.next();
  for await (const repository of houseRepositories(parts)) {
    for (; next?.done === false && next.value.name < repository.name; next = await site?.next()) yield next.value;
    // Whoever asks for a name that both have gets to the site.
    if (next?.done !== false || next.value.name !== repository.name) yield repository;
  }
  for (; next?.done === false; next = await site?.next()) yield next.value;
}

async function* houseRepositories({ catalogue }: ListingParts): AsyncGenerator<Repository> {
  let after: string | undefined;
  for (;;) {
    const page = await catalogue.list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page;
    after = page.at(-1)?.name;
    if (after === undefined || page.length < PAGE) return;
  }
}
